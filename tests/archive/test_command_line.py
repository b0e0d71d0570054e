"""``gbe serve`` archives without being asked, and ``gbe archive`` looks into it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.archive.messages import DAY_MS, batch
from tests.serving import serving as serving_in
from tests.waiting import eventually

from gbe.archive.batch import Batch
from gbe.archive.object_sink import ObjectSink
from gbe.archive.progress import Progress
from gbe.config import load
from gbe.connect import Connections, open_transport
from gbe.errors import GbeError
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore
from gbe.transport.base import Transport

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GBE_LISTEN": "127.0.0.1:0",
    "GBE_EMBEDDED_DURABILITY": "interval",
    "GBE_ARCHIVE_BATCH_TIMEOUT": "300ms",
    "GBE_ARCHIVE_TERM": "1s",
}


def gbe(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this folder."""
    command = [sys.executable, "-m", "gbe.cli.main", *words]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Path]:
    """A server in a folder of its own."""
    with serving_in(tmp_path, ENVIRONMENT):
        yield tmp_path


async def attached(folder: Path) -> Transport:
    """A transport on the server's engine, once it is there."""
    settings = load(None, environment={}, flags={"data_dir": folder / "gbe-data"})

    async def try_it() -> Transport | None:
        try:
            return await open_transport(settings)
        except GbeError:
            return None

    found = await eventually(try_it, "the engine runs", interval=0.1)
    assert found is not None
    return found


async def test_events_are_archived_shown_verified_and_pruned(serving: Path) -> None:
    """The whole way, with the defaults: a local folder, deleted and edited files named, nothing young removed."""
    async with await attached(serving) as transport:

        async def is_published() -> bool:
            try:
                await transport.publish("gbe.events.audit.change", b'{"n": 0}', idempotency_key="n0")
            except GbeError:
                return False
            return True

        await eventually(is_published, "its streams are there")
        folder = serving / "gbe-data" / "archive" / "archive"
        await eventually(lambda: len(list(folder.rglob("*.jsonl.gz"))) >= 1, "the first event is archived")
        await transport.publish("gbe.events.audit.change", b'{"n": 1}')
        await eventually(lambda: len(list(folder.rglob("*.jsonl.gz"))) >= 2, "the second event is archived")

        async def is_idle() -> bool:
            lag = await transport.lag("gbe.events.audit.*", "archiver")
            return lag.pending + lag.unacknowledged == 0

        await eventually(is_idle, "both are confirmed")
    status = json.loads(gbe(serving, "archive", "status", "--json").stdout)
    assert status["subjects"]["gbe.events.audit.change"]["messages"] == 2
    assert "gbe.events.audit.change" in gbe(serving, "archive", "status").stdout
    sound = gbe(serving, "archive", "verify")
    assert (sound.returncode, sound.stdout) == (0, "2 files, 2 messages: all as it was written\n")
    assert "0 files, 0 bytes would be removed" in gbe(serving, "archive", "prune").stdout
    refused = gbe(serving, "archive", "prune", "--older-than", "1h")
    assert (refused.returncode, "at least a day" in refused.stderr) == (1, True)
    deleted, edited = sorted(folder.rglob("*.jsonl.gz"))
    deleted.unlink()
    data = bytearray(edited.read_bytes())
    data[-1] ^= 1
    edited.write_bytes(data)
    for words in (("verify",), ("verify", "--offline")):
        tampered = gbe(serving, "archive", *words)
        assert tampered.returncode == 1
        assert f"missing   archive/{deleted.relative_to(folder)}" in tampered.stdout
        assert f"changed   archive/{edited.relative_to(folder)}" in tampered.stdout


async def test_what_was_pruned_is_an_audit_event_and_verify_says_it(serving: Path) -> None:
    """Whole days at the old end, once: the rest is sound, and an auditor sees who removed what."""
    settings = load(None, environment={}, flags={"data_dir": serving / "gbe-data"})
    archive = serving / "gbe-data" / "archive"
    async with await attached(serving), Connections(settings) as connections:
        progress = Progress(connections.backend.state, "gbe", "archiver")
        async with await ObjectStore.open(ObjectsConfig(url=str(archive))) as objects:
            sink = ObjectSink(objects)
            for number in range(3):
                some = batch(2 * number, 2, timestamp=DAY_MS * (20_000 + number))
                some = Batch("gbe.events.audit.old", some.day, some.messages)
                point = await progress.load(some.subject)
                intended = await progress.intend(some.subject, point, some)
                assert intended is not None
                assert await progress.confirm(some.subject, intended, some, await sink.write(some, point.mark), 0)
        for manifest in (archive / "manifest").rglob("*.json"):
            os.utime(manifest, (1_728_000_000, 1_728_000_000))
        looked = gbe(serving, "archive", "prune").stdout
        assert looked.splitlines()[0] == "2024-10-04 gbe.events.audit.old: 1 files, 2 messages"
        assert "2 files" in looked
        assert "would be removed" in looked
        assert "removed" in gbe(serving, "archive", "prune", "--yes").stdout
        found = gbe(serving, "archive", "verify")
        assert found.returncode == 0, found.stdout
        assert "pruned    gbe.events.audit.old: 4 messages up to 2024-10-05" in found.stdout

        async def told() -> bool:
            changes = await connections.backend.transport.read("gbe.events.audit.change")
            found = [json.loads(one.envelope.payload) for one in changes]
            return [(one["target"], one["after"]) for one in found if one["action"] == "prune"] == [
                ("archive/archiver", {"messages": 4, "newest_day": "2024-10-05"})
            ]

        await eventually(told, "an audit event says it")
