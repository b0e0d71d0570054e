"""The engines that the suite runs on, each with what the tests need of it: open one more client, crash, end."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.engines import NatsProcess
from tests.redis_engines import MEMORYDB_RULES, RedisCluster, RedisProcess

from gbe.redis.config import RedisConfig
from gbe.state.base import StateConfig, StateStore
from gbe.state.memory import MemoryRecords, MemoryStateStore
from gbe.state.nats.store import NatsStateStore
from gbe.state.redis.store import RedisStateStore
from gbe.transport.nats.config import NatsConfig

CONFIG = StateConfig(indexes=("timeout_at", "wake_at"))
PATIENCE = 30.0
"""Seconds an operation may go on trying: only a failing test waits so long."""


class Engine(ABC):
    """One engine, for as long as the block lasts."""

    examples = 15
    """Random programs that the model test runs on it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    @abstractmethod
    async def open(self, config: StateConfig = CONFIG) -> StateStore:
        """One more client, as another process would have it."""

    @abstractmethod
    def crash(self) -> None:
        """Kill it without warning and start it again on what it stored. Blocks."""


class MemoryStateEngine(Engine):
    """The records of this process; they do not crash."""

    def __init__(self) -> None:
        self._records = MemoryRecords()

    async def open(self, config: StateConfig = CONFIG) -> StateStore:
        return MemoryStateStore(self._records, config)

    def crash(self) -> None:
        pass


class NatsStateEngine(Engine):
    """A nats-server in a folder of its own."""

    def __init__(self, folder: Path, sync_interval: str = "2m") -> None:
        self.process = NatsProcess(folder / "nats", sync_interval=sync_interval)

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()

    async def open(self, config: StateConfig = CONFIG) -> StateStore:
        nats = NatsConfig(
            urls=(self.process.url,), request_timeout=PATIENCE, retry_after=0.5, reconnect_wait=0.05, ping_interval=0.5
        )
        return await NatsStateStore.open(nats, config)

    def crash(self) -> None:
        self.process.kill()
        self.process.start()


class RedisStateEngine(Engine):
    """A redis-server, with a user who may do what MemoryDB allows and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.process = RedisProcess(folder / "redis", fsync="always", acl=MEMORYDB_RULES)

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()

    async def open(self, config: StateConfig = CONFIG) -> StateStore:
        return await RedisStateStore.open(redis_config(self.process.user_url), config)

    def crash(self) -> None:
        self.process.kill()
        self.process.start()


class RedisClusterStateEngine(Engine):
    """Three masters and three replicas, with the same user."""

    examples = 4  # a cluster needs seconds to be whole again

    def __init__(self, folder: Path) -> None:
        self.cluster = RedisCluster(folder / "cluster", fsync="always", acl=MEMORYDB_RULES, node_timeout_ms=5000)
        self._crashes = 0

    def __enter__(self) -> Self:
        self.cluster.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.kill()

    async def open(self, config: StateConfig = CONFIG) -> StateStore:
        return await RedisStateStore.open(redis_config(self.cluster.user_url), config)

    def crash(self) -> None:
        """One master after the other, back before its replica is elected in its place."""
        self._crashes += 1
        node = self.cluster.nodes[self._crashes % 3]
        node.kill()
        node.start()
        self.cluster.wait_ok()


def redis_config(url: str) -> RedisConfig:
    return RedisConfig(url=url, request_timeout=PATIENCE, stall_timeout=1.0)


ENGINES: dict[str, Callable[[Path], Engine]] = {
    "memory": lambda _: MemoryStateEngine(),
    "nats": NatsStateEngine,
    "nats-fsync": lambda folder: NatsStateEngine(folder, "always"),
    "redis": RedisStateEngine,
    "redis-cluster": RedisClusterStateEngine,
}
