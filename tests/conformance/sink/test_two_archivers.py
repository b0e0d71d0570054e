"""Two archivers at a time: one that was stopped and wakes, when the other has gone on, changes nothing."""

import pytest
from tests.archive.messages import DAY_MS, SUBJECT, batch

from gbe.archive import manifest
from gbe.archive.layout import MANIFESTS, data_name
from gbe.archive.manifest import Mark
from gbe.archive.object_sink import ObjectSink
from gbe.archive.verify import Known, Verification, verify
from gbe.errors import SinkUnavailableError
from gbe.objects.store import ObjectStore

FIRST = DAY_MS * 20_000


async def look(objects: ObjectStore, mark: bytes) -> Verification:
    parsed = Mark.parse(mark)
    return await verify(objects, {SUBJECT: Known(parsed.head, day=parsed.day, chunk=parsed.chunk)})


async def everything(objects: ObjectStore) -> dict[str, bytes]:
    return {info.name: await objects.get(info.name) async for info in objects.list(MANIFESTS)}


async def test_a_stale_archiver_takes_nothing_out_of_a_manifest(objects: ObjectStore, form: str) -> None:
    """It remembers the manifest as it was, or reads it again: either way it is told that somebody has gone on."""
    stale, active = ObjectSink(objects, form), ObjectSink(objects, form)
    first = await stale.write(batch(0, 2, timestamp=FIRST), b"")
    second = await active.write(batch(2, 2, timestamp=FIRST), first)
    third = await active.write(batch(4, 2, timestamp=FIRST), second)
    before = await everything(objects)
    with pytest.raises(SinkUnavailableError, match="another archiver"):
        await stale.write(batch(2, 2, timestamp=FIRST), first)
    with pytest.raises(SinkUnavailableError, match="somebody has gone on"):
        await stale.write(batch(2, 2, timestamp=FIRST), first)
    with pytest.raises(SinkUnavailableError, match="somebody has gone on"):
        await ObjectSink(objects, form).write(batch(0, 2, timestamp=FIRST), b"")
    assert await everything(objects) == before
    assert await stale.write(batch(4, 2, timestamp=FIRST), second) == third  # what was written, but not confirmed
    fourth = await stale.write(batch(6, 2, timestamp=FIRST + DAY_MS), third)
    found = await look(objects, fourth)
    assert (found.findings, found.messages) == ([], 8)


async def test_a_manifest_that_somebody_has_added_to_is_left_and_the_archive_goes_on(
    objects: ObjectStore, form: str
) -> None:
    """If the state store knows nothing of it the second time either, it is tampering: for the verification."""
    sink = ObjectSink(objects, form)
    mark = await sink.write(batch(0, 2, timestamp=FIRST), b"")
    forger = ObjectSink(objects, form)
    await forger.write(batch(80, 1, timestamp=FIRST), await forger.write(batch(70, 1, timestamp=FIRST), mark))
    for _ in range(2):
        with pytest.raises(SinkUnavailableError):
            await sink.write(batch(2, 2, timestamp=FIRST), mark)
    mark = await sink.write(batch(2, 2, timestamp=FIRST), mark)
    mark = await sink.write(batch(4, 2, timestamp=FIRST), mark)
    written = await everything(objects)
    kept = manifest.decode(written[max(written)], "")
    assert [entry.file for entry in kept.entries] == [
        data_name(batch(number, 2, timestamp=FIRST), form) for number in (2, 4)
    ]
    assert {finding.kind for finding in (await look(objects, mark)).findings} == {"manifest"}
