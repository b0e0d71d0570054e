"""The engines and deployments of the tests of tasks, and Redis Cluster beside them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.postgres import PostgresProcess
from tests.redis_engines import RedisCluster
from tests.s3 import S3Process
from tests.tasks.conftest import ENGINES, Engine, RedisBoth, deployment

from gbe.ids import new_ulid

__all__ = ["deployment", "engine"]


class ClusterBoth(RedisBoth):
    """Redis Cluster: every record and every subject has a slot of its own."""

    def __init__(self, folder: Path) -> None:
        self.process = RedisCluster(folder / "cluster", fsync="always")  # type: ignore[assignment]

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


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Process]:
    """An S3 server that the tests of a run share."""
    with S3Process(tmp_path_factory.mktemp("s3")) as process:
        yield process


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresProcess]:
    """A PostgreSQL server that the tests of a run share."""
    with PostgresProcess() as process:
        yield process


@pytest.fixture
def url(postgres: PostgresProcess) -> str:
    """A database of the test's own."""
    database = f"d{new_ulid().lower()}"
    postgres.execute(f"CREATE DATABASE {database}")
    return postgres.url(database=database)
