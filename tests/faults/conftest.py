"""Redis servers and clusters for the fault tests; a test that ruins one gets one of its own."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.faults.redis_faults import Clients, config_for
from tests.proxy import TcpProxy
from tests.redis_engines import RedisCluster, RedisProcess

from gbe.transport import draining


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisProcess]:
    """A server of the test's own that has written to its disk what it confirms."""
    with RedisProcess(tmp_path / "redis", fsync="always") as server:
        yield server


@pytest.fixture(scope="session")
def _shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path_factory.mktemp("faults"), fsync="always", node_timeout_ms=1000) as cluster:
        yield cluster


@pytest.fixture
def redis_cluster(_shared_cluster: RedisCluster) -> Iterator[RedisCluster]:
    """Three masters and three replicas, whole again after each test."""
    yield _shared_cluster
    for node in _shared_cluster.nodes:
        if node.is_running and not node.answers:
            node.thaw()
    _shared_cluster.start()


@pytest.fixture
async def clients(redis_server: RedisProcess, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clients]:
    """Clients of the server."""
    async with AsyncExitStack() as stack:
        yield Clients(stack, config_for(redis_server.url))
        monkeypatch.setattr(draining, "DRAIN_TIMEOUT", 0.1)  # for what a test has in hand at its end


@pytest.fixture
async def cluster_clients(redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clients]:
    """Clients of the cluster."""
    async with AsyncExitStack() as stack:
        yield Clients(stack, config_for(redis_cluster.url))
        monkeypatch.setattr(draining, "DRAIN_TIMEOUT", 0.1)


@pytest.fixture
async def proxy(redis_server: RedisProcess) -> AsyncIterator[TcpProxy]:
    """In front of the server."""
    async with TcpProxy(redis_server.port, "redis") as proxy:
        yield proxy


@pytest.fixture
async def through(proxy: TcpProxy, clients: Clients) -> Clients:
    """Clients that go through the proxy, and are closed ahead of it."""
    return Clients(clients.stack, config_for(proxy.url))
