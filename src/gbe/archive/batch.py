"""Batches: what is written to a sink in one piece.

A batch is a run of consecutive messages of one subject, all of one day (UTC, by the time of publishing). Its borders
are fixed in the state store before it is written for the first time, so whoever writes it, and however often, writes
the same.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from gbe.envelope import Envelope
from gbe.transport.base import Position, StoredMessage

NO_DAY: Final = "1970-01-01"
_EARLIEST_MS: Final = 946_684_800_000  # 2000-01-01
_LATEST_MS: Final = 253_402_300_800_000  # 10000-01-01: what a date can name
_DAY_MS: Final = 86_400_000


class Archived(msgspec.Struct, frozen=True, gc=False):
    """One message with its place in the stream of its subject."""

    position: Position
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Batch:
    """What is written in one piece.

    Attributes:
        subject: of all of them.
        day: of all of them, ``YYYY-MM-DD``.
        messages: at least one, in stream order.
        generation: how often the subject's stream had been made anew: positions tell messages apart only within one.
    """

    subject: str
    day: str
    messages: tuple[Archived, ...]
    generation: int = 0

    @property
    def first(self) -> Position:
        """Where it begins."""
        return self.messages[0].position

    @property
    def last(self) -> Position:
        """Where it ends; its message is part of it."""
        return self.messages[-1].position

    @property
    def domain(self) -> str:
        """The subject's second token: ``events`` of ``gbe.events.audit.change``."""
        return domain_of(self.subject)


def domain_of(subject: str) -> str:
    """The token that names the domain of a subject."""
    return subject.partition(".")[2].partition(".")[0] or "unknown"


def day_of(timestamp: int) -> str:
    """The day of a moment, unix ms, in UTC. A moment that no gbe can have meant is put down under ``NO_DAY``."""
    if not _EARLIEST_MS <= timestamp < _LATEST_MS:
        return NO_DAY
    return dt.date.fromordinal(719_163 + timestamp // _DAY_MS).isoformat()  # 719163: the ordinal of 1970-01-01


def cut(
    subject: str, messages: Sequence[StoredMessage | Archived], most: int, most_bytes: int, generation: int = 0
) -> Batch | None:
    """The first batch of these messages: at most ``most``, ended by the day and by ``most_bytes`` of payload.

    A message that is larger than ``most_bytes`` is a batch of its own. ``None`` if there is no message.
    """
    taken: list[Archived] = []
    size, day, number = 0, "", -1
    for message in messages[:most]:
        if message.position is None:
            continue
        envelope = message.envelope
        size += len(envelope.payload)
        if envelope.timestamp // _DAY_MS != number:  # a name costs as much as the rest
            number = envelope.timestamp // _DAY_MS
            its_day = day_of(envelope.timestamp)
            if taken and its_day != day:
                break
            day = its_day
        if taken and size > most_bytes:
            break
        taken.append(message if isinstance(message, Archived) else Archived(message.position, envelope))
    return Batch(subject, day, tuple(taken), generation) if taken else None
