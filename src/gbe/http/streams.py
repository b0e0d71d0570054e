"""A subscription on its way out: open event, replay, live messages, signs of life (section 5.3).

While a stream is idle it is one suspended coroutine that waits for its client to hang up. Messages are written by a
short-lived task that exists only while something waits, so ten thousand idle streams are cheap.
"""

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Final, Generic

from gbe import metrics
from gbe.errors import TransportError
from gbe.http.asgi import ORIGIN, Message, Receive, Scope, Send
from gbe.http.formats import Format
from gbe.http.protocol import ABORT, CLOSE_WITHOUT_FRAME
from gbe.http.services import Services, now_ms
from gbe.notify.hub import Subscriber
from gbe.notify.live import Frame, TopicMessage
from gbe.notify.subscribing import SubscribeOptions
from gbe.transport.base import EARLIEST, LATEST, AfterPosition, Start

logger = logging.getLogger(__name__)

WEBSOCKET_WRITE_DEADLINE: Final = 2.0
GOING_AWAY: Final = 1001

_STREAM_HEADERS: Final = (ORIGIN, (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
"""Not to be kept or collected by anything between us and the client."""


class OpenStreams:
    """The streams of this process, so that a shutdown can end them."""

    def __init__(self) -> None:
        self._streams: set[Stream[bytes] | Stream[str]] = set()

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, stream: "Stream[bytes] | Stream[str]") -> None:
        self._streams.add(stream)
        metrics.subscribers.set(len(self._streams))

    def discard(self, stream: "Stream[bytes] | Stream[str]") -> None:
        self._streams.discard(stream)
        metrics.subscribers.set(len(self._streams))

    def end_all(self) -> None:
        """End every stream properly: clients see the end and connect again elsewhere or later."""
        for stream in list(self._streams):
            stream.end()


class Stream(ABC, Generic[Frame]):
    """One open subscription; ``HttpStream`` and ``WebSocketStream`` say how frames are written."""

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
        format: Format[Frame],  # noqa: A002 - the word of the specification
    ) -> None:
        self._services, self._streams = services, streams
        self._scope, self._receive, self._send = scope, receive, send
        self._listed, self._topics, self._options = listed, topics, options
        self._format: Format[Frame] = format
        self._subscriber: Subscriber[Frame] = Subscriber(
            topics, options.filters, format.message, services.notify, self._wake
        )
        self._pump: asyncio.Task[None] | None = None
        self._main: asyncio.Task[None] | None = None
        self._ending = False
        self._live = False
        self._keepalive: asyncio.TimerHandle | None = None

    # -- how frames go out

    @abstractmethod
    async def _start(self) -> None:
        """Accept: status and headers, or the upgrade."""

    @abstractmethod
    async def _write(self, frames: list[Frame]) -> None:
        """Write frames; returns when there is room for more."""

    @abstractmethod
    async def _finish(self) -> None:
        """End the stream properly."""

    @abstractmethod
    def _is_gone(self, message: Message) -> bool:
        """Whether an ASGI message says that the client hung up."""

    # -- poll

    async def poll(self) -> None:
        """Send what is stored, then end. Nothing is sent before the engine has answered once.

        Raises:
            TransportError: the engine did not answer in time.
        """
        pages = await self._replay_pages()
        first = await anext(pages, None)
        await self._start()
        try:
            await self._write_page(first or [])
            await self._write_pages(pages)
        except TransportError as exc:
            await self._break_off(exc)
        else:
            await self._finish()

    async def _replay_pages(self) -> AsyncIterator[list[TopicMessage]]:
        now = now_ms()
        since = self._options.since
        start = await self._services.history.start_of(self._topics, since, now)
        if start is None:
            return _nothing()
        return self._services.history.replay(dict.fromkeys(self._topics, start), since, now)

    # -- stream

    async def run(self) -> None:
        """Serve the subscription until the client hangs up, reads too slowly, or the server stops.

        Raises:
            NotifyError, TransportError: before anything was sent.
        """
        self._main = asyncio.current_task()
        self._streams.add(self)
        try:
            start = await self._services.history.start_of(self._topics, self._options.since, now_ms())
            if start is None:
                await self._services.hub.join(self._subscriber)
            await self._start()
            opened = now_ms()
            await self._write([self._format.control("open", self._listed, opened)])
            self._schedule_keepalive(asyncio.get_running_loop().time())
            try:
                if start is None:
                    self._go_live()
                    await self._until_gone()
                else:
                    await self._replay_then_live(start)
            except TransportError as exc:
                await self._break_off(exc)
        except asyncio.CancelledError:
            if not self._ending or self._main is None:
                raise
            self._main.uncancel()
            await self._end_properly()
        finally:
            self._close()

    def end(self) -> None:
        """Finish the stream properly, soon."""
        if not self._ending and self._main is not None:
            self._ending = True
            self._main.cancel()

    async def _replay_then_live(self, start: Start) -> None:
        gone = asyncio.ensure_future(self._until_gone())
        try:
            replay = asyncio.ensure_future(self._replay(start))
            await asyncio.wait({gone, replay}, return_when=asyncio.FIRST_COMPLETED)
            if not replay.done():
                replay.cancel()
                await asyncio.gather(replay, return_exceptions=True)
                return
            replay.result()
            self._go_live()
            await gone
        finally:
            gone.cancel()

    async def _replay(self, start: Start) -> None:
        """The past first; then join, and read once more what came while we were not yet there."""
        history, since = self._services.history, self._options.since
        await self._write_pages(history.replay(dict.fromkeys(self._topics, start), since, now_ms()))
        self._subscriber.hold_back()
        await self._services.hub.join(self._subscriber)
        starts: dict[str, Start] = {}
        for topic in self._topics:
            last = self._subscriber.last_replayed(topic)
            # "latest" of a topic that had nothing: whatever is there now is new
            starts[topic] = AfterPosition(last) if last is not None else EARLIEST if start is LATEST else start
        await self._write_pages(history.replay(starts, since, now_ms()))
        self._subscriber.release()

    async def _write_pages(self, pages: AsyncIterator[list[TopicMessage]]) -> None:
        async for page in pages:
            await self._write_page(page)

    async def _write_page(self, page: list[TopicMessage]) -> None:
        frames = [f for f in map(self._subscriber.replayed, page) if f is not None]
        if frames:
            await self._write(frames)

    async def _break_off(self, exc: TransportError) -> None:
        """The engine failed in mid-stream: end it visibly incomplete, so that the client asks again."""
        logger.warning("stream broken off: %s", exc, extra={"topics": self._listed})
        self._abort()
        await self._until_gone()

    async def _until_gone(self) -> None:
        while not self._is_gone(await self._receive()):
            pass

    # -- live

    def _go_live(self) -> None:
        self._live = True
        self._wake()

    def _wake(self) -> None:
        if self._pump is None and self._live and (self._subscriber.has_waiting or self._subscriber.overrun):
            self._pump = asyncio.get_running_loop().create_task(self._write_waiting())

    async def _write_waiting(self) -> None:
        try:
            while frames := self._subscriber.take():
                await self._write(frames)
        except Exception as exc:  # noqa: BLE001 - whatever it is, this client is lost, and only this one
            logger.info("stream lost: %s", exc, extra={"topics": self._listed})
            self._abort()
        finally:
            self._pump = None
        if self._subscriber.overrun:
            self._drop_slow_reader()

    def _drop_slow_reader(self) -> None:
        metrics.overruns.inc()
        logger.warning("stream closed: its client reads too slowly", extra={"topics": self._listed})
        self._abort()

    def _abort(self) -> None:
        abort = self._scope.get(ABORT)
        if abort is not None:
            abort()
        elif self._main is not None:
            self._main.cancel()

    def _schedule_keepalive(self, previous: float) -> None:
        """The next sign of life, at a fixed rate: traffic does not postpone it."""
        due = previous + self._services.notify.keepalive_interval
        self._keepalive = asyncio.get_running_loop().call_at(due, self._send_keepalive, due)

    def _send_keepalive(self, due: float) -> None:
        if self._live and not self._subscriber.overrun:
            self._subscriber.put(self._format.control("keepalive", self._listed, now_ms()))
        self._schedule_keepalive(due)

    async def _end_properly(self) -> None:
        if self._pump is not None:
            await asyncio.wait({self._pump}, timeout=1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._finish()

    def _close(self) -> None:
        self._live = False
        if self._keepalive is not None:
            self._keepalive.cancel()
        self._services.hub.leave(self._subscriber)
        self._streams.discard(self)
        if self._pump is not None:
            self._pump.cancel()


async def _nothing() -> AsyncIterator[list[TopicMessage]]:
    return
    yield


class HttpStream(Stream[bytes]):
    """``/json``, ``/sse`` and ``/raw``."""

    async def _start(self) -> None:
        headers = [(b"content-type", self._format.content_type), *_STREAM_HEADERS]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _write(self, frames: list[bytes]) -> None:
        body = frames[0] if len(frames) == 1 else b"".join(frames)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def _finish(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    def _is_gone(self, message: Message) -> bool:
        return bool(message["type"] == "http.disconnect")


class WebSocketStream(Stream[str]):
    """``/ws``: text frames; the server's pings are the protocol's."""

    def _schedule_keepalive(self, previous: float) -> None:
        """Nothing: the protocol pings."""

    async def _start(self) -> None:
        await self._receive()  # websocket.connect
        await self._send({"type": "websocket.accept", "headers": []})

    async def _write(self, frames: list[str]) -> None:
        async with asyncio.timeout(WEBSOCKET_WRITE_DEADLINE):
            for frame in frames:
                await self._send({"type": "websocket.send", "text": frame})

    async def _finish(self) -> None:
        code = CLOSE_WITHOUT_FRAME if self._options.poll else GOING_AWAY
        await self._send({"type": "websocket.close", "code": code})

    def _is_gone(self, message: Message) -> bool:
        return bool(message["type"] == "websocket.disconnect")
