"""``gbe archiver`` with a sink that cannot be written: a clear alert, nothing lost, and the service goes on."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.archive.own_engine import deployment
from tests.archive.processes import ArchiverProcess, archived, verdict
from tests.deployments import Deployment
from tests.engines import free_port
from tests.s3 import S3Process
from tests.waiting import eventually

from gbe.archive.config import ArchiveConfig
from gbe.objects.config import ObjectsConfig
from gbe.transport.base import LATEST, Transport

__all__ = ["deployment"]

pytestmark = pytest.mark.fault

SUBJECT = "f.events.audit.change"
ERRORS = "f.events.system.error"
EVENTS = (b'{"v":1,"actor":"u1"}', b"{broken", b'{"v":"no schema has this"}', b"\xff\x00", b"x" * 1_000_000)
"""Well-formed, malformed, against the schema, no text, and as large as may be."""


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path | None]:
    """A file system without room; only root can have one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        yield None
        return
    try:
        with pytest.raises(OSError, match="No space left"):
            (folder / "ballast").write_bytes(bytes(1024 * 1024))
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@dataclass(frozen=True)
class Trouble:
    place: ObjectsConfig | str
    alert: str


def troubles(good: ObjectsConfig, full_disk: Path | None) -> Iterator[Trouble]:
    """One after the other; each says what is wrong, and with what."""
    yield Trouble(replace(good, secret_access_key="wrong"), "access is denied")
    yield Trouble(replace(good, url="s3://no-such-bucket-here"), "there is no such bucket")
    port = free_port()
    yield Trouble(f"postgresql://u:secret@127.0.0.1:{port}/d", f"postgresql://127.0.0.1:{port}/d: connection failed")
    if full_disk is not None:
        yield Trouble(ObjectsConfig(url=str(full_disk / "archive")), "No space left")


async def nothing_is_acknowledged(transport: Transport) -> bool:
    """A message that is just being handed over may be missing for a moment."""
    lag = await transport.lag("f.events.audit.*", ArchiveConfig().group)
    return lag.pending + lag.unacknowledged in (0, len(EVENTS))  # the group is made once the sink is open


async def test_each_trouble_has_its_alert_and_nothing_is_lost(
    deployment: Deployment, s3: S3Process, full_disk: Path | None, tmp_path: Path
) -> None:
    """The same events wait through all of them; the first archiver whose sink is well archives them, once."""
    transport = (await deployment.backend()).transport
    published = [await transport.publish(SUBJECT, payload) for payload in EVENTS]
    good = s3.place(tmp_path.name)
    for trouble in troubles(good, full_disk):
        process = ArchiverProcess(deployment, trouble.place, s3.endpoint, tmp_path / "log")
        try:

            async def is_told(text: str = trouble.alert) -> bool:
                newest = await transport.read(ERRORS, start=LATEST)
                return bool(newest) and text in json.loads(newest[0].envelope.payload)["error"]

            await eventually(is_told, f"an alert that says {trouble.alert!r}")
            assert process.is_running
            await eventually(lambda: nothing_is_acknowledged(transport), "nothing is acknowledged")
            assert "secret@" not in (tmp_path / "log").read_text()
        finally:
            process.kill()
    process = ArchiverProcess(deployment, good, s3.endpoint, tmp_path / "log")
    try:
        await eventually(lambda: archived(good, published), "all is archived", interval=0.2)
        assert process.stop() == 0
    finally:
        process.kill()
    assert await verdict(deployment, good, published) == []


async def test_a_pattern_without_a_stream_is_named_and_the_others_are_archived(
    deployment: Deployment, tmp_path: Path
) -> None:
    """An unknown subject among those that are to be archived is the operator's mistake, and no reason to stop."""
    transport = (await deployment.backend()).transport
    published = [await transport.publish(SUBJECT, b"{}") for _ in range(3)]
    place = ObjectsConfig(url=str(tmp_path / "archive"))
    subjects = "events.audit.*,nobody.knows.this"
    process = ArchiverProcess(deployment, place, "", tmp_path / "log", GBE_ARCHIVE_SUBJECTS=subjects)
    try:

        async def is_told() -> bool:
            found = [one.envelope.payload for one in await transport.read(ERRORS)]
            return any(b"f.nobody.knows.this cannot be archived" in payload for payload in found)

        await eventually(is_told, "an alert that names the pattern")
        await eventually(lambda: archived(place, published), "the rest is archived", interval=0.2)
        assert process.is_running
    finally:
        process.kill()
