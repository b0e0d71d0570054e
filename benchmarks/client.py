"""A small HTTP client on one kept connection: for single requests whose latency is measured."""

import asyncio
from types import TracebackType
from typing import Final, Self

HOST: Final = "127.0.0.1"


class Client:
    """``async with Client(port) as client``; one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(HOST, self._port, limit=2**26)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.close()

    async def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of the answer; anything but 200 is an ``AssertionError``."""
        head = f"{method} {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        head_end = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        assert head_end[9:12] == b"200", head_end
        if b"transfer-encoding: chunked" not in head_end:
            start = head_end.index(b"content-length: ") + 16
            return await self._reader.readexactly(int(head_end[start : head_end.index(b"\r", start)]))
        parts: list[bytes] = []
        while size := int(await self._reader.readline(), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readline()
        await self._reader.readline()
        return b"".join(parts)
