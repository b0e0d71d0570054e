"""``max_msgs`` and ``max_bytes`` of a stream, over all its subjects: a ledger of what is stored, oldest first.

Only streams that have such a limit pay for it: one more round trip for each batch.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from gbe.redis.client import RedisClient
from gbe.redis.protocol import Argument
from gbe.transport.redis import keys, wire
from gbe.transport.redis.scripts import ACCOUNT, EVICT, OPEN_LEDGER
from gbe.transport.redis.streams import Stream

MESSAGE_OVERHEAD: Final = 64
"""Bytes that a stored message takes besides subject and payload, roughly."""
_PAGE: Final = 500
_LINES: Final = 5_000  # in one script


class Stored(NamedTuple):
    """A message that was stored: its subject, its entry id and the bytes of its payload."""

    subject: str
    entry_id: str
    size: int

    def line(self) -> str:
        """As the ledger has it: the place first, in digits of equal length, because the ledger is sorted by letters."""
        place = wire.position_of(self.entry_id.encode())
        size = self.size + len(self.subject) + MESSAGE_OVERHEAD
        return f"{place.major:020d}-{place.minor:020d} {size} {self.subject}"


class Limits:
    """Keeps the ledgers, and removes what they give up."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    async def account(self, stream: Stream, stored: Sequence[Stored]) -> None:
        """Enter what was stored, and remove the oldest messages that are too many now; raises as the client does."""
        config = stream.config
        arguments: list[Argument] = [
            config.max_msgs or 0,
            config.max_bytes or 0,
            *(message.line() for message in stored),
        ]
        names = [keys.ledger(stream.name), keys.ledger_bytes(stream.name)]
        flat: list[bytes] = await self._client.run(ACCOUNT, names, arguments)
        await asyncio.gather(
            *(self._evict(subject, place) for subject, place in zip(flat[::2], flat[1::2], strict=True))
        )

    async def _evict(self, subject: bytes, place: bytes) -> None:
        behind = wire.after(wire.position_of(place))
        await self._client.run(EVICT, [keys.keys_of(subject.decode()).stream], [behind])

    async def open_ledger(self, stream: Stream, subjects: Iterable[str]) -> None:
        """Begin to count: enter what is stored already. The stream has just been given its first limit."""
        names = [keys.ledger(stream.name), keys.ledger_bytes(stream.name)]
        if await self._client.call("EXISTS", names[1]):
            return
        found: list[Stored] = []
        for subject in subjects:
            found += await self._entries(subject)
        lines = [message.line() for message in found]
        await self._client.run(OPEN_LEDGER, names, lines[:_LINES])
        for begin in range(_LINES, len(lines), _LINES):  # without a limit, so nothing is given up before all is known
            await self._client.run(ACCOUNT, names, [0, 0, *lines[begin : begin + _LINES]])

    async def close_ledger(self, stream: Stream) -> None:
        """Count no more: the stream has lost its last limit."""
        await self._client.call("DEL", keys.ledger(stream.name), keys.ledger_bytes(stream.name))

    async def _entries(self, subject: str) -> list[Stored]:
        found: list[Stored] = []
        start = "-"
        while True:
            page: list[Any] = await self._client.call(
                "XRANGE", keys.keys_of(subject).stream, start, "+", "COUNT", _PAGE
            )
            for entry_id, fields in page:
                found.append(
                    Stored(subject, entry_id.decode(), len(wire.entry_envelope(subject, entry_id, fields).payload))
                )
            if len(page) < _PAGE:
                return found
            start = wire.after(wire.position_of(page[-1][0]))
