"""What every sink promises: durable, compared, and the same however often it is written."""

import gzip

import pytest
from tests.archive.messages import DAY_MS, batch

from gbe.archive import files, rows
from gbe.archive.batch import day_of
from gbe.archive.layout import DATA, data_name, manifest_name
from gbe.archive.manifest import Mark
from gbe.archive.object_sink import ObjectSink
from gbe.archive.sink import Sink
from gbe.archive.verify import Known, verify
from gbe.errors import SinkConflictError
from gbe.objects.store import ObjectStore


async def test_a_batch_that_is_written_twice_is_there_once(sink: Sink, objects: ObjectStore, form: str) -> None:
    """A retry returns the same mark, and adds nothing."""
    first = await sink.write(batch(0, 3), b"")
    again = await sink.write(batch(0, 3), b"")
    assert first == again
    assert [info.name async for info in objects.list(DATA)] == [data_name(batch(0, 3), form)]


async def test_a_batch_is_written_again_by_another_process(sink: Sink, objects: ObjectStore, form: str) -> None:
    """What a crash left is taken over: the next process has the last confirmed mark, and nothing else."""
    mark = await sink.write(batch(0, 3), b"")
    written = await sink.write(batch(3, 2), mark)
    assert await ObjectSink(objects, form).write(batch(3, 2), mark) == written
    found = await verify(objects, {batch(0, 1).subject: Known(Mark.parse(written).head)})
    assert found.is_sound, found.findings
    assert (found.files, found.messages) == (2, 5)


async def test_what_was_published_is_what_comes_out(sink: Sink, objects: ObjectStore, form: str) -> None:
    """Any payload, byte by byte: text, no JSON, no text at all, nothing."""
    payloads = (b'{"a": 1}', "grüße".encode(), b"\xff\x00\xfe", b"", b"a\0b", b"line\nline")
    sent = batch(0, len(payloads), payloads=payloads)
    await sink.write(sent, b"")
    name = data_name(sent, form)
    found = files.unpack(await objects.get(name), name)
    assert [row.archived() for row in found] == list(sent.messages)


async def test_a_file_that_another_compressor_packed_is_taken_over(objects: ObjectStore) -> None:
    """A crash, then a retry after an upgrade or on another machine: the same rows in other bytes are the batch."""
    sent = batch(0, 20)
    name, packed = data_name(sent, files.JSONL_GZ), gzip.compress(rows.encode(sent.messages), 1)
    assert packed != files.pack(sent.messages)
    await objects.create(name, packed)
    mark = await ObjectSink(objects).write(sent, b"")
    assert await objects.get(name) == packed
    found = await verify(objects, {sent.subject: Known(Mark.parse(mark).head)})
    assert found.is_sound, found.findings
    assert found.messages == 20


async def test_another_batch_in_the_same_place_is_not_overwritten(sink: Sink, objects: ObjectStore, form: str) -> None:
    """Somebody else's file under our name is a conflict, and stays as it is."""
    name = data_name(batch(0, 2), form)
    await objects.create(name, b"not ours")
    with pytest.raises(SinkConflictError, match="rows are not those"):
        await sink.write(batch(0, 2), b"")
    assert await objects.get(name) == b"not ours"


async def test_many_batches_over_days_and_chunks_verify(
    sink: Sink, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chain runs through chunks and days."""
    monkeypatch.setattr("gbe.archive.object_sink.MAX_ENTRIES", 3)
    mark = b""
    for number in range(8):
        mark = await sink.write(batch(number, 1, timestamp=DAY_MS * (20_000 + number // 4)), mark)
    found = await verify(objects, {batch(0, 1).subject: Known(Mark.parse(mark).head)})
    assert found.is_sound, found.findings
    assert found.files == 8


async def test_deleted_and_edited_files_are_named(sink: Sink, objects: ObjectStore, form: str) -> None:
    """One byte is enough."""
    mark = b""
    for number in range(3):
        mark = await sink.write(batch(number, 1), mark)
    names = [data_name(batch(number, 1), form) for number in range(3)]
    await objects.delete(names[0])
    data = bytearray(await objects.get(names[1]))
    data[-1] ^= 1
    await objects.put(names[1], bytes(data))
    found = await verify(objects, {batch(0, 1).subject: Known(Mark.parse(mark).head)})
    assert {(finding.file, finding.kind) for finding in found.findings} == {
        (names[0], "missing"),
        (names[1], "changed"),
    }


async def test_a_day_that_was_removed_and_a_manifest_that_was_edited_are_named(
    sink: Sink, objects: ObjectStore, form: str
) -> None:
    """A day with its manifest is a gap in the chain, at the beginning, in the middle and at the end."""
    mark = b""
    days = [20_000, 20_001, 20_002]
    for number, day in enumerate(days):
        mark = await sink.write(batch(number, 1, timestamp=DAY_MS * day), mark)
    subject = batch(0, 1).subject
    parsed = Mark.parse(mark)
    known = {subject: Known(parsed.head, day=parsed.day, chunk=parsed.chunk)}
    manifests = [manifest_name(subject, day_of(DAY_MS * day), 0) for day in days]
    followers = [manifests[1], manifests[2], manifests[2]]
    for number, day in enumerate(days):
        name = data_name(batch(number, 1, timestamp=DAY_MS * day), form)
        kept = [(one, await objects.get(one)) for one in (name, manifests[number])]
        for one, _ in kept:
            await objects.delete(one)
        found = await verify(objects, known)
        assert [(one.kind, one.file) for one in found.findings] == [("manifest", followers[number])]
        for one, data in kept:
            await objects.put(one, data)
    assert (await verify(objects, known)).is_sound
    await objects.put(manifests[1], (await objects.get(manifests[1])).replace(b'"messages": 1', b'"messages": 2'))
    found = await verify(objects, known)
    assert ("manifest", manifests[1]) in [(one.kind, one.file) for one in found.findings]


async def test_a_file_that_was_put_in_and_a_chain_that_was_cut_are_named(
    sink: Sink, objects: ObjectStore, form: str
) -> None:
    """Neither a forged file nor a missing manifest passes."""
    mark = await sink.write(batch(0, 1), b"")
    forged = data_name(batch(7, 1), form)
    await objects.put(forged, files.pack(batch(7, 1).messages, form))
    known = {batch(0, 1).subject: Known(Mark.parse(mark).head)}
    assert [(f.file, f.kind) for f in (await verify(objects, known)).findings] == [(forged, "unlisted")]
    await objects.delete(forged)
    before = await verify(objects, {batch(0, 1).subject: Known("f" * 64)})
    assert [finding.kind for finding in before.findings] == ["manifest"]
