"""A Redis of these tests' own."""

from collections.abc import AsyncIterator, Iterator

import pytest
from tests.redis_engines import RedisProcess

from gbe.redis.client import RedisClient
from gbe.redis.config import RedisConfig


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    with RedisProcess(tmp_path_factory.mktemp("redis") / "redis") as engine:
        yield engine


@pytest.fixture
async def client(server: RedisProcess) -> AsyncIterator[RedisClient]:
    """Connected, and closed after the test."""
    client = await RedisClient.open(RedisConfig(url=server.url))
    yield client
    await client.close()
