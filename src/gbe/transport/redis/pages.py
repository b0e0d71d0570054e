"""Pages of the history of many subjects: every subject is a stream of its own, and they are merged by position."""

import asyncio
from collections.abc import Sequence

from gbe.errors import InvalidCursorError
from gbe.redis.client import RedisClient
from gbe.subjects import is_literal
from gbe.transport.base import AfterId, Edge, Page, Position, Start, StoredMessage
from gbe.transport.merge import Key, Merge
from gbe.transport.redis import keys, wire
from gbe.transport.redis.activity import Activity
from gbe.transport.redis.errors import translated
from gbe.transport.redis.history import PAGE, History, PageSize
from gbe.transport.redis.streams import Stream, StreamRegistry


class Pages:
    """See ``Transport.read_page``. A cursor is the place of the page's last message: ``{position}~{subject}``."""

    def __init__(self, client: RedisClient, streams: StreamRegistry, activity: Activity, history: History) -> None:
        self._client, self._streams, self._activity, self._history = client, streams, activity, history

    async def read(self, patterns: Sequence[str], start: Start, cursor: str | None, limit: int) -> Page:
        """One page."""
        last = None if cursor is None else _parse(cursor)
        with translated(f"read {', '.join(patterns)}"):
            subjects = await self._subjects(patterns)
            if last is None and start is Edge.LATEST:
                return Page([], None)
            begins = await self._begins(list(subjects), start, last)
            size = PageSize(min(PAGE, max(1, limit)))
            share = max(1, len(subjects))
            sources = [
                _Subject(self._client, self._history, stream, subject, begin, size, share)
                for (subject, stream), begin in zip(subjects.items(), begins, strict=True)
            ]
            found, has_more = await Merge(sources).take(limit)
        messages = [message for _, _, message in found]
        return Page(messages, _cursor(messages[-1]) if has_more and messages else None)

    async def _subjects(self, patterns: Sequence[str]) -> dict[str, Stream]:
        found: dict[str, Stream] = {}
        wildcards = [pattern for pattern in patterns if not is_literal(pattern)]
        for pattern in patterns:
            if is_literal(pattern):
                found[pattern] = await self._streams.of_subject(pattern)
        streams: dict[str, Stream] = {}
        for pattern in wildcards:
            streams |= {stream.name: stream for stream in await self._streams.required(pattern)}
        if wildcards:
            for subject in await self._activity.subjects(streams.values(), wildcards):
                found.setdefault(subject, await self._streams.of_subject(subject))
        return found

    async def _begins(self, subjects: Sequence[str], start: Start, last: tuple[Position, str] | None) -> list[str]:
        """The first entry id of each subject that may be read."""
        if last is None:
            if isinstance(start, AfterId):
                place = await self._history.anchor(subjects, start.id)
            else:
                place = await self._history.position_behind("", start)
            return [wire.after(place)] * len(subjects)
        position, reached = last
        # of two messages with one position the page may have held the first alone
        return [wire.after(position) if subject <= reached else wire.entry_id(position) for subject in subjects]


class _Subject:
    """A ``Source``."""

    def __init__(
        self,
        client: RedisClient,
        history: History,
        stream: Stream,
        subject: str,
        begin: str,
        size: PageSize,
        share: int,
    ) -> None:
        self._client, self._history, self._stream = client, history, stream
        self._subject, self._begin, self._size, self._share = subject, begin, size, share
        self._done = False

    async def read(self) -> list[tuple[Key, StoredMessage]]:
        while not self._done:
            count = max(1, self._size() // self._share)
            names = keys.keys_of(self._subject)
            entries = await self._client.call("XRANGE", names.stream, self._begin, "+", "COUNT", count)
            self._done = len(entries) < count
            if entries:
                self._begin = wire.after(wire.position_of(entries[-1][0]))
            messages = self._history.alive(self._stream, [wire.stored(self._subject, entry) for entry in entries])
            self._size.learn(messages)
            if messages:
                return [(_key(message), message) for message in messages]
            await asyncio.sleep(0)
        return []


def _key(message: StoredMessage) -> Key:
    position = message.position or Position(0)
    return (position.major, position.minor, message.envelope.subject)


def _cursor(message: StoredMessage) -> str:
    return f"{message.position}~{message.envelope.subject}"


def _parse(cursor: str) -> tuple[Position, str]:
    position, _, subject = cursor.partition("~")
    try:
        return Position.parse(position[:60]), subject
    except ValueError:
        raise InvalidCursorError(cursor) from None
