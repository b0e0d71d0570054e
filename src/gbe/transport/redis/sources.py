"""Subjects as one member reads them: whether what it reads follows on what it has read before."""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from gbe.redis.call import Call
from gbe.redis.client import RedisClient
from gbe.redis.errors import RedisFailedError
from gbe.redis.protocol import Argument, ReplyError
from gbe.transport.base import Position
from gbe.transport.redis.keys import SubjectKeys
from gbe.transport.runs import Run


class Source:
    """One subject, and the last of its entries that this member was given."""

    __slots__ = ("_count", "_run", "last")

    def __init__(self) -> None:
        self._run = Run()
        self._count = 0
        self.last: bytes | None = None

    def number(self, count: int = 1) -> int:
        """Of the next entry, whether or not it is handed over; with ``count``, of the first of so many."""
        first = self._run.base + self._count + 1
        self._count += count
        return first

    def since(self, number: int, position: Position, count: int = 1) -> Position:
        """An entry is handed over, or ``count`` of them: since where nothing is missing."""
        return self._run.follow(number, position, is_first=True, count=count)

    def learn(self, entries: Sequence[Any], next_ones: Sequence[Any] | None) -> None:
        """These were read; ``next_ones`` is what lay behind the last one before."""
        if not next_ones or next_ones[0][0] != entries[0][0]:
            self._run.break_off()
        self.last = entries[-1][0]

    def interrupt(self) -> None:
        """The stream is gone, or perhaps not the same any more: what is read next follows on nothing."""
        self.last = None


class Reading:
    """An ``XREADGROUP`` that was sent off, and with it a look at whether its entries follow on those before.

    The group's own mark does not tell: another member may have read, and a read that is sent again because its answer
    was lost takes the entries that follow. What lies behind the last entry in the stream does. A source has one
    reading at a time.

    Args:
        limit: how many entries it asks for.
        source: of the subject, if gaps are to be told.

    Attributes:
        came: when the entries were here, monotonic: their ack timeout runs since then at the latest.
    """

    __slots__ = ("_client", "_look", "_read", "_source", "came", "limit")

    def __init__(
        self, client: RedisClient, command: Sequence[Argument], names: SubjectKeys, limit: int, source: Source | None
    ) -> None:
        self._client, self._source, self.limit, self.came = client, source, limit, 0.0
        self._read = client.start(*command, slot=names.slot).may_be_left()
        self._look: Call | None = None
        if source is not None and source.last is not None:
            behind = b"(" + source.last
            look = client.start("XRANGE", names.stream, behind, b"+", "COUNT", 1, slot=names.slot)
            self._look = look.may_be_left()

    async def entries(self) -> Sequence[Any]:
        """What it has found; raises as the client does."""
        reply = await self._client.finish(self._read)
        self.came = time.monotonic()
        next_ones = None
        if self._look is not None:
            with suppress(RedisFailedError, ReplyError):  # then nobody vouches for the entries: they come all the same
                next_ones = await self._client.finish(self._look)
        entries: Sequence[Any] = reply[0][1] if reply else ()
        if entries and self._source is not None:
            self._source.learn(entries, next_ones)
        return entries
