"""Deployments on every back end: one engine a run, one namespace a test, as many clients as there are processes."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import nats
from tests.engines import NatsProcess
from tests.naming import unique
from tests.redis_engines import MEMORYDB_RULES, RedisCluster, RedisProcess

from gbe.app import App
from gbe.config import default_streams
from gbe.lifecycle.names import TaskNames
from gbe.notify.config import NotifyConfig
from gbe.objects.claims import ClaimChecks
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore
from gbe.redis.config import RedisConfig
from gbe.state.base import StateConfig, StateStore
from gbe.state.memory import MemoryRecords, MemoryStateStore
from gbe.state.nats.store import NatsStateStore
from gbe.state.redis.store import RedisStateStore
from gbe.sweeper.config import SweeperConfig
from gbe.sweeper.sweeper import Sweeper
from gbe.tasks.backend import Backend
from gbe.tasks.config import WorkerConfig
from gbe.tasks.worker import Worker
from gbe.transport.base import Transport
from gbe.transport.memory import MemoryTransport
from gbe.transport.memory_engine import MemoryEngine
from gbe.transport.nats.config import NatsConfig
from gbe.transport.nats.transport import NatsTransport
from gbe.transport.redis.transport import RedisTransport

QUICK = WorkerConfig(concurrency=20, lease=2.0, renew_every=0.2, grace=5.0, signal_timeout=2.0, progress_every=0.02)
QUICK_SWEEPER = SweeperConfig(interval=0.1, term=1.0)


class Engine(ABC):
    """What messages and state lie in."""

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    @abstractmethod
    async def transport(self) -> Transport: ...

    @abstractmethod
    async def state(self, bucket: str) -> StateStore: ...

    url = ""

    def crash(self) -> None:
        """Kill it without warning and start it again on what it stored. Blocks."""
        raise NotImplementedError

    async def delete_stream(self, root: str) -> None:
        """Delete a default stream by what its subjects begin with, with all groups and whatever was in it."""
        raise NotImplementedError


class MemoryBoth(Engine):
    def __init__(self) -> None:
        self._engine = MemoryEngine()
        self._records: dict[str, MemoryRecords] = {}

    async def transport(self) -> Transport:
        return MemoryTransport(self._engine)

    async def state(self, bucket: str) -> StateStore:
        return MemoryStateStore(self._records.setdefault(bucket, MemoryRecords()), StateConfig(bucket=bucket))


class ProcessBoth(Engine):
    """An engine that is one process."""

    process: NatsProcess | RedisProcess

    def __enter__(self) -> Engine:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()

    @property
    def url(self) -> str:  # type: ignore[override]
        return self.process.url

    def crash(self) -> None:
        self.process.kill()
        self.process.start()


class NatsBoth(ProcessBoth):
    def __init__(self, folder: Path) -> None:
        self.process = NatsProcess(folder / "nats")

    async def delete_stream(self, root: str) -> None:
        client = await nats.connect(self.url)
        await client.jetstream().delete_stream(root.replace(".", "-"))
        await client.close()

    def config(self) -> NatsConfig:
        return NatsConfig(urls=(self.url,), reconnect_wait=0.05, retry_after=0.5, ping_interval=0.5)

    async def transport(self) -> Transport:
        return await NatsTransport.open(self.config())

    async def state(self, bucket: str) -> StateStore:
        return await NatsStateStore.open(self.config(), StateConfig(bucket=bucket))


class OnRedis(Engine):
    """What clients see of a Redis engine, one server or many."""

    async def transport(self) -> Transport:
        return await RedisTransport.open(RedisConfig(url=self.url))

    async def state(self, bucket: str) -> StateStore:
        return await RedisStateStore.open(RedisConfig(url=self.url), StateConfig(bucket=bucket))


class RedisBoth(OnRedis, ProcessBoth):
    process: RedisProcess

    def __init__(self, folder: Path) -> None:
        self.process = RedisProcess(folder / "redis", fsync="always")  # what it confirmed survives kill -9

    async def delete_stream(self, root: str) -> None:
        for pattern in _keys_of_stream(root):
            for key in self.process.call("KEYS", pattern):
                self.process.call("DEL", key)


class SharedCluster(OnRedis):
    """A Redis cluster that somebody else starts and stops, by a user who may do what MemoryDB allows."""

    def __init__(self, cluster: RedisCluster) -> None:
        self.cluster = cluster

    @property
    def url(self) -> str:  # type: ignore[override]
        return self.cluster.user_url

    async def delete_stream(self, root: str) -> None:
        for pattern in _keys_of_stream(root):
            for node in self.cluster.nodes:
                for key in node.call("KEYS", pattern):
                    self.cluster.master_of(key.decode()).call("DEL", key)


class ClusterBoth(SharedCluster):
    """A Redis cluster of the test's own, with the same user."""

    def __init__(self, folder: Path) -> None:
        super().__init__(RedisCluster(folder / "cluster", acl=MEMORYDB_RULES, node_timeout_ms=5000))

    def __enter__(self) -> Engine:
        self.cluster.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.kill()


def _keys_of_stream(root: str) -> tuple[str, str]:
    """Patterns of the keys of its subjects, and of those that belong to each."""
    begin = root.replace(".", ":")
    return f"{begin}:*", f"{{{begin}:*"


ENGINES: dict[str, Callable[[Path], Engine]] = {"memory": lambda _: MemoryBoth(), "nats": NatsBoth, "redis": RedisBoth}
CLUSTER: dict[str, Callable[[Path], Engine]] = {"cluster": ClusterBoth}


class Deployment:
    """One namespace of an engine; every client is as another process would have it."""

    def __init__(self, engine: Engine, namespace: str, folder: Path) -> None:
        self.engine, self.names, self.folder = engine, TaskNames(namespace), folder
        self._stack = AsyncExitStack()
        self.configured: dict[str, Mapping[str, object]] = {}

    @property
    def namespace(self) -> str:
        return self.names.namespace

    async def backend(self) -> Backend:
        """Connections of one more process."""
        transport = await self._stack.enter_async_context(await self.engine.transport())
        state = await self._stack.enter_async_context(await self.engine.state(self.namespace))
        for stream in default_streams(self.namespace, NotifyConfig()):
            await transport.ensure_stream(stream)
        config = ObjectsConfig(url=str(self.folder / "objects"), threshold=4096)
        objects = await self._stack.enter_async_context(await ObjectStore.open(config))
        return Backend(transport, state, self.names, ClaimChecks(objects))

    async def app(self) -> App:
        """A program without task types yet."""
        app = App(backend=await self.backend())
        self._stack.push_async_callback(app.close)
        return app

    @asynccontextmanager
    async def working(self, app: App, config: WorkerConfig = QUICK) -> AsyncIterator[Worker]:
        """A worker of this program, stopped in order at the end."""
        stop = asyncio.Event()
        worker = await app.worker(config)
        running = asyncio.create_task(worker.run(stop))
        try:
            yield worker
        finally:
            stop.set()
            await running

    async def sweeper(self, config: SweeperConfig = QUICK_SWEEPER) -> Sweeper:
        """One more sweeper."""
        backend = await self.backend()
        return Sweeper(backend.transport, backend.state, self.names, self.configured, config, claims=backend.claims)

    @asynccontextmanager
    async def sweeping(self, config: SweeperConfig = QUICK_SWEEPER) -> AsyncIterator[Sweeper]:
        """A sweeper at work."""
        sweeper = await self.sweeper(config)
        running = asyncio.create_task(sweeper.run())
        try:
            yield sweeper
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def close(self) -> None:
        """End every client."""
        await self._stack.aclose()


@asynccontextmanager
async def deployed(engine: Engine, folder: Path) -> AsyncIterator[Deployment]:
    """A deployment whose namespace no other test has."""
    deployment = Deployment(engine, unique(), folder)
    yield deployment
    await deployment.close()
