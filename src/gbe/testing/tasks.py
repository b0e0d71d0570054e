"""Tests of tasks without an engine: everything in memory, and time that moves when told."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gbe.app import App
from gbe.clock import ManualClock
from gbe.config import default_streams
from gbe.jobs.orchestrator import Orchestrator
from gbe.lifecycle.names import Priority, TaskNames
from gbe.notify.config import NotifyConfig
from gbe.state.memory import MemoryRecords, MemoryStateStore
from gbe.sweeper.sweeper import Sweeper
from gbe.tasks.backend import Backend
from gbe.tasks.config import WorkerConfig
from gbe.tasks.worker import Worker
from gbe.transport.memory import MemoryTransport
from gbe.transport.memory_engine import MemoryEngine

NAMESPACE = "test"


class TaskBench:
    """A worker, a sweeper and an orchestrator in memory, from ``task_bench``.

    Attributes:
        clock: what delays, retries and whole-task timeouts go by; step timeouts are real time.
    """

    def __init__(
        self,
        app: App,
        worker: Worker,
        engine: MemoryEngine,
        backend: Backend,
        clock: ManualClock,
        orchestrator: Orchestrator,
    ) -> None:
        self.app, self.clock = app, clock
        self._worker, self._engine, self._backend = worker, engine, backend
        self._sweeper = Sweeper(backend.transport, backend.state, backend.names, clock=clock)
        self._orchestrator = orchestrator

    async def run_until_idle(self, timeout: float = 30.0) -> None:
        """Run whatever is due, and what follows from it, until nothing is left to do at this moment.

        Raises:
            TimeoutError: something still runs after ``timeout`` seconds of real time.
        """
        deadline, quiet = time.monotonic() + timeout, 0
        while quiet < 3:
            self._engine.tick()
            await self._sweeper.sweep()
            await self._orchestrator.heal()
            quiet = quiet + 1 if await self._is_idle() else 0
            if time.monotonic() > deadline:
                raise TimeoutError(f"not idle within {timeout:g} s: {self._worker.running or 'tasks wait for a limit'}")
            await asyncio.sleep(0.001)

    async def advance(self, seconds: float) -> None:
        """Move the clock, then run what is due."""
        self.clock.advance(seconds)
        await self.run_until_idle()

    async def _is_idle(self) -> bool:
        if not self._worker.is_idle:
            return False
        names, transport = self._backend.names, self._backend.transport
        if not await self._orchestrator.is_idle():
            return False
        for task_type in self._worker.types:
            for priority in Priority:
                lag = await transport.lag(names.queue(task_type, priority), names.group(task_type))
                if lag.pending or lag.unacknowledged:
                    return False
        return True


@asynccontextmanager
async def task_bench(app: App, *, concurrency: int = 10) -> AsyncIterator[TaskBench]:
    """Run the tasks of a program in memory while the block runs; the app submits to it.

    Args:
        app: not connected yet; it is closed at the end.
        concurrency: tasks at a time.
    """
    clock = ManualClock()
    engine = MemoryEngine(clock)
    async with MemoryTransport(engine) as transport, MemoryStateStore(MemoryRecords(clock)) as state:
        for stream in default_streams(NAMESPACE, NotifyConfig()):
            await transport.ensure_stream(stream)
        backend = Backend(transport, state, TaskNames(NAMESPACE), clock=clock)
        app.configure(backend=backend)
        stop = asyncio.Event()
        worker = await app.worker(WorkerConfig(concurrency=concurrency, grace=0.0))
        running = asyncio.create_task(worker.run(stop), name="gbe.testing.worker")
        orchestrator = Orchestrator(backend)
        orchestrating = asyncio.create_task(orchestrator.run(), name="gbe.testing.orchestrator")
        try:
            yield TaskBench(app, worker, engine, backend, clock, orchestrator)
        finally:
            stop.set()
            orchestrating.cancel()
            await asyncio.gather(running, orchestrating, return_exceptions=True)
            await app.close()
