"""An open stream of events: one reader of the transport, written to one connection.

What a client does not read stays in the engine: it is read on only when the connection takes more. A client
that takes nothing for too long is disconnected, and nobody else notices.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from gbe import metrics
from gbe.errors import TransportError
from gbe.http.asgi import ClientGoneError, Receive, Scope, Send
from gbe.http.event_formats import EventFormat
from gbe.http.open_streams import OpenStreams
from gbe.http.outlet import OUTLET, Outlet
from gbe.http.streams import GOING_AWAY
from gbe.transport.base import StoredMessage

logger = logging.getLogger(__name__)

_TURN: Final = 100
"""Events that are read in one turn of the event loop."""
_FINISH_TIMEOUT: Final = 1.0
_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
)


class EventStream(ABC):
    """One subscription; subclasses say how it begins and ends.

    Args:
        label: what is followed, for the log.
        source: what is followed, not entered yet.
        frame: an event as bytes for the connection, ``None`` for one that is not wanted.
        patience: seconds a client may leave what was sent unread.
    """

    hang_up: str
    """The ASGI message that says that the client is gone."""

    def __init__(
        self,
        streams: OpenStreams,
        *,
        label: str,
        source: AbstractAsyncContextManager[AsyncIterator[StoredMessage]],
        frame: Callable[[StoredMessage], bytes | None],
        form: EventFormat,
        patience: float,
    ) -> None:
        self._streams, self._label, self._source = streams, label, source
        self._frame, self._form, self._patience = frame, form, patience
        self._ended = asyncio.Event()
        self._outlet: Outlet

    @abstractmethod
    async def _start(self, receive: Receive, send: Send) -> None: ...

    @abstractmethod
    async def _finish(self, send: Send) -> None: ...

    def end(self) -> None:
        """Finish properly, soon."""
        self._ended.set()

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until the client hangs up, reads too slowly, or the server stops.

        Raises:
            TransportError: before anything was sent.
        """
        self._outlet = scope[OUTLET]
        self._streams.add(self)
        try:
            async with self._source as messages:  # first: whatever is stored after the client sees the head reaches it
                await self._start(receive, send)
                if self._form.keepalive:
                    self._streams.keepalive.add(self._keep_alive)
                await self._serve(messages, receive, send)
        finally:
            self._streams.keepalive.discard(self._keep_alive)
            self._streams.discard(self)

    async def _serve(self, messages: AsyncIterator[StoredMessage], receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(self._until_gone(receive))
        pump = asyncio.ensure_future(self._pump(messages))
        ended = asyncio.ensure_future(self._ended.wait())
        tasks = (gone, pump, ended)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                return
            if pump.done() and not ended.done():
                self._break_off(pump.exception())
                await gone
            elif not await self._ends_properly(send):
                self._outlet.abort()  # its client does not read, and what is buffered would hold the connection
                await gone
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != self.hang_up:
            pass

    async def _pump(self, messages: AsyncIterator[StoredMessage]) -> None:
        read = 0
        async for message in messages:
            read += 1
            if read % _TURN == 0:
                await asyncio.sleep(0)  # what is buffered comes without waiting: let others run
            frame = self._frame(message)
            if frame is None:
                continue
            if self._outlet.is_stalled:
                async with asyncio.timeout(self._patience):
                    await self._outlet.drained()
            self._outlet.push(frame)

    def _keep_alive(self) -> None:
        if not self._outlet.is_stalled:
            self._outlet.push(self._form.keepalive)

    def _break_off(self, error: BaseException | None) -> None:
        """End visibly incomplete, so that the client asks again from where it was."""
        context = {"patterns": self._label}
        match error:
            case TimeoutError():
                metrics.streams_given_up.inc()
                logger.warning("stream of events closed: its client does not read", extra=context)
            case None | TransportError():
                logger.warning("stream of events broken off: %s", error or "the transport is closed", extra=context)
            case _:
                logger.error("stream of events failed", exc_info=error, extra=context)
        self._outlet.abort()

    async def _ends_properly(self, send: Send) -> bool:
        try:
            async with asyncio.timeout(_FINISH_TIMEOUT):
                await self._finish(send)
        except TimeoutError:
            return False
        except ClientGoneError:
            pass
        return True


class HttpEventStream(EventStream):
    """``/json`` and ``/sse``."""

    hang_up = "http.disconnect"

    async def _start(self, receive: Receive, send: Send) -> None:  # noqa: ARG002 - a GET has nothing to read
        headers = [(b"content-type", self._form.content_type), *_HEADERS]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _finish(self, send: Send) -> None:
        await send({"type": "http.response.body", "body": b""})


class WebSocketEventStream(EventStream):
    """``/ws``; signs of life are the protocol's own pings."""

    hang_up = "websocket.disconnect"

    async def _start(self, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        await send({"type": "websocket.accept", "headers": []})

    async def _finish(self, send: Send) -> None:
        await send({"type": "websocket.close", "code": GOING_AWAY})
