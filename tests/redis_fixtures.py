"""The Redis engines that tests share: one of each kind for a test process, started when the first test wants it."""

from collections.abc import Iterator

import pytest
from tests.redis_engines import MEMORYDB_RULES, RedisCluster, RedisProcess


@pytest.fixture(scope="session")
def redis_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """A single Redis whose user may do what MemoryDB allows, and nothing else."""
    with RedisProcess(tmp_path_factory.mktemp("redis") / "redis", acl=MEMORYDB_RULES) as engine:
        yield engine


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Three masters and three replicas, with the same user."""
    with RedisCluster(tmp_path_factory.mktemp("cluster"), acl=MEMORYDB_RULES) as engine:
        yield engine
