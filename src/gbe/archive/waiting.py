"""What was handed to the archiver and is not in the archive yet, by subject."""

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from gbe.archive.batch import Archived
from gbe.archive.progress import Point
from gbe.transport.base import Parcel, Position

_NOWHERE: Final = Position(-1)


@dataclass(slots=True, eq=False)
class Held:
    """A parcel that waits.

    Attributes:
        came: monotonic.
        size: of its payload, as far as that is kept.
        is_whole: whether its payload is still there.
    """

    came: float
    parcel: Parcel
    size: int
    is_whole: bool

    @property
    def first(self) -> Position:
        """Where its parcel begins."""
        return self.parcel.first


class Room:
    """How much payload may be kept until it is written; what does not fit is read from the stream again.

    Attributes:
        messages: that are held, of all subjects.
        left: bytes.
    """

    __slots__ = ("left", "messages")

    def __init__(self, payload_bytes: int) -> None:
        self.messages, self.left = 0, payload_bytes


@dataclass(slots=True)
class Waiting:
    """One subject.

    Attributes:
        room: of all subjects together.
        point: how far it is archived; ``None`` while nobody has looked.
        held: parcels, in the order of where they begin; no message is in two of them.
        count: messages in them.
        failures: in a row.
        retry_at: monotonic; not before.
        is_doubtful: whether something came that should be archived already: the stream may have been made anew.
        short: how often in a row fewer messages were in the stream than there should be.
    """

    subject: str
    room: Room
    point: Point | None = None
    held: list[Held] = field(default_factory=list)
    count: int = 0
    failures: int = 0
    retry_at: float = 0.0
    is_doubtful: bool = False
    short: int = 0
    _newest: Position = _NOWHERE  # nothing that is held lies behind it

    def hold(self, parcel: Parcel, now: float) -> None:
        """Keep a parcel until its messages are archived; one that comes again replaces what came first.

        Its payload is kept as long as there is room.
        """
        if parcel.first <= self._newest:
            now = min(now, self._make_way(parcel))
        self._newest = max(self._newest, parcel.last)
        self._enter(Held(now, parcel, _payload_bytes(parcel), is_whole=True))

    def _make_way(self, parcel: Parcel) -> float:
        """Let go of the messages that have come again; returns when the first of them came."""
        again, came = frozenset(parcel.positions), float("inf")
        for held in self._all_out():
            earlier = held.parcel
            if earlier.last < parcel.first or earlier.first > parcel.last or again.isdisjoint(earlier.positions):
                self._enter(held)
            else:
                came = min(came, held.came)
                self._enter_part(held, earlier.without(again))
        return came

    def _enter(self, held: Held) -> None:
        room, parcel = self.room, held.parcel
        if held.size > room.left:
            parcel.envelopes = [replace(envelope, payload=b"") for envelope in parcel.envelopes]
            held.size, held.is_whole = 0, False
        room.left -= held.size
        room.messages += len(parcel)
        self.count += len(parcel)
        if self.held and self.held[-1].first > parcel.first:
            insort(self.held, held, key=_first)
        else:
            self.held.append(held)

    def _enter_part(self, held: Held, part: Parcel | None) -> None:
        if part is not None:
            self._enter(held if part is held.parcel else Held(held.came, part, _payload_bytes(part), held.is_whole))

    def _all_out(self) -> list[Held]:
        """Everything that is held, which is not accounted for any more."""
        held, self.held = self.held, []
        self.room.left += sum(one.size for one in held)
        self.room.messages -= self.count
        self.count = 0
        return held

    def take_archived(self) -> list[Parcel]:
        """What is in the archive by now; it is held no longer."""
        if self.point is None or self.point.position is None:
            return []
        taken: list[Parcel] = []
        for held in self._all_out():
            front, back = held.parcel.split(self.point.position)
            self._enter_part(held, back)
            if front is not None:
                taken.append(front)
        return taken

    def count_behind(self, position: Position | None) -> int:
        """How many messages are held that lie behind a position, or how many at all."""
        if position is None:
            return self.count
        return sum(len(held.parcel) - bisect_right(held.parcel.positions, position) for held in self.held)

    def drop_behind(self, position: Position | None) -> list[Parcel]:
        """What lies behind a position, or everything; it is held no longer."""
        if position is None:
            return self.drop_all()
        dropped: list[Parcel] = []
        for held in self._all_out():
            front, back = held.parcel.split(position)
            self._enter_part(held, front)
            if back is not None:
                dropped.append(back)
        return dropped

    def drop_all(self) -> list[Parcel]:
        """Hold nothing any more; returns what was held."""
        self._newest = _NOWHERE
        return [held.parcel for held in self._all_out()]

    def following(self, behind: Position | None, most: int) -> Sequence[Archived]:
        """The next messages behind a position as they were delivered, if it is certain that the stream has no others
        between them, and all of them are whole; else none."""
        if behind is None:
            return []
        found: list[Archived] = []
        for held in self.held:
            parcel = held.parcel
            if parcel.last <= behind:
                continue
            if not held.is_whole or parcel.since > behind:
                return []
            skipped = 0 if parcel.first > behind else bisect_right(parcel.positions, behind)
            found += map(Archived, parcel.positions[skipped:], parcel.envelopes[skipped:])
            if len(found) >= most:
                return found[:most]
        return found

    @property
    def since(self) -> float:
        """When the first of them came, monotonic; ``inf`` if there is none."""
        return min((held.came for held in self.held), default=float("inf"))

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest of them was published, unix ms."""
        return min((one.timestamp for held in self.held for one in held.parcel.envelopes), default=None)


def _first(held: Held) -> Position:
    return held.parcel.first


def _payload_bytes(parcel: Parcel) -> int:
    return sum([len(envelope.payload) for envelope in parcel.envelopes])
