"""What one ``gbe worker`` process does: tasks, events, or both."""

import asyncio
from dataclasses import dataclass

from gbe.events.worker import EventWorker
from gbe.tasks.worker import Worker


@dataclass(frozen=True, slots=True)
class Workforce:
    """The workers of one program; at least one is there."""

    tasks: Worker | None
    events: EventWorker | None

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event | None = None) -> None:
        """Work until ``stop`` is set. One that cannot go on ends the other one, in order, and raises.

        Args:
            hurry: once it is set, what still runs is handed back without waiting for the grace period to end.

        Raises:
            StateError, TransportError: the engine refuses what they need, at the start.
        """
        ended = asyncio.Event()
        workers = [worker for worker in (self.tasks, self.events) if worker is not None]
        running = [asyncio.create_task(worker.run(ended, hurry)) for worker in workers]
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*running, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.set()
            stopped.cancel()
            results = await asyncio.gather(*running, return_exceptions=True)
        for result in results:
            if isinstance(result, ExceptionGroup):
                raise result.exceptions[0]
            if isinstance(result, BaseException):
                raise result
