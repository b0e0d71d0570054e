"""A letter's record: what the state store holds of it. The original message stays in the letter, in its stream."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

from gbe.deadletters.names import check_indexable
from gbe.errors import DeadLetterError
from gbe.schemas.deadletter import DeadLetter

_MOST_COPIES: Final = 10  # of the letters of one message in one group, how many are told apart


class Status(StrEnum):
    """Where a letter stands."""

    OPEN = "open"
    REDRIVING = "redriving"  # being sent; one that stays so was interrupted, and is taken up again
    REDRIVEN = "redriven"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRecord:
    """One message that one consumer group gave up on. Moments are unix milliseconds.

    Attributes:
        id: of the letter: the message's id and the group.
        domain, subject, group, message_id: where it came from.
        published_at: when the message that failed last was published; a redrive publishes it anew.
        failures: how often the group has given it up: once, and again after redrives.
        first_failed_at, last_failed_at: from the first delivery that is known to have failed to the last letter.
        letters: ids of the messages in the stream of dead letters that told of it, the newest last.
        redrives: how often it was sent again, the one under way included.
        began_at, target: when the last redrive began, and to which subject.
        redriving_at: when it was last taken up: later than ``began_at`` after an interruption.
        settled_at: when the last redrive, or the discarding, was done.
        payload_left_out: bytes that the letter could not hold: it cannot be sent again.
    """

    id: str
    domain: str
    subject: str
    group: str
    message_id: str
    reason: str
    fingerprint: str
    published_at: int
    deliveries: int
    first_failed_at: int
    last_failed_at: int
    letters: str
    status: Status = Status.OPEN
    failures: int = 1
    redrives: int = 0
    payload_size: int = 0
    error_type: str | None = None
    began_at: int | None = None
    redriving_at: int | None = None
    settled_at: int | None = None
    target: str | None = None
    payload_left_out: int | None = None
    task_type: str | None = None
    task_id: str | None = None

    @classmethod
    def of(cls, letter: DeadLetter, domain: str, stored_as: str) -> Self:
        """The record of a letter that is new.

        Args:
            domain: whose letters it lies among.
            stored_as: the id of the message that carries the letter.

        Raises:
            InvalidEnvelopeError: the letter's id is none.
        """
        return cls(
            id=check_indexable(letter.id),
            domain=domain,
            subject=letter.original.subject,
            group=letter.group,
            message_id=letter.original.id,
            reason=letter.reason[:1024],
            fingerprint=letter.failure_fingerprint(),
            published_at=letter.original.timestamp,
            deliveries=letter.deliveries,
            first_failed_at=letter.first_failed_at or letter.ts,
            last_failed_at=letter.last_failed_at or letter.ts,
            letters=stored_as,
            payload_size=letter.payload_left_out or len(letter.original.payload),
            error_type=letter.error_type,
            payload_left_out=letter.payload_left_out,
            task_type=letter.task_type,
            task_id=letter.task_id,
        )

    @property
    def stored_as(self) -> str:
        """The message that carries the newest letter."""
        return self.letters.rpartition(" ")[2]

    def knows(self, letter: "LetterRecord") -> bool:
        """Whether a letter tells of a failure that is counted already."""
        return letter.stored_as in self.letters.split() or letter.published_at == self.published_at

    def after(self, letter: "LetterRecord") -> Self:
        """The record once the message, sent again, has failed again: open as it was before."""
        known = [*self.letters.split(), letter.stored_as][-_MOST_COPIES:]
        return dataclasses.replace(
            self,
            **{name: getattr(letter, name) for name in _OF_LETTER},
            letters=" ".join(known),
            first_failed_at=min(self.first_failed_at, letter.first_failed_at),
            last_failed_at=max(self.last_failed_at, letter.last_failed_at),
            failures=self.failures + 1,
            status=Status.OPEN,
        )

    def to_fields(self) -> dict[str, bytes]:
        """As the state store holds it."""
        fields = {name: getattr(self, name) for name in _FIELDS}
        return {name: str(value).encode(errors="replace") for name, value in fields.items() if value is not None}

    @classmethod
    def from_fields(cls, fields: Mapping[str, bytes]) -> Self:
        """Read a record; fields that are not known are left alone. Raises ``DeadLetterError``."""
        values: dict[str, Any] = {}
        try:
            for name, value in fields.items():
                if name in _FIELDS:
                    values[name] = _FIELDS[name](value.decode())
            return cls(**values)
        except (ValueError, TypeError) as exc:
            raise DeadLetterError(f"not the record of a dead letter: {exc}") from exc

    def as_document(self) -> dict[str, object]:
        """As JSON shows it."""
        shown = {name: getattr(self, name) for name in _FIELDS if name != "letters"}
        return {name: value for name, value in shown.items() if value is not None}


_OF_LETTER: Final = (
    "subject", "domain", "reason", "fingerprint", "published_at", "deliveries", "payload_size", "error_type",
    "payload_left_out",
)  # fmt: skip


def _kind(field: "dataclasses.Field[Any]") -> "type[Status] | type[int] | type[str]":
    if field.name == "status":
        return Status
    return int if "int" in str(field.type) else str


_FIELDS: Final = {field.name: _kind(field) for field in dataclasses.fields(LetterRecord)}
