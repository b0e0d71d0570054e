"""The engines and deployments of the tests of tasks, and Redis Cluster beside them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.redis_engines import RedisCluster
from tests.tasks.conftest import ENGINES, Engine, RedisBoth, deployment

__all__ = ["deployment", "engine"]


class ClusterBoth(RedisBoth):
    """Redis Cluster: every record and every subject has a slot of its own."""

    def __init__(self, folder: Path) -> None:
        self.process = RedisCluster(folder / "cluster")  # type: ignore[assignment]

    def __enter__(self) -> Engine:
        self.process.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.__exit__()


ALL: dict[str, Callable[[Path], Engine]] = {**ENGINES, "redis-cluster": ClusterBoth}


@pytest.fixture(scope="session", params=list(ALL))
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that the tests of a run share."""
    with ALL[request.param](tmp_path_factory.mktemp("engine")) as engine:
        yield engine
