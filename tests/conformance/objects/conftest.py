"""Every kind of object store in turn; each test has names of its own on a shared server."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.s3 import S3Process

from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore
from gbe.state.memory import MemoryStateStore

_numbers = itertools.count(1)


@pytest.fixture
def s3_config(s3: S3Process) -> ObjectsConfig:
    return s3.place()


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
