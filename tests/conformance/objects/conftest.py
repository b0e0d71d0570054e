"""Every kind of object store in turn; each test has names of its own on a shared server."""

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Process

from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore
from gbe.state.memory import MemoryStateStore

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Process]:
    """An S3 server that the tests of a run share."""
    with S3Process(tmp_path_factory.mktemp("s3")) as process:
        yield process


@pytest.fixture
def s3_config(s3: S3Process) -> ObjectsConfig:
    return ObjectsConfig(
        url=f"s3://{BUCKET}/t{os.getpid()}-{next(_numbers)}",
        endpoint=s3.endpoint,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
    )


@pytest.fixture(params=["memory", "local", "s3"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectsConfig:
    if request.param == "memory":
        return ObjectsConfig(url="memory")
    if request.param == "local":
        return ObjectsConfig(url=str(tmp_path / "deep" / "objects"))
    found: ObjectsConfig = request.getfixturevalue("s3_config")
    return replace(found)


@pytest.fixture
async def objects(config: ObjectsConfig) -> AsyncIterator[ObjectStore]:
    async with await ObjectStore.open(config) as store:
        yield store


@pytest.fixture
async def state() -> AsyncIterator[MemoryStateStore]:
    async with MemoryStateStore() as store:
        yield store
