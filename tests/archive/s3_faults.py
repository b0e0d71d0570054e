"""An S3 server behind which trouble is made: 403, 500 and 503, uploads that are cut, answers that come late."""

import asyncio
import contextlib
from typing import Literal, Self

Mode = Literal["well", "403", "500", "503", "cut", "late", "gone"]

_CHUNK = 64 * 1024
_HALF = 700
"""Bytes of a request that arrive before it is cut: its head and a part of its body."""


class FaultyS3:
    """Forwards to a server of this machine, or does what ``mode`` says to connections and requests that follow."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._mode: Mode = "well"
        self.delay = 1.0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._abort()

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        """What happens from now on; the connections that are open end, so that it does."""
        self._mode = mode
        self._abort()

    def _abort(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mode = self._mode
        if mode == "gone":
            return
        if mode in ("403", "500", "503"):
            await reader.read(_CHUNK)
            writer.write(f"HTTP/1.1 {mode} Trouble\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            writer.write_eof()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
        limit = _HALF if mode == "cut" else None
        delay = self.delay if mode == "late" else 0.0
        try:
            pipes = (_pipe(reader, back, limit, 0.0), _pipe(there, writer, None, delay))
            tasks = [asyncio.ensure_future(pipe) for pipe in pipes]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            back.transport.abort()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None, delay: float) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK if limit is None else limit):
            if delay:
                await asyncio.sleep(delay)
            writer.write(data)
            await writer.drain()
            if limit is not None:
                limit -= len(data)
                if limit <= 0:
                    return
