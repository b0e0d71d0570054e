"""A TCP proxy that misbehaves when told: it cuts, it goes silent, it is slow."""

import asyncio
from contextlib import suppress
from typing import Self

_CHUNK = 64 * 1024
_REMEMBERED = 4096


class TcpProxy:
    """Forwards connections to a port of this machine; open it with ``async with``.

    Args:
        scheme: how its ``url`` begins.
    """

    def __init__(self, target_port: int, scheme: str = "nats") -> None:
        self._target_port, self._scheme = target_port, scheme
        self._links: set[_Link] = set()
        self._accepting: set[asyncio.Task[object]] = set()
        self.delay = 0.0  # seconds by which each chunk is late
        self.greeting_bytes: int | None = None  # new connections are cut after so many bytes from the target
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        while self._accepting:  # they are about to become links
            await asyncio.wait(self._accepting)
        self.cut()
        await asyncio.gather(*(link.ended.wait() for link in list(self._links)))

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """End all connections, as a router that restarts."""
        for link in list(self._links):
            link.abort()

    def stall(self, word: bytes = b"") -> None:
        """Forward nothing more on the present connections, and do not close them: a half-open connection.

        Args:
            word: only on those of which the client has said it.
        """
        for link in self._links:
            if word in link.said:
                link.flowing.clear()

    def heal(self) -> None:
        """Forward again, what was held up first."""
        for link in self._links:
            link.flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connecting = asyncio.ensure_future(asyncio.open_connection("127.0.0.1", self._target_port))
        self._accepting.add(connecting)
        try:
            target = await connecting
        except OSError:
            writer.transport.abort()
            return
        else:
            link = _Link(self, (reader, writer), target)
            self._links.add(link)
        finally:
            self._accepting.discard(connecting)
        try:
            await link.run()
        finally:
            self._links.discard(link)
            link.ended.set()


class _Link:
    """One connection through the proxy."""

    def __init__(
        self,
        proxy: TcpProxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        target: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy, self._client, self._target = proxy, client, target
        self._limit = proxy.greeting_bytes
        self.said = b""  # by the client, its first kilobytes
        self.flowing, self.ended = asyncio.Event(), asyncio.Event()
        self.flowing.set()

    async def run(self) -> None:
        pumps = [
            asyncio.ensure_future(self._pump(self._client[0], self._target[1], None, listens=True)),
            asyncio.ensure_future(self._pump(self._target[0], self._client[1], self._limit)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        self.abort()
        await asyncio.wait(pumps)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, limit: int | None, *, listens: bool = False
    ) -> None:
        with suppress(OSError):
            while data := await source.read(_CHUNK if limit is None else limit):
                if listens and len(self.said) < _REMEMBERED:
                    self.said += data
                if self._proxy.delay:
                    await asyncio.sleep(self._proxy.delay)
                await self.flowing.wait()
                sink.write(data)
                await sink.drain()
                if limit is not None:
                    return

    def abort(self) -> None:
        """Close both sides at once; what was under way is lost."""
        self.flowing.set()
        for _, writer in (self._client, self._target):
            writer.transport.abort()
