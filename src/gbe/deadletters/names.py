"""Subjects and keys of dead letters, and how their ids look."""

from typing import Final

from gbe.errors import InvalidEnvelopeError, LetterNotFoundError
from gbe.ids import is_ulid
from gbe.subjects import is_token

GROUP: Final = "deadletters"
"""The consumer group that writes the index."""

_MOST_GROUP_CHARACTERS: Final = 100  # as the transport's


class LetterNames:
    """The names of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.pattern = f"{namespace}._deadletter.*"
        self.prefix = f"{namespace}.state.deadletters"
        self.audit = f"{namespace}.events.audit.change"

    def stream(self, domain: str) -> str:
        """The subject on which the letters of a domain lie."""
        return f"{self.namespace}._deadletter.{domain}"

    def record(self, letter_id: str) -> str:
        """The key of a letter's record. The id is one that ``is_letter_id`` accepts."""
        return f"{self.prefix}.{letter_id}"


def is_letter_id(text: str) -> bool:
    """Whether a text can be a letter's id: the message's ULID, a dot, the consumer group."""
    message_id, _, group = text.partition(".")
    return is_ulid(message_id) and is_token(group) and len(group) <= _MOST_GROUP_CHARACTERS


def check_letter_id(text: str) -> str:
    """Return ``text`` if it can be a letter's id; raise ``LetterNotFoundError`` otherwise."""
    if not is_letter_id(text):
        raise LetterNotFoundError(text)
    return text


def check_indexable(text: str) -> str:
    """The same for a letter that was read from a stream; raises ``InvalidEnvelopeError``."""
    if not is_letter_id(text):
        raise InvalidEnvelopeError(f"not the id of a dead letter: {text[:80]!r}")
    return text
