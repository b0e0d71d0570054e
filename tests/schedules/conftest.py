"""Schedules on every back end, by a clock that tests move; each scheduler is as another process would have it."""

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.redis_engines import RedisCluster
from tests.tasks.conftest import ENGINES, Deployment, Engine

from gbe.clock import ManualClock
from gbe.redis.config import RedisConfig
from gbe.schedules.client import ScheduleClient
from gbe.schedules.config import SchedulerConfig
from gbe.schedules.names import ScheduleNames
from gbe.schedules.scheduler import Scheduler
from gbe.schedules.starter import Started, Target
from gbe.starters import TargetStarter
from gbe.state.base import StateConfig, StateStore
from gbe.state.redis.store import RedisStateStore
from gbe.tasks.backend import Backend
from gbe.tasks.client import TaskClient
from gbe.tasks.registry import TypeRegistry
from gbe.transport.base import Transport
from gbe.transport.redis.transport import RedisTransport

_numbers = itertools.count(1)

CONFIGURED = {"work": {"command": ["/bin/cat"]}, "other": {"command": ["/bin/cat"]}}


class ClusterBoth(Engine):
    """A Redis Cluster, with a user who may do what MemoryDB allows."""

    def __init__(self, cluster: RedisCluster) -> None:
        self._config = RedisConfig(url=cluster.user_url)

    async def transport(self) -> Transport:
        return await RedisTransport.open(self._config)

    async def state(self, bucket: str) -> StateStore:
        return await RedisStateStore.open(self._config, StateConfig(bucket=bucket))


@pytest.fixture(scope="session", params=[*ENGINES, "redis-cluster"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that the tests of a run share."""
    if request.param == "redis-cluster":
        yield ClusterBoth(request.getfixturevalue("redis_cluster"))
        return
    with ENGINES[request.param](tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture
async def deployment(engine: Engine, tmp_path: Path) -> AsyncIterator[Deployment]:
    """A namespace that no other test has."""
    deployment = Deployment(engine, f"s{os.getpid()}-{next(_numbers)}", tmp_path)
    yield deployment
    await deployment.close()


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
