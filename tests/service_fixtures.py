"""The services that tests share beside engines: one of each for a test process, started when one is wanted."""

from collections.abc import Iterator

import pytest
from tests.postgres import PostgresProcess
from tests.s3 import S3Process


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Process]:
    """An S3 server."""
    with S3Process(tmp_path_factory.mktemp("s3")) as process:
        yield process


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresProcess]:
    """A PostgreSQL server."""
    with PostgresProcess() as process:
        yield process
