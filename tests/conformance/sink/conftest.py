"""Every sink in turn; each test has a place of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.s3 import S3Process

from gbe.archive.object_sink import ObjectSink
from gbe.archive.sink import Sink
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore


@pytest.fixture(params=["memory-jsonl.gz", "memory-jsonl.zst", "memory-parquet", "local-jsonl.gz", "s3-jsonl.zst"])
def variant(request: pytest.FixtureRequest) -> str:
    """A place, and the format of the files in it."""
    name: str = request.param
    return name


@pytest.fixture
def form(variant: str) -> str:
    """The format of the files."""
    return variant.partition("-")[2]


@pytest.fixture
def place(variant: str, request: pytest.FixtureRequest, tmp_path: Path) -> ObjectsConfig:
    """Where a sink's objects lie."""
    kind = variant.partition("-")[0]
    if kind == "memory":
        return ObjectsConfig(url="memory")
    if kind == "local":
        return ObjectsConfig(url=str(tmp_path / "archive"))
    s3: S3Process = request.getfixturevalue("s3")
    return s3.place()


@pytest.fixture
async def objects(place: ObjectsConfig) -> AsyncIterator[ObjectStore]:
    """The store under the sink, to look into and to tamper with."""
    async with await ObjectStore.open(place) as store:
        yield store


@pytest.fixture
async def sink(objects: ObjectStore, form: str) -> Sink:
    """The sink under test."""
    return ObjectSink(objects, form)
