"""The body of a request: its beginning first, and the rest as long as somebody wants it."""

from collections.abc import AsyncIterator

from gbe.http.asgi import Receive, Scope, header, part_of


class Body:
    """Reads no more than it is asked for; slow clients are the protocol's business.

    Every method raises ``ClientGoneError`` when the client hangs up, or is hung up on because it took too long.
    """

    __slots__ = ("_begun", "_more", "_receive", "_scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope, self._receive = scope, receive
        self._begun: list[bytes] = []
        self._more = True

    @property
    def announced(self) -> int | None:
        """The length that the client has announced, if any."""
        text = header(self._scope, b"content-length")
        return int(text) if text.isascii() and text.isdigit() else None

    async def begin(self, limit: int) -> bytes:
        """The first ``limit`` bytes, or all if there are fewer. They remain to be read by ``parts``."""
        size = sum(map(len, self._begun))
        while self._more and size < limit:
            part = await self._next()
            self._begun.append(part)
            size += len(part)
        begun = self._begun  # nearly every body arrives at once
        return (begun[0] if len(begun) == 1 else b"".join(begun))[:limit]

    async def parts(self) -> AsyncIterator[bytes]:
        """Everything, part by part."""
        begun, self._begun = self._begun, []
        for part in begun:
            yield part
        while self._more:
            yield await self._next()

    async def _next(self) -> bytes:
        message = await self._receive()
        part = part_of(message)
        self._more = message.get("more_body", False)
        return part


async def one_part(data: bytes) -> AsyncIterator[bytes]:
    """A body that is there already."""
    yield data
