"""The deployments that tests share: an engine of each kind for a test process, a namespace for a test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.deployments import ENGINES, Deployment, Engine, SharedCluster, deployed


@pytest.fixture(scope="session", params=list(ENGINES))
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Memory, NATS or Redis."""
    with ENGINES[request.param](tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(scope="session", params=[*ENGINES, "redis-cluster"], name="engine")
def any_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The same and Redis Cluster; imported in place of ``engine``."""
    if request.param == "redis-cluster":
        yield SharedCluster(request.getfixturevalue("redis_cluster"))
        return
    with ENGINES[request.param](tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture
async def deployment(engine: Engine, tmp_path: Path) -> AsyncIterator[Deployment]:
    """A namespace that no other test has."""
    async with deployed(engine, tmp_path) as deployment:
        yield deployment
