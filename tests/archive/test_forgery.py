"""What somebody puts into an archive is named, as is every manifest that was edited; an archiver at work is not."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import psycopg
import pytest
from tests.archive.messages import DAY_MS, SUBJECT, batch

from gbe.archive import files, manifest
from gbe.archive.batch import Batch
from gbe.archive.layout import MANIFESTS, data_name, manifest_name
from gbe.archive.manifest import Entry, Manifest, chained, entry_of
from gbe.archive.object_sink import ObjectSink
from gbe.archive.postgres.config import PostgresConfig
from gbe.archive.postgres.database import Database
from gbe.archive.postgres.sink import PostgresSink
from gbe.archive.postgres.verify import verify_table
from gbe.archive.progress import Progress
from gbe.archive.sink import Sink
from gbe.archive.verify import Known, Verification, looking_into, verify
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore
from gbe.state.memory import MemoryStateStore

FIRST = 20_000  # a day: 2024-10-04
FORM = "jsonl.gz"


@pytest.fixture
async def objects() -> AsyncIterator[ObjectStore]:
    async with await ObjectStore.open(ObjectsConfig(url="memory")) as store:
        yield store


@pytest.fixture
async def progress() -> AsyncIterator[Progress]:
    async with MemoryStateStore() as state:
        yield Progress(state, "gbe", "archiver")


async def archive(sink: Sink, progress: Progress, written: Batch) -> None:
    """As an archiver does it."""
    point = await progress.load(written.subject)
    intended = await progress.intend(written.subject, point, written)
    assert intended is not None
    mark = await sink.write(written, point.mark)
    assert await progress.confirm(written.subject, intended, written, mark, 0)


async def look(objects: ObjectStore, progress: Progress) -> Verification:
    known = {subject: Known.of(point) async for subject, point in progress.all()}
    return await verify(objects, known, looking_into(progress), "gbe")


def chain(previous: str, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """What somebody who knows how it is done would write."""
    found: list[Entry] = []
    for entry in entries:
        found.append(chained(previous, entry))
        previous = found[-1].hash
    return tuple(found)


async def forge_file(objects: ObjectStore, forged: Batch) -> Entry:
    data = files.pack(forged.messages, FORM)
    name = data_name(forged, FORM)
    await objects.put(name, data)
    return entry_of(forged, name, data)


async def newest(objects: ObjectStore) -> tuple[str, Manifest]:
    name = max([info.name async for info in objects.list(MANIFESTS)])
    return name, manifest.decode(await objects.get(name), name)


async def put(objects: ObjectStore, name: str, found: Manifest) -> None:
    messages = sum(entry.messages for entry in found.entries)
    await objects.put(name, manifest.encode(msgspec.structs.replace(found, messages=messages)))


async def append(objects: ObjectStore) -> str:
    """A file behind the last one, with an entry that fits."""
    name, found = await newest(objects)
    entry = await forge_file(objects, batch(50, 2, timestamp=DAY_MS * (FIRST + 1)))
    await put(objects, name, msgspec.structs.replace(found, entries=chain(found.previous, [*found.entries, entry])))
    return entry.file


async def append_a_day(objects: ObjectStore) -> str:
    """A day behind the last one, with a manifest that fits."""
    _, found = await newest(objects)
    forged = batch(50, 2, timestamp=DAY_MS * (FIRST + 2))
    entries = chain(found.head, [await forge_file(objects, forged)])
    whole = Manifest(subject=SUBJECT, day=forged.day, chunk=0, previous=found.head, messages=0, entries=entries)
    await put(objects, manifest_name(SUBJECT, forged.day, 0), whole)
    return entries[0].file


async def invent_a_subject(objects: ObjectStore) -> str:
    """A subject that nobody has archived, with a manifest that fits."""
    forged = batch(0, 2)
    forged = Batch("gbe.events.audit.forged", forged.day, forged.messages)
    entries = chain("", [await forge_file(objects, forged)])
    whole = Manifest(subject=forged.subject, day=forged.day, chunk=0, previous="", messages=0, entries=entries)
    await put(objects, manifest_name(forged.subject, forged.day, 0), whole)
    return forged.subject


async def edit_the_head(objects: ObjectStore) -> str:
    """The fields of a manifest that no hash covers."""
    name, found = await newest(objects)
    await objects.put(name, manifest.encode(msgspec.structs.replace(found, messages=1_000)))
    return name


async def edit_all_of_it(objects: ObjectStore) -> str:
    """Another file in place of one, and all hashes behind it computed anew."""
    name, found = await newest(objects)
    (last, *_) = reversed(found.entries)
    forged = batch(15, 5, timestamp=DAY_MS * (FIRST + 1), payloads=[b"forged"] * 5)
    entry = await forge_file(objects, forged)
    assert entry.file == last.file
    entries = chain(found.previous, [*found.entries[:-1], entry])
    await put(objects, name, msgspec.structs.replace(found, entries=entries))
    return name


async def cut_off_the_end(objects: ObjectStore) -> str:
    """The newest file with its entry."""
    name, found = await newest(objects)
    await objects.delete(found.entries[-1].file)
    await put(objects, name, msgspec.structs.replace(found, entries=found.entries[:-1]))
    return name


@pytest.mark.parametrize(
    "tamper", [append, append_a_day, invent_a_subject, edit_the_head, edit_all_of_it, cut_off_the_end]
)
async def test_somebody_who_knows_how_manifests_are_made_is_found_out(
    objects: ObjectStore, progress: Progress, tamper: object
) -> None:
    """The state store's hash is what they cannot write; what they touched is named."""
    sink = ObjectSink(objects, FORM)
    for number in range(4):
        await archive(sink, progress, batch(5 * number, 5, timestamp=DAY_MS * (FIRST + number // 2)))
    assert (await look(objects, progress)).is_sound
    assert callable(tamper)
    name = await tamper(objects)
    findings = (await look(objects, progress)).findings
    assert len(findings) == 1, findings
    assert findings[0].kind == "manifest"
    assert name in f"{findings[0].file} {findings[0].what}"


async def test_another_deployment_in_the_same_place_is_none_of_our_business(
    objects: ObjectStore, progress: Progress
) -> None:
    """Its files are read and compared; where its chain ends its own state store knows."""
    other = batch(0, 2)
    await ObjectSink(objects, FORM).write(Batch("other.events.audit.change", other.day, other.messages), b"")
    found = await look(objects, progress)
    assert (found.findings, found.messages) == ([], 2)


async def test_a_verification_while_the_archiver_writes_finds_nothing(objects: ObjectStore, progress: Progress) -> None:
    """Files and manifests appear between one look and the next; a file that is put in then is still found."""
    sink, rounds = ObjectSink(objects, FORM), 0

    async def write() -> None:
        for number in range(120):
            await archive(sink, progress, batch(number, 1, timestamp=DAY_MS * (FIRST + number // 40)))

    writing = asyncio.create_task(write())
    while not writing.done():
        found = await look(objects, progress)
        assert found.findings == []
        rounds += 1
    await writing
    assert rounds
    await forge_file(objects, batch(500, 1, timestamp=DAY_MS * FIRST))
    assert [one.kind for one in (await look(objects, progress)).findings] == ["unlisted"]


async def test_a_batch_that_is_stored_and_not_confirmed_yet_is_no_forgery(
    objects: ObjectStore, progress: Progress
) -> None:
    """An archiver may have died there; the next one confirms it."""
    sink = ObjectSink(objects, FORM)
    await archive(sink, progress, batch(0, 2))
    for first in (2, 4):
        point = await progress.load(SUBJECT)
        intended = await progress.intend(SUBJECT, point, batch(first, 2))
        assert intended is not None
        mark = await sink.write(batch(first, 2), point.mark)
        assert (await look(objects, progress)).is_sound
        assert await progress.confirm(SUBJECT, intended, batch(first, 2), mark, 0)


# -- the same in PostgreSQL


async def look_at_table(url: str, progress: Progress) -> Verification:
    database = Database(PostgresConfig(url=url))
    known = {subject: Known.of(point) async for subject, point in progress.all()}
    try:
        return await verify_table(database, known, await progress.pruned_days(), looking_into(progress), "gbe")
    finally:
        await database.aclose()


async def execute(url: str, *statements: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for statement in statements:
            await connection.execute(statement.encode())


async def test_batches_and_rows_that_were_put_into_the_table_are_named(url: str, progress: Progress) -> None:
    """Behind the end of a chain, for a subject that nobody archives, in a partition of their own, on a pruned day."""
    async with await PostgresSink.open(PostgresConfig(url=url)) as sink:
        for number in range(4):
            await archive(sink, progress, batch(5 * number, 5, timestamp=DAY_MS * (FIRST + number // 2)))
        assert (await look_at_table(url, progress)).is_sound

        mark = (await progress.load(SUBJECT)).mark
        await sink.write(batch(40, 2, timestamp=DAY_MS * (FIRST + 1)), mark)
        findings = (await look_at_table(url, progress)).findings
        assert [(one.kind, "positions 41-0 to 42-0" in one.file) for one in findings] == [("manifest", True)]
        await execute(
            url,
            "DELETE FROM gbe_archive_batches WHERE number = 4",
            "DELETE FROM gbe_archive WHERE pos_major > 40",
        )
        assert (await look_at_table(url, progress)).findings == []

        forged = batch(0, 2, timestamp=DAY_MS * FIRST)
        renamed = tuple(
            msgspec.structs.replace(one, envelope=msgspec.structs.replace(one.envelope, subject="gbe.events.audit.x"))
            for one in forged.messages
        )
        await sink.write(Batch("gbe.events.audit.x", forged.day, renamed), b"")
        findings = (await look_at_table(url, progress)).findings
        assert [(one.kind, one.file) for one in findings] == [("manifest", "gbe.events.audit.x")]
    await execute(
        url,
        "DELETE FROM gbe_archive WHERE subject = 'gbe.events.audit.x'",
        "DELETE FROM gbe_archive_batches WHERE subject = 'gbe.events.audit.x'",
        "CREATE TABLE others PARTITION OF gbe_archive DEFAULT",
        "INSERT INTO gbe_archive SELECT '2020-02-02', subject, id, pos_major, 0, domain, ts, traceparent, payload "
        "FROM gbe_archive WHERE pos_major = 7",
    )
    findings = (await look_at_table(url, progress)).findings
    assert [(one.kind, one.file[:20]) for one in findings] == [("unlisted", "gbe_archive_20200202")]
    await execute(url, "DROP TABLE others")

    await progress.add_pruned_day("2024-10-04", 1)
    assert (await look_at_table(url, progress)).is_sound  # interrupted before anything was dropped
    await execute(url, "DELETE FROM gbe_archive WHERE pos_major = 3")
    findings = (await look_at_table(url, progress)).findings
    assert [(one.kind, "positions 1-0 to 5-0" in one.file) for one in findings] == [("missing", True)]
    await execute(url, "DROP TABLE gbe_archive_20241004")
    found = await look_at_table(url, progress)
    assert (found.findings, found.messages, found.pruned) == ([], 10, ["1 days up to 2024-10-04"])


async def test_a_verification_of_the_table_while_the_archiver_writes_finds_nothing(
    url: str, progress: Progress
) -> None:
    """Its snapshot may be newer than what the state store said before."""

    async def write() -> None:
        async with await PostgresSink.open(PostgresConfig(url=url)) as sink:
            for number in range(60):
                await archive(sink, progress, batch(number, 1, timestamp=DAY_MS * (FIRST + number // 20)))

    async with await PostgresSink.open(PostgresConfig(url=url)):
        writing = asyncio.create_task(write())
    while not writing.done():
        assert (await look_at_table(url, progress)).findings == []
    await writing
    assert (await look_at_table(url, progress)).messages == 60
