"""Replay: what topics have stored, read from the transport page by page, in the order of section 5.2."""

import heapq
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from gbe.errors import MessageNotFoundError
from gbe.notify.config import NotifyConfig
from gbe.notify.hub import topic_subject
from gbe.notify.ids import to_ulid
from gbe.notify.live import TopicMessage, read_message
from gbe.notify.since import AfterMessage, Replay, Since
from gbe.notify.since import FromTime as SinceTime
from gbe.transport.base import EARLIEST, LATEST, AfterPosition, FromTime, Position, Start, StoredMessage, Transport

PAGE: Final = 1000
_CLOCK_TOLERANCE_S: Final = 5  # between this process and the engine, when a time is looked up


class History:
    """Reads the stored messages of topics."""

    def __init__(self, transport: Transport, config: NotifyConfig, namespace: str) -> None:
        self._transport, self._config, self._namespace = transport, config, namespace

    async def start_of(self, topics: Sequence[str], since: Since, now_ms: int) -> Start | None:
        """From where to read, or ``None`` if nothing is to be replayed.

        A message id is looked up in all topics; an unknown one means everything (section 5.2).

        Raises:
            TransportError: the engine did not answer in time.
        """
        match since:
            case Replay.NONE:
                return None
            case Replay.LATEST:
                return LATEST
            case SinceTime(time):
                # a time to come would hide what is stored between this look and the next one
                earliest = min(time, now_ms // 1000) - _CLOCK_TOLERANCE_S
                return FromTime(earliest * 1000) if earliest > 0 else EARLIEST
            case AfterMessage(message_id):
                position = await self._position_of(topics, message_id, now_ms)
                return AfterPosition(position) if position is not None else EARLIEST
            case _:
                return EARLIEST

    async def _position_of(self, topics: Sequence[str], message_id: str, now_ms: int) -> Position | None:
        ulid = to_ulid(message_id, now_ms)
        if ulid is None:
            return None
        for topic in topics:
            position = await self._transport.locate(topic_subject(self._namespace, topic), ulid)
            if position is not None:
                return position
        return None

    async def newest(self, topics: Sequence[str], start: Start) -> tuple[dict[str, Start], bool]:
        """Where to start in each topic so that no more than ``replay_limit`` bytes come, and whether that cuts any.

        Without a limit nothing is read for it. With one, all that would be replayed is read once to be measured.

        Raises:
            TransportError: the engine did not answer in time.
        """
        starts = dict.fromkeys(topics, start)
        if not self._config.replay_limit or start is LATEST:
            return starts, False
        for topic in starts:
            last_left_out = await self._last_left_out(topic, start, self._config.replay_limit)
            if last_left_out is not None:
                starts[topic] = AfterPosition(last_left_out)
        return starts, any(each is not start for each in starts.values())

    async def _last_left_out(self, topic: str, start: Start, limit: int) -> Position | None:
        """The message before the newest that fit into ``limit`` bytes; ``None`` if all fit."""
        fitting: deque[tuple[Position, int]] = deque()
        size, left_out = 0, None
        async for stored in self._stored(topic, start, PAGE):
            for message in stored:
                if message.position is None:
                    continue
                fitting.append((message.position, len(message.envelope.payload)))
                size += fitting[-1][1]
                while size > limit:
                    left_out, gone = fitting.popleft()
                    size -= gone
        return left_out

    async def replay(self, starts: Mapping[str, Start], now_ms: int) -> AsyncIterator[list[TopicMessage]]:
        """The messages of all topics in pages sorted by time, then by arrival.

        Args:
            starts: the topics, each with its start; one that is a time brings some messages that are older.
            now_ms: unix milliseconds; what has expired by then is left out.

        Raises:
            TransportError: the engine did not answer in time.
        """
        now = now_ms // 1000
        page_size = max(10, PAGE // len(starts))
        readers = [self._topic(topic, start, page_size) for topic, start in starts.items()]
        pages = readers[0] if len(readers) == 1 else _merged(readers)
        async for page in pages:
            kept = [m for m in page if m.notification.expires is None or m.notification.expires > now]
            if kept:
                yield kept

    async def _topic(self, topic: str, start: Start, page_size: int) -> AsyncIterator[list[TopicMessage]]:
        async for stored in self._stored(topic, start, page_size):
            messages = [m for m in (read_message(topic, s) for s in stored) if m is not None]
            messages.sort(key=_time)  # stable: publishers that race over a full second do not show
            if messages:
                yield messages

    async def _stored(self, topic: str, start: Start, page_size: int) -> AsyncIterator[list[StoredMessage]]:
        subject = topic_subject(self._namespace, topic)
        while True:
            try:
                stored = await self._transport.read(subject, start=start, limit=page_size)
            except MessageNotFoundError:  # trimmed between two pages
                return
            if stored:
                yield stored
            last = stored[-1].position if stored else None
            if last is None or start is LATEST or len(stored) < page_size:
                return
            start = AfterPosition(last)


def _time(message: TopicMessage) -> int:
    return message.notification.time


def _order(message: TopicMessage) -> tuple[int, Position]:
    return message.notification.time, message.position or Position(0)


async def _merged(readers: Sequence[AsyncIterator[list[TopicMessage]]]) -> AsyncIterator[list[TopicMessage]]:
    """Merge sorted readers: a page goes out up to the point that every reader has passed."""
    heads: dict[int, list[TopicMessage]] = {}
    for number, reader in enumerate(readers):
        await _advance(heads, number, reader)
    while heads:
        # everything up to the earliest page end is complete: no reader can still bring something before it
        bound = min(_order(page[-1]) for page in heads.values())
        parts: list[list[TopicMessage]] = []
        for number, page in list(heads.items()):
            ready = [m for m in page if _order(m) <= bound]
            if ready:
                parts.append(ready)
                heads[number] = page[len(ready) :]
            if not heads[number]:
                await _advance(heads, number, readers[number])
        yield list(heapq.merge(*parts, key=_order))


async def _advance(
    heads: dict[int, list[TopicMessage]], number: int, reader: AsyncIterator[list[TopicMessage]]
) -> None:
    page = await anext(reader, None)
    if page is None:
        heads.pop(number, None)
    else:
        heads[number] = page
