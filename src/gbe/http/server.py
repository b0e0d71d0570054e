"""Runs the application on listening sockets, with uvicorn, until told to stop."""

import asyncio
import contextlib
import socket
from collections.abc import Generator, Sequence
from typing import Any, Final, cast

import uvicorn

from gbe.errors import ConfigError
from gbe.http.app import Application
from gbe.http.protocol import protocols

WEBSOCKET_FRAME_LIMIT: Final = 64
"""Bytes a client may send in one frame: it has nothing to say but pong and close (section 5.5)."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which are ours, and with streams that end when the server stops."""

    def __init__(self, config: uvicorn.Config, application: Application) -> None:
        super().__init__(config)
        self._application = application

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        self._application.end_streams()
        await super().shutdown(sockets)


async def serve(application: Application, sockets: Sequence[socket.socket], stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set; then stop accepting, finish what is under way, and end all streams."""
    settings = application.services
    http_protocol, websocket_protocol = protocols(settings.http)
    server = _Server(
        uvicorn.Config(
            cast("Any", application),
            http=cast("Any", http_protocol),
            ws=cast("Any", websocket_protocol),
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the notify domain has its own rules for them
            backlog=settings.http.backlog,
            timeout_keep_alive=max(1, round(settings.http.keep_alive_timeout)),
            timeout_graceful_shutdown=max(1, round(settings.http.shutdown_timeout)),
            ws_max_size=WEBSOCKET_FRAME_LIMIT,
            ws_ping_interval=settings.notify.keepalive_interval,
            ws_ping_timeout=settings.http.pong_timeout,
            ws_per_message_deflate=False,
        ),
        application,
    )

    async def exit_on_stop() -> None:
        await stop.wait()
        server.should_exit = True

    watching = asyncio.create_task(exit_on_stop(), name="gbe.http.stop")
    try:
        await server.serve(list(sockets))
    finally:
        watching.cancel()
        await application.close()


def listen(host: str, port: int, *, backlog: int, share: bool = False) -> socket.socket:
    """A listening socket.

    Args:
        share: let further sockets listen on the same address; the kernel spreads connections over them.

    Raises:
        ConfigError: the address cannot be used; the text says why.
    """
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as exc:
        raise ConfigError(f"listen: {host} is not an address of this machine: {exc}") from exc
    family, kind, protocol, _, address = infos[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
        sock.listen(backlog)
        sock.setblocking(False)
    except OSError as exc:
        sock.close()
        raise ConfigError(f"listen: cannot listen on {host}:{port}: {exc.strerror or exc}") from exc
    return sock
