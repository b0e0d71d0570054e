"""uvicorn's protocols with the bounds that they lack: on header bytes, on slow headers, on dead peers.

The scope gets ``gbe.abort``, which drops the connection without waiting for what is unsent: the only way to end a
stream whose client has stopped reading.
"""

import asyncio
import contextlib
import socket
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gbe.http.config import HttpConfig

ABORT: Final = "gbe.abort"
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
_TIMEOUT: Final = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class GuardedHttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 with bounded headers; made by ``protocols``."""

    limits: HttpConfig

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self._header_bytes = 0
        self._in_headers = True
        self._header_timer: asyncio.TimerHandle | None = self.loop.call_later(
            self.limits.header_timeout, self._headers_are_late
        )
        _watch_peer(transport.get_extra_info("socket"), self.limits.dead_peer_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_headers:
            if self._header_timer is None:
                self._header_timer = self.loop.call_later(self.limits.header_timeout, self._headers_are_late)
            self._header_bytes += len(data)
            # one read may hold the first bytes of a large body: only what is beyond a whole read is surely headers
            if self._header_bytes - len(data) > self.limits.max_header_bytes:
                self._refuse(_TOO_LARGE % (len(_TOO_LARGE_BODY), _TOO_LARGE_BODY))
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._in_headers = True
        self._counted = 0
        super().on_message_begin()
        scope = cast("dict[str, Any]", self.scope)
        scope[ABORT] = self.transport.abort

    def on_url(self, url: bytes) -> None:
        self._counted += len(url)
        if self._counted <= self.limits.max_header_bytes:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._counted += len(name) + len(value)
        if self._counted <= self.limits.max_header_bytes:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._header_bytes = 0
        self._stop_timer()
        if self._counted > self.limits.max_header_bytes:
            self._refuse(_TOO_LARGE % (len(_TOO_LARGE_BODY), _TOO_LARGE_BODY))
            raise _RefusedError
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_headers = True

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - what the parser minds is of no use to a client
        if not self.transport.is_closing():  # else it is answered already
            self._refuse(_BAD_REQUEST % (len(_BAD_REQUEST_BODY), _BAD_REQUEST_BODY))

    def _headers_are_late(self) -> None:
        self._header_timer = None
        if self._in_headers and not self.transport.is_closing():
            self._refuse(_TIMEOUT if self._header_bytes else b"")

    def _refuse(self, answer: bytes) -> None:
        self._stop_timer()
        if answer:
            self.transport.write(answer)
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


class _RefusedError(Exception):
    """Ends parsing; the answer is written."""


class QuietWebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket that can close without a frame, as ntfy does after a poll."""

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
        await super().send(message)

    async def run_asgi(self) -> None:
        cast("dict[str, Any]", self.scope)[ABORT] = self.transport.abort
        await super().run_asgi()


def protocols(limits: HttpConfig) -> tuple[type[asyncio.Protocol], type[asyncio.Protocol]]:
    """The HTTP and the WebSocket protocol for ``uvicorn.Config(http=…, ws=…)``."""
    return cast(
        "type[asyncio.Protocol]", type("HttpProtocol", (GuardedHttpProtocol,), {"limits": limits})
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
