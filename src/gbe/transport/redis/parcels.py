"""Parcels: what a member has read from a subject in one piece, kept in one piece, and answered with one command."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gbe.errors import DeliverySettledError
from gbe.transport.base import Delivery, Parcel, Position
from gbe.transport.redis import wire
from gbe.transport.redis.keys import SubjectKeys


class Keeper(Protocol):
    """The member that a parcel belongs to."""

    def acknowledge_parcel(self, parcel: "RedisParcel") -> None: ...

    def extend_parcel(self, parcel: "RedisParcel") -> None: ...

    def take_apart(self, parcel: "RedisParcel") -> Sequence[Delivery]: ...

    def replace_parcel(self, parcel: "RedisParcel", part: "RedisParcel | None") -> None: ...


class RedisParcel(Parcel):
    """Entries that were delivered for the first time, by one ``XREADGROUP``."""

    __slots__ = ("_is_settled", "_keeper", "entry_ids", "expires_at", "names", "number")

    def __init__(
        self, keeper: Keeper, names: SubjectKeys, entries: Sequence[Any], expires_at: float, number: int
    ) -> None:
        subject, position_of, entry_envelope = names.subject, wire.position_of, wire.entry_envelope
        self.entry_ids: list[bytes] = [entry_id for entry_id, _ in entries]
        positions = [position_of(entry_id) for entry_id in self.entry_ids]
        envelopes = [entry_envelope(subject, entry_id, fields) for entry_id, fields in entries]
        super().__init__(subject, positions, envelopes, positions[0])
        self._keeper, self.names, self.expires_at, self.number = keeper, names, expires_at, number
        self._is_settled = False

    def _part(self, numbers: Sequence[int], since: Position) -> "RedisParcel | None":
        self._is_settled = True
        part: RedisParcel | None = None
        if numbers:
            part = object.__new__(RedisParcel)
            Parcel.__init__(
                part, self.subject, [self.positions[n] for n in numbers], [self.envelopes[n] for n in numbers], since
            )
            part.entry_ids = [self.entry_ids[n] for n in numbers]
            part._keeper, part.names = self._keeper, self.names
            part.expires_at, part.number, part._is_settled = self.expires_at, 0, False
        self._keeper.replace_parcel(self, part)
        return part

    def settle(self) -> None:
        """It ends here; raises ``DeliverySettledError`` if it has."""
        if self._is_settled:
            raise DeliverySettledError(f"the parcel of {len(self)} messages of {self.subject} has already ended")
        self._is_settled = True

    async def ack(self) -> None:
        self.settle()
        self._keeper.acknowledge_parcel(self)

    async def nak(self) -> None:
        for delivery in self._keeper.take_apart(self):
            await delivery.nak()

    async def in_progress(self) -> None:
        if self._is_settled:
            raise DeliverySettledError(f"the parcel of {len(self)} messages of {self.subject} has already ended")
        self._keeper.extend_parcel(self)


class Parcels:
    """The parcels of a member: those that are here, and those that its caller holds.

    Attributes:
        held: that were handed over, have not ended and have not expired.
        messages: in both kinds.
        ahead: in those that are here.
    """

    __slots__ = ("_here", "ahead", "held", "messages")

    def __init__(self) -> None:
        self._here: list[RedisParcel] = []
        self.held: set[RedisParcel] = set()
        self.ahead = self.messages = 0

    @property
    def here(self) -> Sequence[RedisParcel]:
        """In the order in which they came."""
        return self._here

    def arrive(self, parcel: RedisParcel) -> None:
        """Another one is here."""
        self._here.append(parcel)
        self.ahead += len(parcel)
        self.messages += len(parcel)

    def hand_over(self, is_good: Callable[[RedisParcel], bool]) -> list[RedisParcel]:
        """All that are here; those that are no good are forgotten."""
        here, self._here, self.ahead = self._here, [], 0
        taken = []
        for parcel in here:
            if is_good(parcel):
                self.held.add(parcel)
                taken.append(parcel)
            else:
                self.messages -= len(parcel)
        return taken

    def release(self, parcel: RedisParcel) -> bool:
        """A parcel takes no room any more; whether it did."""
        if parcel not in self.held:
            return False
        self.held.discard(parcel)
        self.messages -= len(parcel)
        return True

    def replace(self, parcel: RedisParcel, part: RedisParcel | None) -> None:
        """A part takes the place of a parcel; of the other part the same is said."""
        self.release(parcel)
        if part is not None:
            self.held.add(part)
            self.messages += len(part)
