"""Names: of topics, lists of topics and sequences (section 8.1)."""

import re
from collections.abc import Collection
from typing import Final

from gbe.notify.errors import Refusal

RESERVED: Final = frozenset(
    {
        "docs", "static", "file", "app", "metrics", "account", "settings", "signup", "login", "v1", "config",
    }
)  # fmt: skip
"""Names that the server needs for its own paths."""

_SHOWN: Final = 3
_NAME: Final = re.compile(r"[-_A-Za-z0-9]{1,64}")


def is_topic_name(text: str) -> bool:
    """Whether ``text`` has the form of a topic or sequence name; reserved names have it too."""
    return _NAME.fullmatch(text) is not None


def masked(listed: str) -> str:
    """A topic, or a comma list of them, fit for a log: who knows a topic's name may read it."""
    return ",".join(f"{topic[:_SHOWN]}…" for topic in listed.split(","))


def check_topic(topic: str, disallowed: Collection[str] = ()) -> str:
    """Return ``topic`` if it may be used.

    Args:
        disallowed: the operator's additions to the reserved names.

    Raises:
        NotifyError: 40009, not a topic name; 40010, reserved.
    """
    if _NAME.fullmatch(topic) is None:
        raise Refusal.TOPIC_INVALID.error()
    if topic in RESERVED or topic in disallowed:
        raise Refusal.TOPIC_DISALLOWED.error()
    return topic


def parse_topics(listed: str, disallowed: Collection[str] = ()) -> tuple[str, ...]:
    """The topics of a comma list as it stands in the path of a subscription, each once, in order.

    Raises:
        NotifyError: 40401, not a list of topic names (no route matches it); 40010, one of them is reserved.
    """
    topics = tuple(dict.fromkeys(listed.split(",")))
    if not all(map(_NAME.fullmatch, topics)):
        raise Refusal.NOT_FOUND.error()
    for topic in topics:
        check_topic(topic, disallowed)
    return topics


def check_sequence(sequence_id: str) -> str:
    """Return ``sequence_id`` if it is one.

    Raises:
        NotifyError: 40049, not of the form of a topic name.
    """
    if _NAME.fullmatch(sequence_id) is None:
        raise Refusal.SEQUENCE_INVALID.error()
    return sequence_id
