"""Several processes that serve HTTP on one address, for one parent that owns the engine.

Each worker has a listening socket of its own on the shared address. The parent keeps all of them open: when a worker
dies, connections that wait for it are served by its successor. A worker whose parent is gone stops by itself.
"""

import asyncio
import logging
import multiprocessing
import multiprocessing.process
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Final

from gbe import metrics

logger = logging.getLogger(__name__)

Main = Callable[[int, socket.socket], None]
"""What a worker runs: its number and its socket; must be importable (a module-level function, or a partial of one)."""

_BACKOFF: Final = 0.1
_BACKOFF_MAX: Final = 10.0
_STABLE_AFTER: Final = 10.0
_KILL_AFTER: Final = 5.0


class WorkerPool:
    """Keeps one process per socket alive, until ``stop``."""

    def __init__(self, main: Main, sockets: list[socket.socket], *, stop_timeout: float) -> None:
        self._main, self._sockets = main, sockets
        self._stop_timeout = stop_timeout
        self._context = multiprocessing.get_context("spawn")
        self._processes: dict[int, multiprocessing.process.BaseProcess] = {}
        self._stopping = False
        self.restarts = 0

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that live."""
        return [process.pid for process in self._processes.values() if process.pid is not None]

    async def run(self, stop: asyncio.Event) -> None:
        """Start the workers and watch them until ``stop`` is set; then end them."""
        watches = [
            asyncio.create_task(self._keep(number), name=f"gbe.worker.{number}") for number in range(len(self._sockets))
        ]
        await stop.wait()
        self._stopping = True
        await self._end()
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)

    async def _keep(self, number: int) -> None:
        backoff = _BACKOFF
        while True:
            started = time.monotonic()
            process = self._context.Process(
                target=self._main, args=(number, self._sockets[number]), name=f"gbe-worker-{number}"
            )
            process.start()
            self._processes[number] = process
            await _ended(process)
            if process.pid is not None:
                metrics.worker_ended(process.pid)
            del self._processes[number]
            if self._stopping:
                return
            self.restarts += 1
            backoff = _BACKOFF if time.monotonic() - started > _STABLE_AFTER else min(backoff * 2, _BACKOFF_MAX)
            logger.error("worker %d ended with %s, starting another", number, process.exitcode)
            await asyncio.sleep(backoff)

    async def _end(self) -> None:
        processes = list(self._processes.values())
        for process in processes:
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, signal.SIGTERM)
        if not processes:
            return
        _, late = await asyncio.wait(
            [asyncio.create_task(_ended(process)) for process in processes], timeout=self._stop_timeout + _KILL_AFTER
        )
        for process in processes:
            if late and process.is_alive():
                logger.error("worker %s does not stop, killing it", process.pid)
                process.kill()


async def _ended(process: multiprocessing.process.BaseProcess) -> None:
    """Return when a process has ended."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    sentinel = process.sentinel
    loop.add_reader(sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(sentinel)
    process.join()


def stop_with_parent(stop: asyncio.Event) -> None:
    """Set ``stop`` when the parent process is gone; call it in a worker."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        loop = asyncio.get_running_loop()
        sentinel = parent.sentinel

        def on_end() -> None:
            loop.remove_reader(sentinel)
            stop.set()

        loop.add_reader(sentinel, on_end)
