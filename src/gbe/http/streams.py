"""A subscription on its way out: open event, replay, live messages, signs of life (section 5.3).

While a stream is idle it is one suspended coroutine that waits for its client to hang up. A live message is written
straight to the connection; only a client that reads slowly gets a queue, and a task that empties it.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Final

from gbe import metrics
from gbe.errors import NotifyError, TransportError
from gbe.http.asgi import ORIGIN, STOPPING, ClientGoneError, Headers, Receive, Scope, Send
from gbe.http.formats import Format
from gbe.http.open_streams import OpenStreams
from gbe.http.outlet import OUTLET, Outlet
from gbe.http.protocol import CLOSE_WITHOUT_FRAME
from gbe.http.services import Services, now_ms
from gbe.notify.errors import Refusal
from gbe.notify.hub import Subscriber
from gbe.notify.live import TopicMessage
from gbe.notify.since import FromTime as SinceTime
from gbe.notify.subscribing import SubscribeOptions
from gbe.notify.topics import masked
from gbe.notify.visitors import Visitor
from gbe.transport.base import EARLIEST, LATEST, AfterPosition, Start

logger = logging.getLogger(__name__)

WEBSOCKET_WRITE_DEADLINE: Final = 2.0
GOING_AWAY: Final = 1001
_FINISH_TIMEOUT: Final = 1.0

_STREAM_HEADERS: Final = (ORIGIN, (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
"""Not to be kept or collected by anything between us and the client."""

_TRUNCATED: Final = (b"x-messages-truncated", b"1")


class Stream(ABC):
    """One open subscription; ``HttpStream`` and ``WebSocketStream`` say how it begins and ends."""

    __slots__ = (
        "_ending",
        "_format",
        "_listed",
        "_live",
        "_main",
        "_options",
        "_outlet",
        "_pump",
        "_receive",
        "_replayed",
        "_send",
        "_services",
        "_streams",
        "_subscriber",
        "_truncated",
    )

    write_deadline: float | None = None
    """Seconds a client may take to accept what is buffered; ``None`` leaves it to the bounds of the queue."""

    hang_up: str
    """The ASGI message that says that the client is gone."""

    def __init__(
        self,
        services: Services,
        streams: OpenStreams,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        listed: str,
        topics: tuple[str, ...],
        options: SubscribeOptions,
        format: Format,  # noqa: A002 - the word of the specification
    ) -> None:
        self._services, self._streams = services, streams
        self._receive, self._send = receive, send
        self._outlet: Outlet = scope[OUTLET]
        self._listed, self._options, self._format = listed, options, format
        self._subscriber = Subscriber(
            topics, options.filters, format.message, services.notify, self._write_now, self._wake
        )
        self._pump: asyncio.Task[None] | None = None
        self._main: asyncio.Task[None] | None = None
        self._ending = False
        self._live = False
        self._replayed = 0  # bytes
        self._truncated = False

    # -- how it begins and ends

    @abstractmethod
    async def _start(self) -> None:
        """Accept: status and headers, or the upgrade."""

    @abstractmethod
    async def _finish(self) -> None:
        """End the stream properly."""

    # -- poll

    async def poll(self, payer: Visitor) -> None:
        """Send what is stored, then end. Nothing is sent before the engine has answered once.

        Args:
            payer: whose bandwidth of the day it costs.

        Raises:
            NotifyError: 42905, nothing of that bandwidth is left.
            TransportError: the engine did not answer in time.
        """
        pages = await self._replay_pages()
        first = await anext(pages, None)
        if first and not payer.bandwidth_left(now_ms()):
            raise Refusal.BANDWIDTH_SPENT.error()
        await self._start()
        try:
            await self._write_page(first or [], self._earliest)
            second = await anext(pages, None)  # a short first page is the only one, and this comes at once
            if second is not None:
                await self._write_page(second, self._earliest)
            if second is None or await self._unless_gone(self._write_pages(pages, self._earliest)):
                await self._finish()
        except TransportError as exc:
            await self._break_off(exc)
        finally:
            payer.use_bandwidth(self._replayed, now_ms())

    async def _replay_pages(self) -> AsyncIterator[list[TopicMessage]]:
        topics = self._subscriber.topics
        start = await self._services.history.start_of(topics, self._options.since, now_ms())
        if start is None:
            return _nothing()
        starts, self._truncated = await self._services.history.newest(topics, start)
        return self._past(starts)

    def _past(self, starts: Mapping[str, Start]) -> AsyncIterator[list[TopicMessage]]:
        """What is stored, and behind it what is not yet due, if that is wanted too."""
        pages = self._services.history.replay(starts, now_ms())
        return self._with_scheduled(pages) if self._options.scheduled else pages

    async def _with_scheduled(self, pages: AsyncIterator[list[TopicMessage]]) -> AsyncIterator[list[TopicMessage]]:
        # asked for first: what is delivered meanwhile is then in both, and shown once
        waiting = {m.notification.id: m for m in await self._services.scheduled.of_topics(self._subscriber.topics)}
        async for page in pages:
            for message in page:
                waiting.pop(message.notification.id, None)
            yield page
        if waiting:
            yield list(waiting.values())

    # -- stream

    async def run(self) -> None:
        """Serve the subscription until the client hangs up, reads too slowly, or the server stops.

        Raises:
            NotifyError, TransportError: before anything was sent.
        """
        self._main = asyncio.current_task()
        self._streams.add(self)
        is_open = False
        try:
            starts = await self._open()
            is_open = True
            try:
                if starts is None or await self._unless_gone(self._replay(starts)):
                    self._live = True
                    self._wake()
                    # here it stays; not in a method of its own, whose frame every idle stream would hold
                    while (await self._receive())["type"] != self.hang_up:
                        pass
            except (TransportError, NotifyError) as exc:
                await self._break_off(exc)
        except asyncio.CancelledError:
            if not self._ending or self._main is None:
                raise
            self._main.uncancel()
            if not is_open:
                raise STOPPING from None
            await self._end_properly()
        finally:
            self._close()

    def end(self) -> None:
        """Finish the stream properly, soon."""
        if not self._ending and self._main is not None:
            self._ending = True
            self._main.cancel()

    async def _open(self) -> Mapping[str, Start] | None:
        """Begin, and say from where to replay. Without a replay, live messages count from before the open event."""
        topics, history = self._subscriber.topics, self._services.history
        start = await history.start_of(topics, self._options.since, now_ms())
        starts = None
        if start is None:
            await self._services.hub.join(self._subscriber)
        else:
            starts, self._truncated = await history.newest(topics, start)
            # what would fail after the replay is told with a status now, not in mid-stream
            self._services.hub.check_room(self._subscriber.topics)
            await self._services.transport.ping()
        await self._start()
        self._outlet.push(self._format.control("open", self._listed, now_ms()))
        self._begin_keepalive()
        return starts

    async def _unless_gone(self, work: Coroutine[None, None, None]) -> bool:
        """Do something that takes long, and drop it when the client hangs up. Returns whether it was done."""
        doing = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self._until_gone())
        try:
            await asyncio.wait({doing, gone}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():  # looked at first: a WebSocket says only once that it is closed
                return False
            doing.result()
            return True
        finally:
            for task in (doing, gone):
                task.cancel()
            await asyncio.gather(doing, gone, return_exceptions=True)

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != self.hang_up:
            pass

    async def _replay(self, begin: Mapping[str, Start]) -> None:
        """The past first; then join, and read once more what came while we were not yet there."""
        history = self._services.history
        await self._write_pages(self._past(begin), self._earliest)
        self._subscriber.hold_back()
        await self._services.hub.join(self._subscriber)
        starts: dict[str, Start] = {}
        for topic, start in begin.items():
            last = self._subscriber.last_replayed(topic)
            # "latest" of a topic that had nothing: whatever is there now is new
            starts[topic] = AfterPosition(last) if last is not None else EARLIEST if start is LATEST else start
        # what came meanwhile is live: it does not matter how its time compares with the one that was asked for
        await self._write_pages(history.replay(starts, now_ms()), 0)
        self._subscriber.release()

    def _marks(self) -> Headers:
        """Headers that say what is special about this stream."""
        return [_TRUNCATED] if self._truncated else []

    @property
    def _earliest(self) -> int:
        """The time, unix seconds, that the subscription asks for; what is older is no part of the replay."""
        since = self._options.since
        return since.time if isinstance(since, SinceTime) else 0

    async def _write_pages(self, pages: AsyncIterator[list[TopicMessage]], earliest: int) -> None:
        async for page in pages:
            await self._write_page(page, earliest)

    async def _write_page(self, page: list[TopicMessage], earliest: int) -> None:
        frames = [
            frame
            for message in page
            if (frame := self._subscriber.replayed(message)) is not None and message.notification.time >= earliest
        ]
        if frames:
            await self._outlet.drained()
            data = b"".join(frames)
            self._replayed += len(data)
            self._outlet.push(data)

    async def _break_off(self, exc: TransportError | NotifyError) -> None:
        """The engine failed in mid-stream, or the last place went to somebody else.

        The stream ends visibly incomplete, so that its client asks again.
        """
        logger.warning("stream broken off: %s", exc, extra={"topics": masked(self._listed)})
        self._outlet.abort()
        await self._until_gone()

    # -- live

    def _write_now(self, frame: bytes) -> bool:
        if not self._live or self._outlet.is_stalled:
            return False
        self._outlet.push(frame)
        return True

    def _wake(self) -> None:
        given_up = self._subscriber.given_up
        if given_up is not None:
            metrics.streams_given_up.inc()
            logger.warning("stream closed: %s", given_up, extra={"topics": masked(self._listed)})
            self._outlet.abort()
        elif self._pump is None and self._live and self._subscriber.has_waiting:
            self._pump = asyncio.get_running_loop().create_task(self._write_waiting())

    async def _write_waiting(self) -> None:
        """Empty the queue of a slow client as fast as it reads."""
        try:
            while self._subscriber.has_waiting:
                async with asyncio.timeout(self.write_deadline):
                    await self._outlet.drained()
                self._outlet.push(self._subscriber.take())
        except TimeoutError:
            logger.warning("stream closed: its client does not read", extra={"topics": masked(self._listed)})
            self._outlet.abort()
        finally:
            self._pump = None

    def _begin_keepalive(self) -> None:
        self._streams.keepalive.add(self._send_keepalive)

    def _send_keepalive(self) -> None:
        if self._live and self._subscriber.given_up is None:
            self._subscriber.put(self._format.control("keepalive", self._listed, now_ms()))

    async def _end_properly(self) -> None:
        if self._pump is not None:
            await asyncio.wait({self._pump}, timeout=_FINISH_TIMEOUT)
        try:
            async with asyncio.timeout(_FINISH_TIMEOUT):
                await self._finish()
        except TimeoutError:
            # its client does not read: what is buffered would hold the connection for as long as that one likes
            logger.warning(
                "stream dropped: its client does not read that it ends", extra={"topics": masked(self._listed)}
            )
            self._outlet.abort()
            await self._until_gone()
        except ClientGoneError:
            pass

    def _close(self) -> None:
        self._live = False
        self._streams.keepalive.discard(self._send_keepalive)
        self._services.hub.leave(self._subscriber)
        self._subscriber.close()
        self._streams.discard(self)
        if self._pump is not None:
            self._pump.cancel()


async def _nothing() -> AsyncIterator[list[TopicMessage]]:
    return
    yield


class HttpStream(Stream):
    """``/json``, ``/sse`` and ``/raw``."""

    __slots__ = ()
    hang_up = "http.disconnect"

    async def _start(self) -> None:
        headers = [(b"content-type", self._format.content_type), *_STREAM_HEADERS, *self._marks()]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _finish(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})


class WebSocketStream(Stream):
    """``/ws``: text frames; signs of life are the protocol's own pings."""

    __slots__ = ()
    hang_up = "websocket.disconnect"
    write_deadline = WEBSOCKET_WRITE_DEADLINE

    def _begin_keepalive(self) -> None:
        """Nothing to do: the protocol pings."""

    async def _start(self) -> None:
        await self._receive()  # websocket.connect
        await self._send({"type": "websocket.accept", "headers": self._marks()})

    async def _finish(self) -> None:
        code = CLOSE_WITHOUT_FRAME if self._options.poll else GOING_AWAY
        await self._send({"type": "websocket.close", "code": code})
