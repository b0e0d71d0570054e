"""Engines of the vectors' own: their subjects and keys are everybody's."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis.cluster
from tests.engines import NatsProcess
from tests.redis_engines import RedisCluster, RedisProcess

import redis


@pytest.fixture(scope="session")
def nats_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsProcess]:
    """A server with JetStream."""
    with NatsProcess(tmp_path_factory.mktemp("vectors") / "nats") as engine:
        yield engine


@pytest.fixture(scope="session", params=["redis", "redis-cluster"])
def redis_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server, or a cluster of three."""
    folder = tmp_path_factory.mktemp("vectors")
    with RedisProcess(folder) if request.param == "redis" else RedisCluster(folder, replicas=0) as engine:
        yield engine


@pytest.fixture
def redis_client(redis_server: Any) -> Iterator[Any]:
    """Redis' own client."""
    if isinstance(redis_server, RedisCluster):
        host, _, port = redis_server.url.rpartition("/")[2].partition(",")[0].partition(":")
        client: Any = redis.cluster.RedisCluster(host=host, port=int(port))
    else:
        client = redis.Redis.from_url(redis_server.url)
    yield client
    client.close()
