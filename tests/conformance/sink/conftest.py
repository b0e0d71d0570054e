"""Every sink in turn; each test has a place of its own."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Process

from gbe.archive.object_sink import ObjectSink
from gbe.archive.sink import Sink
from gbe.ids import new_ulid
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Process]:
    """An S3 server that the tests of a run share."""
    with S3Process(tmp_path_factory.mktemp("s3")) as process:
        yield process


@pytest.fixture(params=["memory", "local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectsConfig:
    """Where a sink's objects lie."""
    if request.param == "memory":
        return ObjectsConfig(url="memory")
    if request.param == "local":
        return ObjectsConfig(url=str(tmp_path / "archive"))
    s3: S3Process = request.getfixturevalue("s3")
    return ObjectsConfig(
        url=f"s3://{BUCKET}/{new_ulid()}",
        endpoint=s3.endpoint,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
    )


@pytest.fixture
async def objects(place: ObjectsConfig) -> AsyncIterator[ObjectStore]:
    """The store under the sink, to look into and to tamper with."""
    async with await ObjectStore.open(place) as store:
        yield store


@pytest.fixture
async def sink(objects: ObjectStore) -> Sink:
    """The sink under test."""
    return ObjectSink(objects)
