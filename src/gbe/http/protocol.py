"""uvicorn's protocols with the bounds that they lack: on header bytes, on slow headers, on dead peers.

Both are outlets too (``gbe.http.outlet``): a stream's frames go straight to the socket.
"""

import asyncio
import contextlib
import logging
import socket
from enum import Enum, auto
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from gbe.http.asgi import ClientGoneError
from gbe.http.config import HttpConfig
from gbe.http.outlet import OUTLET

logger = logging.getLogger(__name__)

CLOSE_WITHOUT_FRAME: Final = 1006
"""The code of a ``websocket.close`` that ends the connection without a close frame."""

_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
    b"access-control-allow-origin: *\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
)
_TOO_LARGE_BODY: Final = b'{"code":43101,"http":431,"error":"request headers are too large"}\n'
_BAD_REQUEST: Final = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
    b"access-control-allow-origin: *\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
)
_BAD_REQUEST_BODY: Final = b'{"code":40000,"http":400,"error":"invalid request; not HTTP/1.1"}\n'
_TIMEOUT_BODY: Final = b'{"code":40801,"http":408,"error":"request timeout; it did not arrive in time"}\n'
_TIMEOUT: Final = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\naccess-control-allow-origin: *\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(_TIMEOUT_BODY), _TIMEOUT_BODY)
)
_REFUSED_UPGRADE: Final = b"\r\naccess-control-allow-origin: *\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_MOST_DISCARDED: Final = 1024 * 1024
"""Bytes of a body that are read and dropped after its request was answered, so that the client sees the answer."""

_ENOUGH: Final = 64 * 1024
"""Bytes of a body that must come within ``http.body_timeout`` if it is not complete by then."""


_MOST_PIECES: Final = 64
"""Of a message from a client, which has nothing to say (section 5.5)."""

_GOODBYE_TIMEOUT: Final = 2.0
"""Seconds that a client which has answered no ping may take to read that it is disconnected."""


class _Phase(Enum):
    """Where a connection is in the request that it is sending."""

    IDLE = auto()
    HEADERS = auto()
    BODY = auto()
    OFFER = auto()  # its head offers a protocol that we do not speak: it is read again without the offer


class GuardedHttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 with bounded headers; made by ``protocols``.

    A request that arrives in one read, as nearly all do, starts no timer.
    """

    # slots: a few attributes more would turn the shared-key dictionary of each connection into one of its own
    __slots__ = ("_arrived", "_discarded", "_phase", "_received", "_running", "_timer", "_timer_phase")

    limits: HttpConfig

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self._phase = _Phase.IDLE
        self._received = 0  # of request line and headers, and of a chunked body what is not content
        self._running: RequestResponseCycle | None = None
        self._arrived = 0  # of a body, since its deadline was set
        self._discarded = 0  # of a body whose request is answered already
        self._timer: asyncio.TimerHandle | None = None
        self._timer_phase = _Phase.IDLE
        self._start_timer(self.limits.header_timeout)
        _watch_peer(transport.get_extra_info("socket"), self.limits.dead_peer_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)
        if self._running is not None and not self._running.response_complete:
            # uvicorn tells the request that came last, and behind a stream others may wait
            self._running.disconnected = True
            self._running.message_event.set()
        # these hold one another: apart, they go at once and not only when the collector comes
        self._running = None
        if self.scope is not None:
            cast("dict[str, Any]", self.scope).pop(OUTLET, None)
        self.cycle = cast("RequestResponseCycle", None)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """A client that has said all it has to say (``nc -N``) still wants its answer."""
        cycle = self._running
        if self._phase is _Phase.IDLE and cycle is not None and not cycle.response_started:
            cycle.keep_alive = False
            return True
        return None

    def data_received(self, data: bytes) -> None:
        if self._phase is _Phase.BODY and self.cycle.response_complete:
            self._discarded += len(data)
            if self._discarded > _MOST_DISCARDED:
                self.transport.abort()
                return
        else:
            # one read may hold the first bytes of a large body: only what is before this read is surely overhead
            if self._received > self.limits.max_header_bytes:
                self._refuse(_TOO_LARGE % (len(_TOO_LARGE_BODY), _TOO_LARGE_BODY))
                return
            self._received += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("")
        except httptools.HttpParserUpgrade as upgrade:
            if self._phase is _Phase.OFFER:
                self._read_without_offer(data[upgrade.args[0] :])
            else:
                self.handle_websocket_upgrade()
            return
        self._watch_progress()

    def _read_without_offer(self, rest: bytes) -> None:
        """Ignore an upgrade to what is no WebSocket, as a server may (RFC 9110, section 7.8): ``h2c`` of curl and Java.

        The parser leaves the body of such a request unread, and would take it for the next request.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":  # an upgrade without any such header
            self.send_400_response("")
            return
        lines = [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        # a new one: behind "Connection: close" the old one would throw everything away, and nobody be answered
        self.parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(AttributeError):  # as uvicorn has it
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._received = 0
        self.data_received(b"\r\n".join([method + b" " + self.url + b" HTTP/1.1", *lines, b"", rest]))

    def _watch_progress(self) -> None:
        """What is not complete after a read gets a deadline: one for the headers, one for the body."""
        if self._phase is _Phase.IDLE:
            self._received = self._discarded = 0
            if self._timer is not None:
                self._stop_timer()
        elif self._timer is None or self._timer_phase is not self._phase:
            headers = self._phase is _Phase.HEADERS
            self._start_timer(self.limits.header_timeout if headers else self.limits.body_timeout)

    def on_message_begin(self) -> None:
        self._phase = _Phase.HEADERS
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[OUTLET] = self

    def on_headers_complete(self) -> None:
        self._phase = _Phase.BODY
        size = len(self.url) + sum([len(name) + len(value) for name, value in self.headers])
        if size > self.limits.max_header_bytes:
            self._refuse(_TOO_LARGE % (len(_TOO_LARGE_BODY), _TOO_LARGE_BODY))
            raise _RefusedError
        hosts = [name for name, _ in self.headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and self.parser.get_http_version() == "1.1"):  # RFC 9112, section 3.2
            self.send_400_response("")
            raise _RefusedError
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            self.headers = []  # trailers would be added to the headers
        elif self._should_upgrade():
            super().on_headers_complete()
        else:
            self._phase = _Phase.OFFER

    def on_body(self, body: bytes) -> None:
        self._received = 0
        self._arrived += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._phase is not _Phase.OFFER:
            super().on_message_complete()
            self._phase = _Phase.IDLE

    def _should_upgrade(self) -> bool:
        """Only a GET becomes a WebSocket; with any other method the offer is ignored (RFC 6455, section 4.1)."""
        return self.parser.get_method() == b"GET" and super()._should_upgrade()

    def handle_websocket_upgrade(self) -> None:
        self._stop_timer()  # the connection is another protocol's from now on
        if not self.url.startswith(b"/"):  # a whole URL, as to a proxy
            parts = httptools.parse_url(self.url)
            self.url = (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")
        super().handle_websocket_upgrade()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - what the parser minds is of no use to a client
        if not self.transport.is_closing():  # else it is answered already
            self._refuse(_BAD_REQUEST % (len(_BAD_REQUEST_BODY), _BAD_REQUEST_BODY))

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer_phase = self._phase
        self._arrived = 0
        self._timer = self.loop.call_later(seconds, self._is_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_late(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._phase is _Phase.BODY and self._arrived >= _ENOUGH and not self.cycle.response_started:
            self._start_timer(self.limits.body_timeout)  # a large file on a slow line
        elif self._phase is _Phase.BODY and self.cycle.response_started:
            if self.cycle.response_complete:  # answered long ago; the rest of the body is of no interest
                self.transport.close()
        else:
            self._refuse(b"" if self._phase is _Phase.IDLE else _TIMEOUT)

    def _refuse(self, answer: bytes) -> None:
        self._stop_timer()
        if self._running is not None and self._running.response_started and not self._running.response_complete:
            self.transport.abort()  # an answer would land in the middle of another
            return
        if answer:
            self.transport.write(answer)
        self.transport.close()

    # -- outlet

    @property
    def is_stalled(self) -> bool:
        return self.flow.write_paused

    def push(self, frames: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(frames)

    async def drained(self) -> None:
        if self.flow.write_paused:
            await self.flow.drain()

    def abort(self) -> None:
        self.transport.abort()


class _RefusedError(Exception):
    """Ends parsing; the answer is written."""


class QuietWebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket that can close without a frame, as ntfy does after a poll, and lets go of clients that are gone."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated and not self.transport.is_closing():
            # a head that the library does not take (too many headers, a long line, a body) makes no request, which
            # uvicorn would neither answer nor ever close
            said = b"".join(self.conn.data_to_send()).partition(b"\r\n")[0] or b"HTTP/1.1 400 Bad Request"
            self.handshake_complete = self.close_sent = True
            self.transport.write(said + _REFUSED_UPGRADE)
            self.transport.close()

    async def send(self, message: Any) -> None:
        if (
            message["type"] == "websocket.close"
            and message.get("code") == CLOSE_WITHOUT_FRAME
            and self.handshake_complete
        ):
            self.stop_keepalive()
            self.close_sent = True
            self.transport.close()
            return
        try:
            await super().send(message)
        except ClientDisconnected:
            raise ClientGoneError("the client hung up") from None
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # by a refusal: uvicorn would log it as a fault of ours

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        scope = getattr(self, "scope", None)  # there is none before a good handshake
        if scope is not None:
            scope.pop(OUTLET, None)  # a cycle, as above

    def handle_ping(self) -> None:
        """A client that does not read its pongs gets no more of them; they would pile up here."""
        if self.is_stalled:
            self.conn.data_to_send()
        else:
            super().handle_ping()

    def handle_cont(self, event: Frame) -> None:
        """The size of a message is bounded, but not the number of its pieces, which may be empty."""
        if len(self.frames) >= _MOST_PIECES:
            self.abort()
        else:
            super().handle_cont(event)

    async def run_asgi(self) -> None:
        cast("dict[str, Any]", self.scope)[OUTLET] = self
        await super().run_asgi()

    def keepalive_timeout(self) -> None:
        if not self.close_sent and not self.transport.is_closing():
            # by its address: a path has topics in it, which are secrets
            logger.warning(
                "WebSocket closed: its client has not answered a ping within %g s",
                self.ping_timeout,
                extra={"client": self.client[0] if self.client else ""},
            )
            # a connection that closes waits until its client has read what is buffered, and this one may never
            self.loop.call_later(_GOODBYE_TIMEOUT, self.transport.abort)
        super().keepalive_timeout()

    # -- outlet

    @property
    def is_stalled(self) -> bool:
        return not self.writable.is_set()

    def push(self, frames: bytes) -> None:
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(frames)

    async def drained(self) -> None:
        await self.writable.wait()

    def abort(self) -> None:
        self.transport.abort()


def protocols(limits: HttpConfig) -> tuple[type[asyncio.Protocol], type[asyncio.Protocol]]:
    """The HTTP and the WebSocket protocol for ``uvicorn.Config(http=…, ws=…)``."""
    return cast(
        "type[asyncio.Protocol]", type("HttpProtocol", (GuardedHttpProtocol,), {"limits": limits, "__slots__": ()})
    ), QuietWebSocketProtocol


def _watch_peer(sock: socket.socket | None, timeout: float) -> None:
    """Let the kernel notice a peer that vanished, also on a stream that only writes now and then."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", timeout),
            ("TCP_KEEPINTVL", timeout / 4),
            ("TCP_USER_TIMEOUT", timeout * 1000),
        ):
            option = getattr(socket, name, None)  # not every platform has them all
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, max(1, round(value)))
