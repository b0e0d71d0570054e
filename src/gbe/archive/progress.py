"""How far a subject is archived: one record each in the state store, and the borders of the batch under way.

The borders are written before the batch is, and only where nobody else has written any. So there is one batch behind
each confirmed position, whoever writes it, and however often. Two archivers at a time, which one that was stopped and
wakes may bring about, write the same.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from gbe.archive.batch import Batch
from gbe.schemas.archive import LIFE, POSITION, progress_key, progress_prefix, pruned_days_key
from gbe.state.base import StateStore
from gbe.transport.base import Position


class Borders(msgspec.Struct, frozen=True):
    """Of a batch: its last position, and how many messages it has."""

    last: str
    messages: int


PRUNED: Final = "pruned"
_PRUNED_DAY: Final = "pruned_day"
_PRUNED_MESSAGES: Final = "pruned_messages"
_GENERATION: Final = "generation"


@dataclass(frozen=True, slots=True)
class Point:
    """A subject's progress.

    Attributes:
        position: everything up to here is archived; ``None`` at the start.
        mark: the sink's.
        messages, payload_bytes: archived so far.
        borders: of the batch under way.
        pruned: the hash of the sink's chain before the first day that is kept.
        pruned_day, pruned_messages: the last day that was removed from the chain, and how many messages in all.
        life: of the stream in which the position lies, as ``Transport.stream_life`` names it.
        generation: how often that stream was made anew.
    """

    position: Position | None = None
    mark: bytes = b""
    messages: int = 0
    payload_bytes: int = 0
    borders: Borders | None = None
    pruned: str = ""
    pruned_day: str = ""
    pruned_messages: int = 0
    life: str = ""
    generation: int = 0

    def covers(self, position: Position) -> bool:
        """Whether the message there is in the archive."""
        return self.position is not None and position <= self.position


class Progress:
    """The records of one archive.

    Every method raises ``StateError`` as the state store does; what was written is then found out by ``load``.
    """

    def __init__(self, state: StateStore, namespace: str, group: str) -> None:
        self._state, self._namespace, self._group = state, namespace, group

    async def load(self, subject: str) -> Point:
        """How far a subject is."""
        fields = await self._state.get(self._key(subject))
        return Point() if fields is None else point_of(fields)

    async def all(self) -> AsyncIterator[tuple[str, Point]]:
        """Every subject of which anything is archived or under way."""
        prefix = progress_prefix(self._namespace, self._group)
        async for record in self._state.scan(prefix):
            subject = record.fields.get("subject")
            if subject is not None:
                yield subject.decode(), point_of(record.fields)

    async def prune(self, subject: str, head: str, day: str, messages: int) -> None:
        """The chain of a subject begins behind this hash from now on; so many messages, of this day, are before it."""
        point = await self.load(subject)
        if point.pruned == head:
            return  # said by a prune that was interrupted
        fields = {
            PRUNED: head.encode(),
            _PRUNED_DAY: max(day, point.pruned_day).encode(),
            _PRUNED_MESSAGES: b"%d" % (point.pruned_messages + messages),
        }
        await self._state.set_fields(self._key(subject), fields)

    async def pruned_days(self) -> set[str]:
        """Days (``YYYY-MM-DD``) that were removed from a table, as ``add_pruned_day`` noted them."""
        fields = await self._state.get(pruned_days_key(self._namespace, self._group))
        return set(fields or ())

    async def add_pruned_day(self, day: str, now: int) -> None:
        """A day is about to be removed from a table; ``now`` is unix ms."""
        await self._state.set_fields(pruned_days_key(self._namespace, self._group), {day: b"%d" % now})

    async def intend(self, subject: str, point: Point, batch: Batch) -> Point | None:
        """Fix the borders of the next batch; ``None`` if somebody else has moved on: load again."""
        borders = Borders(str(batch.last), len(batch.messages))
        changes = {"borders": msgspec.json.encode(borders), "subject": subject.encode()}
        if not await self._state.update_if(self._key(subject), _expected(point), changes):
            return None
        return replace(point, borders=borders)

    async def confirm(self, subject: str, point: Point, batch: Batch, mark: bytes, now: int) -> Point | None:
        """The batch is in the archive; ``None`` if somebody else has said so: load again."""
        after = replace(
            point,
            position=batch.last,
            mark=mark,
            messages=point.messages + len(batch.messages),
            payload_bytes=point.payload_bytes + sum(len(message.envelope.payload) for message in batch.messages),
            borders=None,
        )
        changes: dict[str, bytes | None] = {
            POSITION: str(batch.last).encode(),
            "mark": mark,
            "messages": b"%d" % after.messages,
            "payload_bytes": b"%d" % after.payload_bytes,
            "archived_at": b"%d" % now,
            "borders": None,
        }
        return after if await self._state.update_if(self._key(subject), _expected(point), changes) else None

    async def begin(self, subject: str, point: Point, life: str) -> Point | None:
        """Note which stream is archived; ``None`` if somebody else has moved on: load again."""
        changes = {LIFE: life.encode(), "subject": subject.encode()}
        done = await self._state.update_if(self._key(subject), _expected(point), changes)
        return replace(point, life=life) if done else None

    async def begin_anew(self, subject: str, point: Point, life: str) -> Point | None:
        """The stream was made anew: nothing of it is archived. ``None`` if somebody else has moved on: load again."""
        after = replace(point, position=None, borders=None, life=life, generation=point.generation + 1)
        changes: dict[str, bytes | None] = {
            POSITION: None,
            "borders": None,
            LIFE: life.encode(),
            _GENERATION: b"%d" % after.generation,
        }
        return after if await self._state.update_if(self._key(subject), _expected(point), changes) else None

    def _key(self, subject: str) -> str:
        return progress_key(self._namespace, self._group, subject)


def point_of(fields: dict[str, bytes]) -> Point:
    """A record as a point."""
    position, borders = fields.get(POSITION), fields.get("borders")
    return Point(
        position=None if position is None else Position.parse(position.decode()),
        mark=fields.get("mark", b""),
        messages=int(fields.get("messages", b"0")),
        payload_bytes=int(fields.get("payload_bytes", b"0")),
        borders=None if borders is None else msgspec.json.decode(borders, type=Borders),
        pruned=fields.get(PRUNED, b"").decode(),
        pruned_day=fields.get(_PRUNED_DAY, b"").decode(),
        pruned_messages=int(fields.get(_PRUNED_MESSAGES, b"0")),
        life=fields.get(LIFE, b"").decode(),
        generation=int(fields.get(_GENERATION, b"0")),
    )


def _expected(point: Point) -> dict[str, bytes | None]:
    return {
        POSITION: None if point.position is None else str(point.position).encode(),
        "borders": None if point.borders is None else msgspec.json.encode(point.borders),
        LIFE: point.life.encode() or None,
    }
