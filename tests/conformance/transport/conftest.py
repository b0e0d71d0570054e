"""Every back end in turn, behind one set of fixtures; each test has a namespace of its own on a shared engine."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from tests.engines import NatsProcess
from tests.naming import unique
from tests.redis_engines import RedisCluster, RedisProcess

from gbe.redis.config import RedisConfig
from gbe.transport.base import StreamConfig, Transport
from gbe.transport.memory import MemoryTransport
from gbe.transport.memory_engine import MemoryEngine
from gbe.transport.nats.config import NatsConfig
from gbe.transport.nats.transport import NatsTransport
from gbe.transport.redis.transport import RedisTransport

OpenTransport = Callable[[], Awaitable[Transport]]


@pytest.fixture(scope="session")
def interval_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsProcess]:
    """A NATS server as it comes: it syncs its disk now and then."""
    with NatsProcess(tmp_path_factory.mktemp("interval") / "nats") as engine:
        yield engine


@pytest.fixture(scope="session")
def fsync_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsProcess]:
    """A NATS server that syncs its disk before it confirms."""
    with NatsProcess(tmp_path_factory.mktemp("fsync") / "nats", sync_interval="always") as engine:
        yield engine


@pytest.fixture(params=["memory", "nats", "nats-fsync", "redis", "redis-cluster"])
async def open_transport(request: pytest.FixtureRequest) -> AsyncIterator[OpenTransport]:
    """Opens one more client of the back end, as another process would; closed after the test."""
    opener = _opener(request)
    async with AsyncExitStack() as stack:

        async def open_one() -> Transport:
            return await stack.enter_async_context(await opener())

        yield open_one


def _opener(request: pytest.FixtureRequest) -> OpenTransport:
    if request.param == "memory":
        engine = MemoryEngine()

        async def open_memory() -> Transport:
            return MemoryTransport(engine)

        return open_memory
    if request.param.startswith("redis"):
        fixture = "redis_engine" if request.param == "redis" else "redis_cluster"
        redis: RedisProcess | RedisCluster = request.getfixturevalue(fixture)
        redis_config = RedisConfig(url=redis.user_url, publish_timeout=30.0, request_timeout=20.0)

        async def open_redis() -> Transport:
            return await RedisTransport.open(redis_config)

        return open_redis
    group_commit = request.param == "nats-fsync"
    server: NatsProcess = request.getfixturevalue("fsync_engine" if group_commit else "interval_engine")
    config = NatsConfig(urls=(server.url,), group_commit=group_commit, publish_timeout=30.0, request_timeout=20.0)

    async def open_nats() -> Transport:
        return await NatsTransport.open(config)

    return open_nats


@pytest.fixture
def ns() -> str:
    """A namespace that no other test has."""
    return unique()


@pytest.fixture
async def transport(open_transport: OpenTransport, ns: str) -> Transport:
    """A client, and three streams: ``{ns}.a.>``, ``{ns}.b.>`` and the dead letters."""
    transport = await open_transport()
    for name, pattern in (("a", "a.>"), ("b", "b.>"), ("dead", "_deadletter.*")):
        await transport.ensure_stream(StreamConfig(name=f"{ns}-{name}", subjects=(f"{ns}.{pattern}",)))
    return transport


@pytest.fixture
def subject(ns: str) -> str:
    """A subject of the first stream."""
    return f"{ns}.a.x"
