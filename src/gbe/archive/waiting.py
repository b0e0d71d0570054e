"""What was handed to the archiver and is not in the archive yet, by subject."""

from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from gbe.archive.batch import Archived
from gbe.archive.progress import Point
from gbe.transport.base import Delivery, Position


class Held(msgspec.Struct, frozen=True, gc=False):
    """A delivery that waits: since when (monotonic), and whether its payload is still there."""

    came: float
    delivery: Delivery
    is_whole: bool


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
        held: deliveries by position.
        failures: in a row.
        retry_at: monotonic; not before.
        is_doubtful: whether something came that should be archived already: the stream may have been made anew.
        short: how often in a row fewer messages were in the stream than there should be.
    """

    subject: str
    room: Room
    point: Point | None = None
    held: dict[Position, Held] = field(default_factory=dict)
    failures: int = 0
    retry_at: float = 0.0
    is_doubtful: bool = False
    short: int = 0

    def hold(self, delivery: Delivery, now: float) -> None:
        """Keep a delivery until its message is archived; one that comes again replaces the first.

        Its payload is kept as long as there is room.
        """
        position, room = delivery.position, self.room
        if position in self.held and (earlier := self.drop(position)) is not None:
            now = earlier.came
        size = len(delivery.envelope.payload)
        is_whole = size <= room.left
        if is_whole:
            room.left -= size
        else:
            delivery.envelope = replace(delivery.envelope, payload=b"")
        room.messages += 1
        self.held[position] = Held(now, delivery, is_whole)

    def drop(self, position: Position) -> Held | None:
        """Hold it no longer."""
        found = self.held.pop(position, None)
        if found is not None:
            self.room.messages -= 1
            if found.is_whole:
                self.room.left += len(found.delivery.envelope.payload)
        return found

    def drop_all(self) -> list[Held]:
        """Hold nothing any more; returns what was held."""
        return [found for position in list(self.held) if (found := self.drop(position)) is not None]

    def take_archived(self) -> list[Delivery]:
        """Deliveries that are in the archive by now; they are held no longer."""
        point = self.point
        if point is None or point.position is None:
            return []
        archived, last, room = [], point.position, self.room
        left: dict[Position, Held] = {}
        for position, held in self.held.items():
            if position > last:
                left[position] = held
                continue
            archived.append(held.delivery)
            if held.is_whole:
                room.left += len(held.delivery.envelope.payload)
        room.messages -= len(archived)
        self.held = left
        return archived

    def following(self, behind: Position | None, most: int) -> list[Archived]:
        """The next messages behind a position as they were delivered, if it is certain that the stream has no others
        between them, and all of them are whole; else none."""
        if behind is None:
            return []
        found: list[Archived] = []
        for position in sorted(position for position in self.held if position > behind)[:most]:
            held = self.held[position]
            if not held.is_whole or held.delivery.since > behind:
                return []
            found.append(Archived(position, held.delivery.envelope))
        return found

    @property
    def since(self) -> float:
        """When the first of them came, monotonic; ``inf`` if there is none."""
        return min((held.came for held in self.held.values()), default=float("inf"))

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest of them was published, unix ms."""
        return min((held.delivery.envelope.timestamp for held in self.held.values()), default=None)
