"""Subjects as one member reads them: whether what it reads follows on what it has read before."""

import asyncio
from typing import Any

from gbe.redis.client import RedisClient
from gbe.redis.errors import RedisFailedError
from gbe.redis.protocol import ReplyError
from gbe.transport.base import Position
from gbe.transport.redis.keys import SubjectKeys
from gbe.transport.runs import Run


class Source:
    """One subject, and the last of its entries that this member was given."""

    __slots__ = ("_count", "_last", "_run")

    def __init__(self) -> None:
        self._run = Run()
        self._count = 0
        self._last: bytes | None = None

    def number(self) -> int:
        """Of the next entry, whether or not it is handed over."""
        self._count += 1
        return self._run.base + self._count

    def since(self, number: int, position: Position) -> Position:
        """An entry is handed over: since where nothing is missing."""
        return self._run.follow(number, position, is_first=True)

    async def read(self, client: RedisClient, command: tuple[Any, ...], names: SubjectKeys) -> Any:
        """Carry out an ``XREADGROUP``, and see whether its entries follow on those before.

        The group's own mark does not tell: another member may have read, and a read that is sent again because its
        answer was lost takes the entries that follow. What lies behind the last entry in the stream does.
        """
        if self._last is None:
            reply = await client.call(*command, slot=names.slot)
        else:
            look = client.call("XRANGE", names.stream, b"(" + self._last, b"+", "COUNT", 1, slot=names.slot)
            reply, next_ones = await asyncio.gather(client.call(*command, slot=names.slot), _or_nothing(look))
        if reply:
            entries = reply[0][1]
            if self._last is None or not next_ones or next_ones[0][0] != entries[0][0]:
                self._run.break_off()
            self._last = entries[-1][0]
        return reply


async def _or_nothing(look: Any) -> Any:
    try:
        return await look
    except (RedisFailedError, ReplyError):
        return None
