"""Two nodes with access control on each engine, for all tests of a process; each test has users of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from tests.engines import NatsProcess
from tests.naming import unique
from tests.ntfy.access.accounts import CONFIG, Nodes
from tests.ntfy.conftest import (
    OpenStore,
    OpenTransport,
    _opens_memory,
    _opens_memory_store,
    _opens_nats,
    _opens_nats_store,
    _opens_redis,
    _opens_redis_store,
)
from tests.ntfy.server import KEEPALIVE, Loop, Server
from tests.redis_engines import RedisCluster, RedisProcess

from gbe.notify.config import NotifyConfig
from gbe.state.memory import MemoryRecords
from gbe.transport.memory_engine import MemoryEngine


@pytest.fixture(scope="session")
def memory_nodes(loop: Loop, http_client: httpx.Client) -> Iterator[Nodes]:
    """Two nodes in memory; also for what no engine has a part in."""
    with two_nodes(loop, http_client, _opens_memory(MemoryEngine()), _opens_memory_store(MemoryRecords())) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def nats_nodes(loop: Loop, http_client: httpx.Client, engine: NatsProcess) -> Iterator[Nodes]:
    with two_nodes(loop, http_client, _opens_nats(engine.url), _opens_nats_store(engine.url)) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def redis_nodes(loop: Loop, http_client: httpx.Client, redis_engine: RedisProcess) -> Iterator[Nodes]:
    url = redis_engine.user_url
    with two_nodes(loop, http_client, _opens_redis(url), _opens_redis_store(url)) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def cluster_nodes(loop: Loop, http_client: httpx.Client, redis_cluster: RedisCluster) -> Iterator[Nodes]:
    url = redis_cluster.user_url
    with two_nodes(loop, http_client, _opens_redis(url), _opens_redis_store(url)) as nodes:
        yield nodes


@pytest.fixture
def nodes(back_end: str, request: pytest.FixtureRequest) -> Nodes:
    """Two nodes of one deployment, on each engine in turn."""
    nodes: Nodes = request.getfixturevalue(f"{back_end}_nodes")
    return nodes


@contextmanager
def two_nodes(
    loop: Loop, http_client: httpx.Client, open_transport: OpenTransport, open_store: OpenStore, **notify: Any
) -> Iterator[Nodes]:
    """Two nodes of a deployment; ``notify`` are further settings of notifications."""
    namespace = unique("a")
    config = NotifyConfig(keepalive_interval=KEEPALIVE, behind_proxy=True, **notify)

    def node() -> Server:
        return Server(
            loop, http_client, open_transport, namespace=namespace, notify=config, access=CONFIG, open_store=open_store
        )

    with node() as one, node() as other:
        yield Nodes(one, other)
