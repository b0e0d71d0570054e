"""Tails: every stored message, replayed and then live, without gap or duplicate.

A tail of one subject listens to what the engine republishes after storing (``gbe-live.s.{subject}``). Each such
message names the sequence of its predecessor on the subject, so a gap shows at once and is read from the stream; after
a reconnect, or when this reader was too slow for its buffer, the stream is read from the last message seen.
A tail of a wildcard pattern reads through a consumer of its own instead: there a predecessor says too little.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final, Self

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from gbe.envelope import Envelope
from gbe.errors import TransportError
from gbe.subjects import is_literal, matches
from gbe.transport.base import (
    AfterId,
    AfterPosition,
    Edge,
    FromTime,
    Position,
    Start,
    StoredMessage,
    Tail,
)
from gbe.transport.nats import wire
from gbe.transport.nats.connection import NatsConnection
from gbe.transport.nats.errors import translated
from gbe.transport.nats.history import PAGE, History, deliver_policy
from gbe.transport.nats.ordered import BrokenError, OrderedConsumer
from gbe.transport.nats.streams import StreamRegistry

logger = logging.getLogger(__name__)

BUFFER: Final = 4096
"""Live messages that wait for a slow reader; beyond them it reads from the stream."""
BUFFER_BYTES: Final = 8 * 1024 * 1024
_RETRY_PAUSE: Final = 0.25
_INTEREST_SPREADS: Final = 1.0
_PULL: Final = 100
_PULL_EXPIRES: Final = 20.0
_HEARTBEAT: Final = 5.0

_Take = Callable[[StoredMessage], Awaitable[None]]
_StartIn = Callable[[str], Start]
"""Where to start in a stream."""


class NatsTail(Tail):
    """A tail over any patterns: one feed per subject or wildcard, merged."""

    def __init__(
        self,
        connection: NatsConnection,
        streams: StreamRegistry,
        history: History,
        patterns: Sequence[str],
        start: Start,
        on_close: Callable[["NatsTail"], object],
    ) -> None:
        self._connection, self._streams, self._history = connection, streams, history
        self._patterns, self._start = without_covered(patterns), start
        self._on_close = on_close
        self._feeds: list[_SubjectFeed | _PatternFeed] = []
        self._queue: asyncio.Queue[StoredMessage | None] = asyncio.Queue(maxsize=PAGE)
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        try:
            start_in = await self._starts()
            for number, pattern in enumerate(self._patterns):
                if is_literal(pattern):
                    feed: _SubjectFeed | _PatternFeed = _SubjectFeed(
                        self._connection, self._streams, self._history, pattern
                    )
                else:
                    feed = _PatternFeed(self._connection, self._streams, pattern, self._patterns[:number])
                self._feeds.append(feed)
                await feed.open(start_in)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _starts(self) -> _StartIn:
        start = self._start
        if isinstance(start, AfterId):
            return (await self._history.anchor(self._patterns, start.id)).start_in
        return lambda _: start

    def __aiter__(self) -> AsyncIterator[StoredMessage]:
        return self

    async def __anext__(self) -> StoredMessage:
        if len(self._feeds) == 1:
            message = await self._feeds[0].next()
        else:
            if not self._tasks and not self._closed:
                loop = asyncio.get_running_loop()
                self._tasks = [loop.create_task(self._forward(feed), name="gbe.tail") for feed in self._feeds]
            message = await _next_of(self._queue)
        if message is None:
            raise StopAsyncIteration
        return message

    async def _forward(self, feed: "_SubjectFeed | _PatternFeed") -> None:
        while (message := await feed.next()) is not None:
            await self._queue.put(message)

    async def close(self) -> None:
        """Stop; iterators end. Safe to repeat."""
        if self._closed:
            return
        self._closed = True
        for task in self._tasks:
            task.cancel()
        for feed in self._feeds:
            await feed.close()
        _end(self._queue)
        self._on_close(self)


def without_covered(patterns: Sequence[str]) -> list[str]:
    """The patterns in order, without repetitions and without subjects that a wildcard among them covers."""
    wildcards = [pattern for pattern in patterns if not is_literal(pattern)]
    kept = [p for p in patterns if not is_literal(p) or not any(matches(w, p) for w in wildcards)]
    return list(dict.fromkeys(kept))


async def _next_of(queue: "asyncio.Queue[StoredMessage | None]") -> StoredMessage | None:
    message = await queue.get()
    if message is None:
        queue.put_nowait(None)  # whoever else reads here must end too
    return message


def _end(queue: "asyncio.Queue[StoredMessage | None]") -> None:
    """Let the reader of a queue finish; what it has not read is still in the stream."""
    while queue.full():
        queue.get_nowait()
    queue.put_nowait(None)


class _Signal:
    """Wakes one waiting reader; a closed one stays awake."""

    __slots__ = ("_event", "closed")

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.closed = False

    def set(self) -> None:
        self._event.set()

    def close(self) -> None:
        self.closed = True
        self._event.set()

    async def wait(self) -> None:
        if not self.closed:
            await self._event.wait()
            if not self.closed:
                self._event.clear()


class _SubjectFeed:
    """One subject: a core subscription to what is republished, and the stream for whatever that misses."""

    def __init__(self, connection: NatsConnection, streams: StreamRegistry, history: History, subject: str) -> None:
        self._connection, self._streams, self._history, self._subject = connection, streams, history, subject
        self._live: deque[Msg] = deque()
        self._live_bytes = 0
        self._page: deque[StoredMessage] = deque()  # read from the stream and not handed out yet
        self._signal = _Signal()
        self._last = 0  # the sequence up to which everything of the subject was handed out
        self._behind = False  # the stream has to be read from there on
        self._subscriptions: list[Subscription] = []
        self._stop_listening: list[Callable[[], None]] = []
        self._timers: list[asyncio.TimerHandle] = []

    async def open(self, start_in: _StartIn) -> None:
        """Listen first, then find out where to begin: so nothing falls between."""
        stream = await self._streams.of_subject(self._subject)
        start = start_in(stream)
        self._subscriptions.append(
            await self._connection.subscribe(f"{wire.LIVE_PREFIX}.*.{self._subject}", self._on_live)
        )
        self._stop_listening.append(self._connection.on_reconnect(self._on_reconnect))
        self._look_again_later()
        self._stop_listening.append(await self._connection.on_new_leader(stream, self._look_again))
        match start:
            case Edge.EARLIEST:
                self._behind = True
            case AfterPosition(position):
                self._last, self._behind = position.major, True
            case FromTime(ms):
                # in this order: what is stored between the two questions is found by the second
                newest = await self._history.last_sequence(self._subject)
                found = await self._history.first_sequence_since(self._subject, ms)
                self._last, self._behind = (newest, False) if found is None else (found - 1, True)
            case _:
                self._last = await self._history.last_sequence(self._subject)

    async def close(self) -> None:
        self._signal.close()
        for stop_listening in self._stop_listening:
            stop_listening()
        for timer in self._timers:
            timer.cancel()
        await self._connection.unsubscribe(self._subscriptions)
        self._live.clear()

    def _on_live(self, msg: Msg) -> None:
        if len(self._live) >= BUFFER or self._live_bytes >= BUFFER_BYTES:
            self._live.clear()
            self._live_bytes = 0
            self._behind = True
        self._live.append(msg)
        self._live_bytes += len(msg.data)
        self._signal.set()

    def _on_reconnect(self) -> None:
        self._look_again()
        self._look_again_later()

    def _look_again_later(self) -> None:
        """Our server knows of a new subscription at once, the others of its cluster a moment later."""
        if self._connection.is_clustered:
            timer = asyncio.get_running_loop().call_later(_INTEREST_SPREADS, self._look_again)
            self._timers = [*(t for t in self._timers if t.when() > asyncio.get_running_loop().time()), timer]

    def _look_again(self) -> None:
        self._behind = True
        self._signal.set()

    async def next(self) -> StoredMessage | None:
        """The next message, or ``None`` once closed. Whoever stops waiting for it loses nothing."""
        while not self._signal.closed:
            if self._page:
                message = self._from_page()
            elif self._behind:
                message = None
                await self._catch_up()
            elif self._live:
                message = await self._from_live()
            else:
                message = None
                await self._signal.wait()
            if message is not None:
                return message
        return None

    def _from_page(self) -> StoredMessage | None:
        message = self._page.popleft()
        if message.position is None or message.position.major <= self._last:
            return None
        self._last = message.position.major
        return message

    async def _from_live(self) -> StoredMessage | None:
        msg = self._live[0]
        headers = msg.headers or {}
        if msg.subject.startswith(wire.VOLATILE):
            self._drop_live()
            return StoredMessage(_volatile(msg), None)
        sequence, previous = int(headers[wire.SEQUENCE]), int(headers.get(wire.LAST_SEQUENCE, "0"))
        if self._last < previous and self._last < sequence:
            await self._fill_up_to(previous)
            return None
        self._drop_live()
        if sequence <= self._last:
            return None
        self._last = sequence
        return wire.stored_message(msg.data, headers)

    def _drop_live(self) -> None:
        self._live_bytes -= len(self._live.popleft().data)

    async def _fill_up_to(self, previous: int) -> None:
        """What lies between the last message and the predecessor of the next; nothing, if that was removed."""
        try:
            page, _ = await self._history.page(self._subject, self._last)
        except TransportError as exc:
            await self._wait_for_engine(exc)
            return
        self._page.extend(page)
        if not page:
            self._last = max(self._last, previous)

    async def _catch_up(self) -> None:
        """Read on from the stream; what arrives live meanwhile is told apart by its sequence."""
        self._behind = False  # first: a connection that is lost during the read sets it again
        has_more = True
        try:
            page, has_more = await self._history.page(self._subject, self._last)
            self._page.extend(page)
        except TransportError as exc:
            await self._wait_for_engine(exc)
        finally:
            self._behind = self._behind or has_more

    async def _wait_for_engine(self, error: TransportError) -> None:
        if not self._signal.closed:
            logger.warning("tail waits for the engine: %s", error, extra={"subject": self._subject})
            await asyncio.sleep(_RETRY_PAUSE)


def _volatile(msg: Msg) -> Envelope:
    subject = msg.subject[len(wire.VOLATILE) + 1 :]
    return wire.envelope_of(subject, msg.data, msg.headers, 0, 0)


class _PatternFeed:
    """One wildcard pattern: a short-lived consumer per stream, made anew behind the last message when it breaks."""

    def __init__(
        self, connection: NatsConnection, streams: StreamRegistry, pattern: str, earlier: Sequence[str]
    ) -> None:
        self._connection, self._streams, self._pattern = connection, streams, pattern
        self._earlier = [p for p in earlier if not is_literal(p)]  # what they cover, they show
        self._queue: asyncio.Queue[StoredMessage | None] = asyncio.Queue(maxsize=BUFFER)
        self._queued_bytes = 0
        self._has_room = asyncio.Event()
        self._readers: list[_StreamReader] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._subscriptions: list[Subscription] = []

    async def open(self, start_in: _StartIn) -> None:
        self._subscriptions.append(
            await self._connection.subscribe(f"{wire.VOLATILE}.{self._pattern}", self._on_volatile)
        )
        for stream in await self._streams.required(self._pattern):
            reader = _StreamReader(self._connection, stream, self._pattern, start_in(stream), self._take)
            self._readers.append(reader)
            await reader.open()
            self._tasks.append(asyncio.get_running_loop().create_task(reader.run(), name=f"gbe.tail.{stream}"))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for reader in self._readers:
            await reader.close()
        await self._connection.unsubscribe(self._subscriptions)
        _end(self._queue)

    async def next(self) -> StoredMessage | None:
        """The next message, or ``None`` once closed."""
        message = await _next_of(self._queue)
        if message is not None:
            self._queued_bytes -= len(message.envelope.payload)
            self._has_room.set()
        return message

    async def _take(self, message: StoredMessage) -> None:
        subject = message.envelope.subject
        if any(matches(pattern, subject) for pattern in self._earlier):
            return
        while self._queued_bytes > BUFFER_BYTES:  # the rest waits in the engine
            self._has_room.clear()
            await self._has_room.wait()
        self._queued_bytes += len(message.envelope.payload)
        await self._queue.put(message)

    def _on_volatile(self, msg: Msg) -> None:
        envelope = _volatile(msg)
        if any(matches(pattern, envelope.subject) for pattern in self._earlier):
            return
        if self._queued_bytes <= BUFFER_BYTES and not self._queue.full():  # a slower reader was promised nothing
            self._queued_bytes += len(envelope.payload)
            self._queue.put_nowait(StoredMessage(envelope, None))


class _StreamReader:
    """Reads one stream through a consumer of its own, in order and without gap; makes it again whenever it breaks."""

    def __init__(self, connection: NatsConnection, stream: str, pattern: str, start: Start, take: _Take) -> None:
        self._connection, self._stream, self._pattern, self._take = connection, stream, pattern, take
        self._start = deliver_policy(start)
        self._consumer = OrderedConsumer(
            connection, stream, [pattern], page=_PULL, expires=_PULL_EXPIRES, heartbeat=_HEARTBEAT
        )

    async def open(self) -> None:
        """Create the consumer: from now on nothing is missed."""
        with translated(f"tail of {self._pattern}"):
            await self._consumer.open(self._start)

    async def close(self) -> None:
        """Give up the consumer; never raises."""
        await self._consumer.close()

    async def run(self) -> None:
        """Pull and hand over, until cancelled."""
        stop_listening = self._connection.on_reconnect(self._consumer.interrupt)
        try:
            while True:
                try:
                    async for about, msg in self._consumer.pull():
                        await self._hand_over(about, msg)
                except BrokenError as exc:
                    logger.info("tail starts its consumer again: %s", exc, extra={"stream": self._stream})
                    await self._reopen()
        finally:
            stop_listening()

    async def _reopen(self) -> None:
        while True:
            try:
                await self.open()
            except TransportError as exc:
                logger.warning("tail waits for the engine: %s", exc, extra={"stream": self._stream})
                await asyncio.sleep(_RETRY_PAUSE)
            else:
                return

    async def _hand_over(self, about: wire.AckSubject, msg: Msg) -> None:
        if not msg.subject.startswith(wire.SCHEDULED):
            envelope = wire.envelope_of(msg.subject, msg.data, msg.headers, about.sequence, about.stored_ms)
            await self._take(StoredMessage(envelope, Position(about.sequence)))
