"""Counting in shared records by compare-and-set: the books show whether any change was applied twice, or denied."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.waiting import eventually

from gbe.state.base import StateStore

NOW = 1_790_000_000_000


class Counters:
    """Clients that count in shared records by compare-and-set, and keep their own books."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys
        self.applied = dict.fromkeys(keys, 0)
        self.done = 0

    async def count(self, store: StateStore, name: str, times: int) -> None:
        for number in range(times):
            key = self.keys[number % len(self.keys)]
            while True:
                now = await store.get_field(key, "n")
                assert now is not None
                changes = {"n": b"%d" % (int(now) + 1), "by": f"{name}-{number}".encode()}
                if number % 4 == 0:
                    changes["timeout_at"] = b"%d" % (NOW - int(now))  # earlier each time: with an index entry
                if await store.update_if(key, {"n": now}, changes):
                    break
            self.applied[key] += 1
            self.done += 1

    @asynccontextmanager
    async def counting(self, stores: list[StateStore], times: int) -> AsyncIterator[None]:
        """All clients count inside the block; on leaving it the books are balanced."""
        for key in self.keys:
            await stores[0].put(key, {"n": b"0"})
        tasks = [asyncio.create_task(self.count(store, f"c{n}", times)) for n, store in enumerate(stores * 4)]
        try:
            yield
            async with asyncio.timeout(90):
                await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for key in self.keys:
            assert await stores[0].get_field(key, "n") == b"%d" % self.applied[key]

    async def reached(self, count: int) -> None:
        await eventually(lambda: self.done >= count, f"{count} applied changes")
