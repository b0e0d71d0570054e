"""What was handed to the archiver and is not in the archive yet, by subject."""

from dataclasses import dataclass, field, replace
from typing import Final

from gbe.archive.progress import Point
from gbe.transport.base import Delivery, Position

_SMALL: Final = 1024


@dataclass(slots=True)
class Waiting:
    """One subject.

    Attributes:
        point: how far it is archived; ``None`` while nobody has looked.
        held: deliveries by position, each with when it came (monotonic).
        failures: in a row.
        retry_at: monotonic; not before.
    """

    subject: str
    point: Point | None = None
    held: dict[Position, tuple[float, Delivery]] = field(default_factory=dict)
    failures: int = 0
    retry_at: float = 0.0
    is_short: bool = False

    def hold(self, delivery: Delivery, now: float) -> None:
        """Keep a delivery until its message is archived; one that comes again replaces the first.

        The payload is read from the stream when its time comes, and need not be kept.
        """
        envelope = delivery.envelope
        if len(envelope.payload) > _SMALL:
            delivery.envelope = replace(envelope, payload=b"")
        earlier = self.held.get(delivery.position)
        self.held[delivery.position] = (now if earlier is None else earlier[0], delivery)

    def take_archived(self) -> list[Delivery]:
        """Deliveries that are in the archive by now; they are held no longer."""
        point = self.point
        if point is None or point.position is None:
            return []
        done = [position for position in self.held if position <= point.position]
        return [self.held.pop(position)[1] for position in done]

    @property
    def since(self) -> float:
        """When the first of them came, monotonic; ``inf`` if there is none."""
        return min((came for came, _ in self.held.values()), default=float("inf"))

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest of them was published, unix ms."""
        return min((delivery.envelope.timestamp for _, delivery in self.held.values()), default=None)
