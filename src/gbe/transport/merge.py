"""Several sequences of messages read as one, in the order in which their messages were stored."""

import asyncio
import heapq
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from gbe.transport.base import StoredMessage

PAGE_BYTES: Final = 8 * 1024 * 1024
"""A page ends with the message that reaches this, however many more were asked for."""
_AT_ONCE: Final = 200  # sources that are read at a time

Key = tuple[int | str, ...]


class Source(Protocol):
    """One sequence, read batch by batch."""

    async def read(self) -> Sequence[tuple[Key, StoredMessage]]:
        """The next messages with their keys, which rise within a source; nothing at its end, and from then on."""
        ...


class Merge:
    """The messages of all sources by their keys."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._read: list[deque[tuple[Key, StoredMessage]]] = [deque() for _ in sources]
        self._heads: list[tuple[Key, int]] = []

    async def take(self, limit: int) -> tuple[list[tuple[int, Key, StoredMessage]], bool]:
        """Up to ``limit`` messages with the numbers of their sources, and whether there are more."""
        found: list[tuple[int, Key, StoredMessage]] = []
        size = 0
        for begin in range(0, len(self._sources), _AT_ONCE):
            await self._refill(range(begin, min(begin + _AT_ONCE, len(self._sources))))
        while self._heads and len(found) < limit and size < PAGE_BYTES:
            _, number = heapq.heappop(self._heads)
            key, message = self._read[number].popleft()
            found.append((number, key, message))
            size += len(message.envelope.payload)
            if self._read[number]:
                heapq.heappush(self._heads, (self._read[number][0][0], number))
            else:
                await self._refill((number,))
        return found, bool(self._heads)

    async def _refill(self, numbers: Sequence[int]) -> None:
        batches = await asyncio.gather(*(self._sources[number].read() for number in numbers))
        for number, batch in zip(numbers, batches, strict=True):
            self._read[number].extend(batch)
            if batch:
                heapq.heappush(self._heads, (batch[0][0], number))
