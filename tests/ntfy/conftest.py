"""Servers of the ntfy tests: one for each back end and process, and a way to start more."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.engines import NatsProcess
from tests.naming import unique
from tests.ntfy.access.accounts import CONFIG
from tests.ntfy.server import KEEPALIVE, PATIENCE, Loop, Server
from tests.redis_engines import RedisCluster, RedisProcess

from gbe.notify.config import NotifyConfig
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore
from gbe.redis.config import RedisConfig
from gbe.state import open as state
from gbe.state.base import StateStore
from gbe.state.memory import MemoryRecords, MemoryStateStore
from gbe.transport.base import Transport
from gbe.transport.memory import MemoryTransport
from gbe.transport.memory_engine import MemoryEngine
from gbe.transport.nats.config import NatsConfig
from gbe.transport.open import open_nats, open_redis

BASE_URL = "https://push.example.net"

StartServer = Callable[..., Server]
OpenStore = Callable[[], Awaitable[StateStore]]
OpenTransport = Callable[[], Awaitable[Transport]]
OpenObjects = Callable[[], Awaitable[ObjectStore]]


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    with Loop() as loop:
        yield loop


@pytest.fixture(scope="session")
def http_client() -> Iterator[httpx.Client]:
    limits = httpx.Limits(max_connections=None, keepalive_expiry=2)
    with httpx.Client(timeout=PATIENCE, limits=limits, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsProcess]:
    """A nats-server, one for each test process."""
    with NatsProcess(tmp_path_factory.mktemp("engine") / "nats") as engine:
        yield engine


@pytest.fixture(scope="session")
def memory_server(loop: Loop, http_client: httpx.Client) -> Iterator[Server]:
    with Server(loop, http_client, _opens_memory(MemoryEngine())) as server:
        yield server


@pytest.fixture(scope="session")
def memory_transport() -> OpenTransport:
    """Opens clients of one engine in memory, for servers that a module shares."""
    return _opens_memory(MemoryEngine())


@pytest.fixture(scope="session")
def nats_server(loop: Loop, http_client: httpx.Client, engine: NatsProcess) -> Iterator[Server]:
    with Server(loop, http_client, _opens_nats(engine.url)) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(loop: Loop, http_client: httpx.Client, redis_engine: RedisProcess) -> Iterator[Server]:
    with Server(loop, http_client, _opens_redis(redis_engine.user_url)) as server:
        yield server


@pytest.fixture(scope="session")
def cluster_server(loop: Loop, http_client: httpx.Client, redis_cluster: RedisCluster) -> Iterator[Server]:
    with Server(loop, http_client, _opens_redis(redis_cluster.user_url)) as server:
        yield server


@pytest.fixture(params=["memory", "nats", "redis", "cluster"])
def back_end(request: pytest.FixtureRequest) -> str:
    """Which transport the test runs on; each in turn."""
    name: str = request.param
    return name


@pytest.fixture
def server(back_end: str, request: pytest.FixtureRequest) -> Server:
    """The server that tests share, without limits; each test has topics of its own."""
    server: Server = request.getfixturevalue(f"{back_end}_server")
    return server


@pytest.fixture
def open_transport(back_end: str, request: pytest.FixtureRequest) -> OpenTransport:
    """Opens one more client of one engine, as another process would."""
    if back_end == "memory":
        return _opens_memory(MemoryEngine())
    if back_end == "redis":
        return _opens_redis(request.getfixturevalue("redis_engine").user_url)
    if back_end == "cluster":
        return _opens_redis(request.getfixturevalue("redis_cluster").user_url)
    return _opens_nats(request.getfixturevalue("engine").url)


@pytest.fixture
def start(loop: Loop, http_client: httpx.Client, open_transport: OpenTransport) -> Iterator[StartServer]:
    """Starts a server of the test's own: ``start(http=…, notify=…, limits=True, namespace=…)``."""
    with ExitStack() as stack:

        def start_one(**options: Any) -> Server:
            return stack.enter_context(Server(loop, http_client, open_transport, **options))

        yield start_one


@pytest.fixture
def memory_start(loop: Loop, http_client: httpx.Client) -> Iterator[StartServer]:
    """Starts a server in memory, for what no engine has a part in."""
    with ExitStack() as stack:

        def start_one(**options: Any) -> Server:
            return stack.enter_context(Server(loop, http_client, _opens_memory(MemoryEngine()), **options))

        yield start_one


@pytest.fixture(scope="session")
def memory_records() -> MemoryRecords:
    return MemoryRecords()


@pytest.fixture
def open_store(back_end: str, request: pytest.FixtureRequest) -> OpenStore:
    """Opens one more client of one state store, as another process would."""
    if back_end == "memory":
        return _opens_memory_store(request.getfixturevalue("memory_records"))
    if back_end == "nats":
        return _opens_nats_store(request.getfixturevalue("engine").url)
    name = "redis_engine" if back_end == "redis" else "redis_cluster"
    return _opens_redis_store(request.getfixturevalue(name).user_url)


@pytest.fixture
def open_objects(tmp_path: Path) -> OpenObjects:
    """Opens the object store: a folder that all nodes of a test share."""

    async def open_folder() -> ObjectStore:
        return await ObjectStore.open(ObjectsConfig(url=str(tmp_path / "objects")))

    return open_folder


@pytest.fixture
def topic() -> str:
    """A topic that no other test has."""
    return unique("t")


@pytest.fixture
def expected_errors() -> set[str]:
    """What the server may log as an error: beginnings of texts, which a test puts in."""
    return set()


@pytest.fixture(autouse=True)
def nothing_fails_silently(caplog: pytest.LogCaptureFixture, expected_errors: set[str]) -> Iterator[None]:
    """Whatever a client does, the server logs no error: it has no bug that the client did not see."""
    yield
    found = [
        f"{record.name}: {record.getMessage()}\n{record.exc_text or record.exc_info or ''}"
        for record in caplog.get_records("call")
        if record.levelno >= logging.ERROR and not record.getMessage().startswith(tuple(expected_errors))
    ]
    assert not found, "\n".join(found)


def _opens_memory(engine: MemoryEngine) -> OpenTransport:
    async def open_memory() -> Transport:
        return MemoryTransport(engine)

    return open_memory


def _opens_nats(url: str) -> OpenTransport:
    async def open_one() -> Transport:
        return await open_nats(NatsConfig(urls=(url,), publish_timeout=20.0, request_timeout=10.0))

    return open_one


def _opens_redis(url: str) -> OpenTransport:
    async def open_one() -> Transport:
        return await open_redis(RedisConfig(url=url, publish_timeout=20.0, request_timeout=10.0))

    return open_one


def _opens_memory_store(records: MemoryRecords) -> OpenStore:
    async def open_one() -> StateStore:
        return MemoryStateStore(records)

    return open_one


def _opens_nats_store(url: str) -> OpenStore:
    async def open_one() -> StateStore:
        return await state.open_nats(NatsConfig(urls=(url,), request_timeout=10.0))

    return open_one


def _opens_redis_store(url: str) -> OpenStore:
    async def open_one() -> StateStore:
        return await state.open_redis(RedisConfig(url=url, request_timeout=10.0))

    return open_one


class SharedServers:
    """A server with users and attachments for each back end, started when the first test wants it."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        self._servers: dict[str, Server] = {}

    def get(
        self, back_end: str, loop: Loop, client: httpx.Client, open_transport: OpenTransport, open_store: OpenStore
    ) -> Server:
        """Started, with an address of its own as its base URL."""
        if back_end not in self._servers:

            async def open_folder() -> ObjectStore:
                return await ObjectStore.open(ObjectsConfig(url=str(self._folder / back_end)))

            server = Server(
                loop,
                client,
                open_transport,
                namespace=unique("c"),
                notify=NotifyConfig(base_url=BASE_URL, keepalive_interval=KEEPALIVE, behind_proxy=True),
                access=CONFIG,
                open_store=open_store,
                open_objects=open_folder,
            )
            self._servers[back_end] = self._stack.enter_context(server)
        return self._servers[back_end]


@pytest.fixture(scope="module")  # so that they end before the engines, which are of the session
def shared_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServers]:
    with ExitStack() as stack:
        yield SharedServers(stack, tmp_path_factory.mktemp("files"))


@pytest.fixture
def closed(
    back_end: str,
    shared_servers: SharedServers,
    loop: Loop,
    http_client: httpx.Client,
    open_transport: OpenTransport,
    open_store: OpenStore,
) -> Server:
    """A server that lets nobody in without a user; ``anna`` may use topics that begin with ``ops-``."""
    return shared_servers.get(back_end, loop, http_client, open_transport, open_store)


@pytest.fixture
def ops() -> str:
    """A topic of ``anna``'s that no other test has."""
    return unique("ops-")
