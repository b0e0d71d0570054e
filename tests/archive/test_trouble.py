"""Sinks in trouble: each has its clear error, and nothing is lost by it."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.archive.messages import SUBJECT, batch
from tests.archive.s3_faults import FaultyS3, Mode
from tests.s3 import SECRET_KEY, S3Process

from gbe.archive.config import ArchiveConfig
from gbe.archive.manifest import Mark
from gbe.archive.object_sink import ObjectSink
from gbe.archive.open import open_sink
from gbe.archive.verify import Known, verify
from gbe.errors import ConfigError, ObjectStoreRefusedError, SinkRefusedError, SinkUnavailableError
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore

pytestmark = pytest.mark.fault


@pytest.fixture
def place(s3: S3Process) -> ObjectsConfig:
    return replace(s3.place(), timeout=3.0)


@pytest.fixture
async def faulty(s3: S3Process) -> AsyncIterator[FaultyS3]:
    async with FaultyS3(int(s3.endpoint.rpartition(":")[2])) as proxy:
        yield proxy


@pytest.mark.parametrize("mode", ["500", "503", "cut", "gone"])
async def test_a_batch_is_written_once_the_server_is_well_again(
    place: ObjectsConfig, faulty: FaultyS3, mode: Mode
) -> None:
    """The error says that it may be tried again, and the retry makes one file of it."""
    async with ObjectSink(await ObjectStore.open(replace(place, endpoint=faulty.url))) as sink:
        mark = await sink.write(batch(0, 100), b"")
        faulty.mode = mode
        with pytest.raises(SinkUnavailableError):
            await sink.write(batch(100, 100), mark)
        faulty.mode = "well"
        mark = await sink.write(batch(100, 100), mark)
    async with await ObjectStore.open(place) as objects:
        found = await verify(objects, {SUBJECT: Known(Mark.parse(mark).head)})
    assert (found.findings, found.messages) == ([], 200)


async def test_wrong_credentials_and_a_missing_bucket_are_named(place: ObjectsConfig, s3: S3Process) -> None:
    """Before anything is written."""
    with pytest.raises(ObjectStoreRefusedError, match="access is denied"):
        await open_sink(ArchiveConfig(url=place.url), replace(place, secret_access_key="wrong"), "")
    with pytest.raises(ObjectStoreRefusedError, match="there is no such bucket"):
        await open_sink(ArchiveConfig(url="s3://no-such-bucket-here"), place, "")


async def test_credentials_of_the_archives_own_beat_those_of_the_object_store(place: ObjectsConfig) -> None:
    """The archive may be written by others than the objects are."""
    own = ArchiveConfig(url=place.url, secret_access_key=SECRET_KEY)
    async with await open_sink(own, replace(place, secret_access_key="wrong"), "") as sink:
        assert await sink.write(batch(0, 1), b"")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; only root can have one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a file system is not permitted")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_is_named_and_the_batch_is_written_when_there_is_room(small_disk: Path) -> None:
    """Nothing half-written stays in the way."""
    async with ObjectSink(await ObjectStore.open(ObjectsConfig(url=str(small_disk / "archive")))) as sink:
        mark = await sink.write(batch(0, 10), b"")
        ballast = small_disk / "ballast"
        with pytest.raises(OSError, match="No space left"):
            ballast.write_bytes(bytes(1024 * 1024))
        with pytest.raises(SinkRefusedError, match="is full"):
            await sink.write(batch(10, 10), mark)
        ballast.unlink()
        assert await sink.write(batch(10, 10), mark)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"subjects": ()}, "archive.subjects is empty"),
        ({"subjects": ("a..b",)}, "archive.subjects"),
        ({"format": "zip"}, "archive.format"),
        ({"batch_size": 0}, "archive.batch_size"),
        ({"batch_timeout": 0.0}, "archive.batch_timeout"),
        ({"retention": 60.0}, "archive.retention"),
        ({"group": "a.b"}, "archive.group"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(changes: dict[str, object], error: str) -> None:
    """The text names the key."""
    with pytest.raises(ConfigError, match=error):
        ArchiveConfig(**changes)  # type: ignore[arg-type]
