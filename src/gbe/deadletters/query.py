"""Which letters are meant: filters, and the groups of what they find."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from gbe.deadletters.record import LetterRecord, Status
from gbe.errors import InvalidLetterQueryError, InvalidSubjectError
from gbe.subjects import check_pattern, is_token, matches

MAX_REASON: Final = 200
MAX_GROUPS: Final = 10_000
_TEXTS: Final = ("domain", "group", "fingerprint")


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which letters; what is ``None`` does not matter.

    Attributes:
        domain, group, fingerprint: equal.
        subject: a pattern for the subject of the original.
        reason: part of the reason or of the error's type, upper or lower case.
        status: one status.
        since, until: last failed at or after, and before (unix milliseconds).
    """

    domain: str | None = None
    subject: str | None = None
    group: str | None = None
    reason: str | None = None
    fingerprint: str | None = None
    status: Status | None = None
    since: int | None = None
    until: int | None = None

    def __post_init__(self) -> None:
        for name in _TEXTS:
            value = getattr(self, name)
            if value is not None and not (is_token(value) and len(value) <= 128):
                raise InvalidLetterQueryError(name, f"{value[:40]!r}; expected letters, digits, _ and -")
        if self.subject is not None:
            try:
                check_pattern(self.subject)
            except InvalidSubjectError as exc:
                raise InvalidLetterQueryError("subject", exc.reason) from None
        if self.reason is not None and not 0 < len(self.reason) <= MAX_REASON:
            raise InvalidLetterQueryError("reason", f"expected 1 to {MAX_REASON} characters")
        for name in ("since", "until"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 10**13:
                raise InvalidLetterQueryError(name, "expected unix milliseconds")

    def covers(self, record: LetterRecord) -> bool:
        """Whether a letter is meant."""
        return (
            self.status in (None, record.status)
            and self.domain in (None, record.domain)
            and self.group in (None, record.group)
            and self.fingerprint in (None, record.fingerprint)
            and (self.since is None or record.last_failed_at >= self.since)
            and (self.until is None or record.last_failed_at < self.until)
            and (self.subject is None or matches(self.subject, record.subject))
            and (self.reason is None or self._names(self.reason.lower(), record))
        )

    @staticmethod
    def _names(reason: str, record: LetterRecord) -> bool:
        return reason in record.reason.lower() or reason in (record.error_type or "").lower()


def parse_status(text: str | None) -> Status | None:
    """A status by its name. Raises ``InvalidLetterQueryError``."""
    try:
        return None if text is None else Status(text)
    except ValueError:
        raise InvalidLetterQueryError("status", f"expected one of {', '.join(Status)}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterGroup:
    """Alike failures.

    Attributes:
        fingerprint: what they have in common; of those that had no room of their own it is empty.
        subject, reason, error_type: of one of them, the latest.
        count: letters; ``by_status`` tells them apart.
        first_failed_at, last_failed_at: from the first failure to the last, unix milliseconds.
    """

    fingerprint: str
    domain: str
    group: str
    subject: str
    error_type: str | None
    reason: str
    count: int
    by_status: Mapping[str, int]
    first_failed_at: int
    last_failed_at: int

    @classmethod
    def of(cls, record: LetterRecord, fingerprint: str) -> "LetterGroup":
        """A group of one."""
        return cls(
            fingerprint=fingerprint,
            domain=record.domain,
            group=record.group,
            subject=record.subject,
            error_type=record.error_type,
            reason=record.reason,
            count=1,
            by_status={record.status.value: 1},
            first_failed_at=record.first_failed_at,
            last_failed_at=record.last_failed_at,
        )

    def with_one(self, record: LetterRecord) -> "LetterGroup":
        """The group with one letter more."""
        latest = self if self.last_failed_at >= record.last_failed_at else self.of(record, self.fingerprint)
        status = record.status.value
        return replace(
            latest,
            count=self.count + 1,
            by_status={**self.by_status, status: self.by_status.get(status, 0) + 1},
            first_failed_at=min(self.first_failed_at, record.first_failed_at),
            last_failed_at=latest.last_failed_at,
        )


class Grouping:
    """Puts letters into groups, of which there are at most ``MAX_GROUPS``; the rest share one without fingerprint."""

    def __init__(self) -> None:
        self._groups: dict[str, LetterGroup] = {}

    def add(self, record: LetterRecord) -> None:
        """One more letter."""
        fingerprint = record.fingerprint
        if fingerprint not in self._groups and len(self._groups) >= MAX_GROUPS:
            fingerprint = ""
        group = self._groups.get(fingerprint)
        self._groups[fingerprint] = LetterGroup.of(record, fingerprint) if group is None else group.with_one(record)

    def largest_first(self) -> list[LetterGroup]:
        """All groups, those with most letters first."""
        return sorted(self._groups.values(), key=lambda group: (-group.count, -group.last_failed_at))


Order = Callable[[LetterRecord], tuple[int, str]]


def place(record: LetterRecord) -> tuple[int, str]:
    """Where a letter lies among all: by its last failure."""
    return record.last_failed_at, record.id
