"""Reading what is stored. A subject is a stream of its own, so what others have stored costs nothing here."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from gbe.errors import MessageNotFoundError
from gbe.ids import ulid_time_ms
from gbe.redis.client import RedisClient
from gbe.transport.base import (
    AfterId,
    AfterPosition,
    BeforeTime,
    Edge,
    FromTime,
    Position,
    Start,
    Stop,
    StoredMessage,
    UpTo,
)
from gbe.transport.redis import keys, wire
from gbe.transport.redis.errors import translated
from gbe.transport.redis.scripts import LOCATE
from gbe.transport.redis.streams import Stream, StreamRegistry

PAGE: Final = 500
PAGE_BYTES: Final = 8 * 1024 * 1024
_FIRST_PAGE: Final = 32  # until it is known how large the messages are
# An id's own time is its maker's clock, just before the publish. The first window holds nearly every id; the others
# allow for clocks that disagree and for publishes that waited for an engine.
_WINDOWS_MS: Final = ((100, 1_000), (1_000, 15_000), (30_000, 60_000))
_LOCATE_PAGE: Final = 500
_MOST_AT_ONCE: Final = 200
_LAST_MS: Final = 1 << 62


class PageSize:
    """How many entries to ask for, so that a page has about ``PAGE_BYTES`` whatever the messages' size."""

    __slots__ = ("_count", "_most")

    def __init__(self, most: int = PAGE) -> None:
        self._most, self._count = most, min(most, _FIRST_PAGE)

    def __call__(self) -> int:
        return self._count

    def learn(self, messages: list[StoredMessage]) -> None:
        """Take the size of a page into account."""
        if messages:
            average = sum(len(message.envelope.payload) for message in messages) // len(messages) + 100
            self._count = max(1, min(self._most, 4 * self._count, PAGE_BYTES // average))


class History:
    """The stored messages of a subject."""

    def __init__(self, client: RedisClient, streams: StreamRegistry) -> None:
        self._client, self._streams = client, streams

    async def read(self, subject: str, start: Start, stop: Stop | None, limit: int) -> list[StoredMessage]:
        """See ``Transport.read``."""
        stream = await self._streams.of_subject(subject)
        names = keys.keys_of(subject)
        with translated(f"read {subject}"):
            if start is Edge.LATEST:
                newest = await self._client.call("XREVRANGE", names.stream, "+", "-", "COUNT", 1)
                found = self.alive(stream, [wire.stored(subject, entry) for entry in newest])
                return _before(found, stop)[:limit]
            begin = wire.after(await self.position_behind(subject, start))
            end = _end(stop)
            found = []
            size = PageSize(min(PAGE, max(1, limit)))
            while len(found) < limit and end is not None:
                count = min(size(), limit - len(found))
                page = await self._client.call("XRANGE", names.stream, begin, end, "COUNT", count)
                messages = [wire.stored(subject, entry) for entry in page]
                found += self.alive(stream, messages)
                size.learn(messages)
                if len(page) < count:
                    break
                begin = wire.after(wire.position_of(page[-1][0]))
            return found

    def alive(self, stream: Stream, messages: list[StoredMessage]) -> list[StoredMessage]:
        """Without those that are too old: what removes them comes by now and then."""
        if not stream.age_ms or not messages:
            return messages
        border = self._client.now_ms() - stream.age_ms
        first = messages[0].position
        if first is not None and first.major > border:
            return messages
        return [message for message in messages if message.position is not None and message.position.major > border]

    async def position_behind(self, subject: str, start: Start) -> Position:
        """The place of the last message that is left out; ``LATEST`` is none of its business."""
        match start:
            case FromTime(ms):
                return wire.before(min(ms, _LAST_MS))
            case AfterPosition(position):
                return position
            case AfterId(message_id):
                return await self.anchor([subject], message_id)
            case _:
                return Position(0, 0)

    async def anchor(self, subjects: Iterable[str], message_id: str) -> Position:
        """Where the message with this id lies on one of these subjects; ``MessageNotFoundError`` if on none."""
        wanted = list(subjects)
        for begin in range(0, len(wanted), _MOST_AT_ONCE):
            some = wanted[begin : begin + _MOST_AT_ONCE]
            for position in await asyncio.gather(*(self.find(subject, message_id) for subject in some)):
                if position is not None:
                    return position
        raise MessageNotFoundError(message_id)

    async def locate(self, subject: str, message_id: str) -> Position | None:
        """See ``Transport.locate``."""
        stream = await self._streams.of_subject(subject)
        position = await self.find(subject, message_id)
        if position is not None and stream.age_ms and position.major <= self._client.now_ms() - stream.age_ms:
            return None
        return position

    async def find(self, subject: str, message_id: str) -> Position | None:
        """Look around the id's own time, on the server: no message travels."""
        try:
            minted = ulid_time_ms(message_id)
        except ValueError:
            return None
        stream_key = keys.keys_of(subject).stream
        with translated(f"find a message on {subject}"):
            for early, late in _WINDOWS_MS:
                begin, end = str(max(0, minted - early)), str(minted + late)
                while begin:
                    found, reached = await self._client.run(
                        LOCATE, [stream_key], [message_id, begin, end, _LOCATE_PAGE]
                    )
                    if found:
                        return wire.position_of(found)
                    begin = wire.after(wire.position_of(reached)) if reached else ""
            return await self._find_nameless(subject, message_id)

    async def _find_nameless(self, subject: str, message_id: str) -> Position | None:
        """A message that another program stored without an id: the one it was given says where it lies."""
        place = wire.place_named(message_id)
        if place is None:
            return None
        only = wire.entry_id(place)
        for entry in await self._client.call("XRANGE", keys.keys_of(subject).stream, only, only):
            if wire.entry_envelope(subject, entry[0], entry[1]).id == message_id:
                return place
        return None

    async def newest(self, subject: str) -> Position:
        """The last place that was ever taken on a subject, (0, 0) if none was."""
        flat: Any = await self._client.call("XREVRANGE", keys.keys_of(subject).stream, "+", "-", "COUNT", 1)
        return wire.position_of(flat[0][0]) if flat else Position(0, 0)


def _end(stop: Stop | None) -> str | None:
    """The last entry id to read, or ``None`` for "nothing at all"."""
    match stop:
        case UpTo(position):
            return wire.entry_id(position)
        case BeforeTime(ms):
            return wire.entry_id(wire.before(min(ms, _LAST_MS))) if ms > 0 else None
        case _:
            return "+"


def _before(messages: list[StoredMessage], stop: Stop | None) -> list[StoredMessage]:
    match stop:
        case UpTo(position):
            return [message for message in messages if message.position is not None and message.position <= position]
        case BeforeTime(ms):
            return [message for message in messages if message.position is not None and message.position.major < ms]
        case _:
            return messages
