"""The options of publishing and subscribing and all their names, as data (sections 4.2 and 5.1).

A name belongs to one option only, so a request can be read in one pass over what it says instead of one search for
each name that it might have used.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, eq=False)  # compared and hashed by identity: every option exists once
class Option:
    """One option.

    Attributes:
        names: of headers and of query parameters, lower case, in the order in which they are tried.
        multiline: whether newlines in an RFC 2047 word are kept.
    """

    names: tuple[str, ...]
    multiline: bool = False


MESSAGE: Final = Option(("x-message", "message", "m"), multiline=True)
TITLE: Final = Option(("x-title", "title", "t"))
PRIORITY: Final = Option(("x-priority", "priority", "prio", "p"))
TAGS: Final = Option(("x-tags", "tags", "tag", "ta"))
DELAY: Final = Option(("x-delay", "delay", "x-at", "at", "x-in", "in"))
CLICK: Final = Option(("x-click", "click"))
ICON: Final = Option(("x-icon", "icon"))
ACTIONS: Final = Option(("x-actions", "actions", "action"))
ATTACH: Final = Option(("x-attach", "attach", "a"))
FILENAME: Final = Option(("x-filename", "filename", "file", "f"))
MARKDOWN: Final = Option(("x-markdown", "markdown", "md"))
CONTENT_TYPE: Final = Option(("content-type", "content_type"))
CONTENT_ENCODING: Final = Option(("content-encoding",))
CACHE: Final = Option(("x-cache", "cache"))
FIREBASE: Final = Option(("x-firebase", "firebase"))
UNIFIED_PUSH: Final = Option(("x-unifiedpush", "unifiedpush", "up"))
SEQUENCE: Final = Option(("x-sequence-id", "sequence-id", "sid"))
TEMPLATE: Final = Option(("x-template", "template", "tpl"))
EMAIL: Final = Option(("x-email", "x-e-mail", "email", "e-mail", "mail", "e"))
POLL_ID: Final = Option(("x-poll-id", "poll-id"))
CALL: Final = Option(("x-call", "call"))
LATER: Final = Option(("x-timezone", "timezone", "x-apple-critical", "x-apple-sound", "x-apple-volume"))
"""What releases of ntfy after 2.28 may read: known, so that somebody is told that it is not read here."""

POLL: Final = Option(("x-poll", "poll", "po"))
SINCE: Final = Option(("x-since", "since", "si"))
SCHEDULED: Final = Option(("x-scheduled", "scheduled", "sched"))
ID: Final = Option(("x-id", "id"))

ALL: Final = (
    MESSAGE, TITLE, PRIORITY, TAGS, DELAY, CLICK, ICON, ACTIONS, ATTACH, FILENAME, MARKDOWN, CONTENT_TYPE,
    CONTENT_ENCODING, CACHE, FIREBASE, UNIFIED_PUSH, SEQUENCE, TEMPLATE, EMAIL, POLL_ID, CALL, LATER, POLL, SINCE,
    SCHEDULED, ID,
)  # fmt: skip


def _ranked() -> Iterator[tuple[bytes, tuple[Option, int]]]:
    for option in ALL:
        for rank, name in enumerate(option.names):
            yield name.encode("ascii"), (option, rank)


BY_NAME: Final = dict(_ranked())
"""The option behind a name, and the rank of that name: 0 is tried first."""
