"""Schedules on every back end, by a clock that tests move; each scheduler is as another process would have it."""

from collections.abc import AsyncIterator

import pytest
from tests.deployment_fixtures import any_engine, deployment
from tests.deployments import Deployment

from gbe.clock import ManualClock
from gbe.schedules.client import ScheduleClient
from gbe.schedules.config import SchedulerConfig
from gbe.schedules.names import ScheduleNames
from gbe.schedules.scheduler import Scheduler
from gbe.schedules.starter import Started, Target
from gbe.starters import TargetStarter
from gbe.tasks.backend import Backend
from gbe.tasks.client import TaskClient
from gbe.tasks.registry import TypeRegistry

__all__ = ["any_engine", "deployment"]

CONFIGURED = {"work": {"command": ["/bin/cat"]}, "other": {"command": ["/bin/cat"]}}


class WallClock(ManualClock):
    """A clock whose wall-clock time can be set, as by an operator."""

    def jump(self, seconds: float) -> None:
        """Set the wall clock; what is monotonic stays so."""
        self._now_ms += round(seconds * 1000)


class KilledError(BaseException):
    """The process is gone: nobody catches that."""


class MortalStarter(TargetStarter):
    """Starts tasks, until it is killed before or after one."""

    def __init__(self, tasks: TaskClient) -> None:
        super().__init__(tasks)
        self.dies: str | None = None

    async def start(self, target: Target, params: bytes, *, key: str) -> Started:
        if self.dies == "before":
            raise KilledError
        started = await super().start(target, params, key=key)
        if self.dies == "after":
            raise KilledError
        return started


class Bench:
    """Schedules of one deployment.

    Attributes:
        clock: what all schedulers and clients go by.
    """

    def __init__(self, backend: Backend, clock: WallClock) -> None:
        self.backend, self.clock = backend, clock
        self.names = ScheduleNames(backend.names.namespace)
        self.tasks = TaskClient(backend, TypeRegistry(backend.state, backend.names, CONFIGURED, {}))
        self.client = ScheduleClient(backend.state, self.names, TargetStarter(self.tasks), clock)

    def scheduler(self, configured: dict[str, dict[str, object]] | None = None) -> tuple[Scheduler, MortalStarter]:
        """One more scheduler, and how it dies."""
        starter = MortalStarter(self.tasks)
        scheduler = Scheduler(
            self.backend.transport,
            self.backend.state,
            self.names,
            starter,
            configured,
            SchedulerConfig(term=8.0, grace=60.0),
            self.clock,
        )
        return scheduler, starter

    async def started(self) -> dict[str, list[int]]:
        """The due times that every schedule has started something for."""
        found: set[tuple[str, int]] = set()
        async for record in self.tasks.store.scan(None):
            _, name, _, due = (record.idempotency_key or "").split(":")
            found.add((name, int(due)))
        names = {name for name, _ in found}
        return {name: sorted(due for each, due in found if each == name) for name in names}


@pytest.fixture
async def bench(deployment: Deployment) -> AsyncIterator[Bench]:
    """Schedules by a clock that stands at 25 March 2026, noon UTC."""
    backend = await deployment.backend()
    clock = WallClock(1_774_440_000_000)
    bench = Bench(Backend(backend.transport, backend.state, backend.names, backend.claims, clock), clock)
    yield bench
    await bench.tasks.close()
