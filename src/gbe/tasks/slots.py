"""Places for tasks in one worker: so many at a time, and who waits for one with a higher priority gets it first."""

import asyncio
from collections import deque
from contextlib import suppress

from gbe.lifecycle.names import Priority


class Slots:
    """A semaphore with classes."""

    def __init__(self, count: int) -> None:
        self.count = self._free = count
        self._waiting: dict[Priority, deque[asyncio.Future[None]]] = {priority: deque() for priority in Priority}

    @property
    def taken(self) -> int:
        """How many are in use."""
        return self.count - self._free

    def take(self) -> bool:
        """Take a free place at once, unless somebody waits."""
        if self._free <= 0 or any(self._waiting.values()):
            return False
        self._free -= 1
        return True

    async def acquire(self, priority: Priority, patience: float | None = None) -> bool:
        """Take a place; ``False`` if none came free within ``patience`` seconds."""
        if self.take():
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._waiting[priority]
        queue.append(future)
        if self._free > 0:
            self._hand_out()
        try:
            async with asyncio.timeout(patience):
                await future
        except TimeoutError:
            return self._given_up(queue, future)
        except BaseException:
            if self._given_up(queue, future):
                self.release()
            raise
        return True

    @staticmethod
    def _given_up(queue: "deque[asyncio.Future[None]]", future: "asyncio.Future[None]") -> bool:
        """Whether the place came all the same."""
        if future.done() and not future.cancelled():
            return True
        future.cancel()
        with suppress(ValueError):
            queue.remove(future)
        return False

    def release(self) -> None:
        """Give a place back."""
        self._free += 1
        self._hand_out()

    def _hand_out(self) -> None:
        for queue in self._waiting.values():
            while queue and self._free > 0:
                future = queue.popleft()
                if not future.done():
                    self._free -= 1
                    future.set_result(None)
