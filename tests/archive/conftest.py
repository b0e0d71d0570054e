"""The engines and deployments of the tests of tasks, and Redis Cluster beside them."""

from collections.abc import Iterator

import pytest
from tests.deployment_fixtures import any_engine, deployment
from tests.postgres import PostgresProcess
from tests.s3 import S3Process

from gbe.ids import new_ulid

__all__ = ["any_engine", "deployment"]


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
