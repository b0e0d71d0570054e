"""Threads for plain functions, which nobody can interrupt: one whose attempt is over goes on until it returns."""

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from gbe.plain import without_stop

logger = logging.getLogger(__name__)


class Threads:
    """As many threads as a worker has places for tasks."""

    def __init__(self, count: int) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="gbe.task")
        self._calls: dict[str, Future[Any]] = {}

    async def run(self, holder: str, call: Callable[[], Any]) -> Any:
        """Call it in a thread, in the context of the caller (its span, its context variables).

        Args:
            holder: names the call for ``when_over``.
            call: may go on after the caller has been cancelled.
        """
        future = self._executor.submit(contextvars.copy_context().run, without_stop, call)
        self._calls[holder] = future
        try:
            return await asyncio.wrap_future(future)
        finally:
            if future.done():
                del self._calls[holder]

    def when_over(self, holder: str, callback: Callable[[], None]) -> None:
        """Call back when nothing of this holder runs: now, or when its function has returned."""
        future = self._calls.pop(holder, None)
        if future is None:
            callback()
            return
        logger.warning("plain function goes on, and keeps its place until it returns", extra={"holder": holder})
        loop = asyncio.get_running_loop()

        def over(_future: "Future[Any]") -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for the place
                loop.call_soon_threadsafe(callback)

        future.add_done_callback(over)

    def close(self) -> None:
        """Begin nothing more; what runs is left to itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)
