"""Archived messages, read back and published again: the range, the order, and nothing twice."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as changed
from tests.archive.messages import DAY_MS, SUBJECT, batch
from tests.deployments import Deployment
from tests.postgres import PostgresProcess
from tests.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Process

from gbe.archive import files
from gbe.archive.batch import Batch
from gbe.archive.config import ArchiveConfig
from gbe.archive.history import History, ObjectHistory, Range
from gbe.archive.layout import DATA
from gbe.archive.object_sink import ObjectSink
from gbe.archive.open import open_history, open_sink, query
from gbe.archive.replay import Plan, Replay
from gbe.archive.sink import Sink
from gbe.errors import ArchiveError, ArchiveQueryError, TransportUnavailableError
from gbe.ids import new_ulid
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore
from gbe.transport.base import Transport

FIRST = 20_000  # a day: 2024-10-04
OTHER = "gbe.events.audit.access"


@pytest.fixture(params=[*files.FORMATS, "s3", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> ArchiveConfig:
    """An archive of each kind."""
    if request.param == "s3":
        s3: S3Process = request.getfixturevalue("s3")
        return ArchiveConfig(
            url=f"s3://{BUCKET}/{new_ulid()}",
            endpoint=s3.endpoint,
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            format=files.PARQUET,
        )
    if request.param != "postgres":
        return ArchiveConfig(url=str(tmp_path / "archive"), format=request.param)
    server: PostgresProcess = request.getfixturevalue("postgres")
    return ArchiveConfig(url=server.new_database())


def of(subject: str, some: Batch) -> Batch:
    """The same batch of another subject."""
    messages = tuple(changed(one, envelope=changed(one.envelope, subject=subject)) for one in some.messages)
    return replace(some, subject=subject, messages=messages)


async def fill(sink: Sink, subject: str = SUBJECT, days: int = 3) -> None:
    """Two batches of five messages for each day; payloads of every kind."""
    mark = b""
    for number in range(2 * days):
        payloads = [b'{"n": %d}' % number, b'"text"', b"\xff\0", b"", b"no json"]
        some = batch(5 * number, 5, timestamp=DAY_MS * (FIRST + number // 2), payloads=payloads)
        mark = await sink.write(of(subject, some), mark)


async def read(history: History, wanted: Range) -> list[tuple[str, int]]:
    return [(one.envelope.subject, one.position.major) async for one, _ in history.messages(wanted)]


async def test_a_range_is_read_back_in_order(place: ArchiveConfig) -> None:
    """From the first moment on and up to the last, which is not part of it; wildcards; bytes as they came."""
    async with await open_sink(place, ObjectsConfig(), "") as sink:
        await fill(sink)
        await fill(sink, OTHER, days=1)
    async with await open_history(place, ObjectsConfig(), "") as history:
        everything = await read(history, Range("gbe.events.>"))
        assert everything == [(OTHER, n) for n in range(1, 11)] + [(SUBJECT, n) for n in range(1, 31)]
        day = Range("gbe.events.audit.*", DAY_MS * (FIRST + 1), DAY_MS * (FIRST + 2))
        assert await read(history, day) == [(SUBJECT, n) for n in range(11, 21)]
        assert await read(history, Range(SUBJECT, DAY_MS * FIRST + 1)) == [(SUBJECT, n) for n in range(11, 31)]
        assert await read(history, Range(OTHER, None, DAY_MS * FIRST)) == []
        assert await read(history, Range("gbe.tasks.>")) == []
        found = [one.envelope.payload async for one, _ in history.messages(Range(OTHER))]
        assert found[:5] == [b'{"n": 0}', b'"text"', b"\xff\0", b"", b"no json"]


async def test_every_archive_answers_the_same_query(place: ArchiveConfig) -> None:
    """One view with one set of names, whatever is below it."""
    async with await open_sink(place, ObjectsConfig(), "") as sink:
        await fill(sink)

    async def ask(sql: str, timeout: float = 30.0, limit: int = 100) -> list[tuple[object, ...]]:
        answer = await query(place, ObjectsConfig(), "", sql, limit=limit, timeout=timeout, memory=256 * 1024 * 1024)
        return answer.rows

    found = await ask("SELECT dt::text, count(*), count(payload) FROM events GROUP BY dt ORDER BY dt")
    assert found == [("2024-10-04", 10, 4), ("2024-10-05", 10, 4), ("2024-10-06", 10, 4)]
    sql = (
        "SELECT subject, domain, position, payload->>'n', payload_bytes FROM events WHERE dt = '2024-10-05' ORDER BY id"
    )
    assert await ask(sql, limit=1) == [(SUBJECT, "events", "11-0", "2", b'{"n": 2}')]
    for wrong in (
        "DROP VIEW archive",
        "SELECT 1; SELECT 2",
        "SELECT nobody FROM events",
        "selec",
        "",
        "COPY events TO STDOUT",
    ):
        with pytest.raises(ArchiveQueryError):
            await ask(wrong)
    assert await ask("SELECT count(*) FROM archive") == [(30,)]


async def test_postgres_answers_in_a_transaction_that_cannot_write_and_ends(postgres: PostgresProcess) -> None:
    """Neither a function that writes nor one that waits gets far."""
    place = ArchiveConfig(url=postgres.new_database())
    async with await open_sink(place, ObjectsConfig(), "") as sink:
        await fill(sink, days=1)

    async def ask(sql: str) -> None:
        await query(place, ObjectsConfig(), "", sql, limit=10, timeout=1.0, memory=1)

    with pytest.raises(ArchiveQueryError, match="data-modifying"):
        await ask("WITH gone AS (DELETE FROM gbe_archive RETURNING 1) SELECT * FROM gone")
    with pytest.raises(ArchiveQueryError, match="read-only"):
        await ask("SELECT * FROM gbe_archive FOR UPDATE")
    with pytest.raises(ArchiveQueryError, match="not done within 1 s"):
        await ask("SELECT pg_sleep(60)")
    async with await open_history(place, ObjectsConfig(), "") as history:
        assert len(await read(history, Range(SUBJECT))) == 10


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[ObjectStore]:
    """An archive in a folder, three days of it."""
    async with await ObjectStore.open(ObjectsConfig(url=str(tmp_path / "archive"))) as store:
        await fill(ObjectSink(store))
        yield store


async def stored(transport: Transport, subject: str) -> list[tuple[str, bytes]]:
    return [(one.envelope.id, one.envelope.payload) for one in await transport.read(subject)]


async def test_a_replay_publishes_each_message_once_however_often_it_is_started(
    deployment: Deployment, objects: ObjectStore
) -> None:
    """On every engine: in order, under their own ids, also when another process repeats it."""
    target = f"{deployment.namespace}.events.audit.again"
    plan = Plan(Range(SUBJECT, DAY_MS * FIRST, DAY_MS * (FIRST + 2)), target)
    wanted = [(one.envelope.id, one.envelope.payload) async for one, _ in ObjectHistory(objects).messages(plan.wanted)]
    results = []
    for _ in range(2):
        backend = await deployment.backend()
        replay = Replay(ObjectHistory(objects), backend.transport, backend.state, deployment.namespace)
        done = await replay.run(plan)
        results.append((done.published, done.skipped))
        assert await stored(backend.transport, target) == wanted
    assert results == [(20, 0), (0, 20)]
    later = replace(plan, wanted=replace(plan.wanted, until=None))
    assert (await replay.run(later)).published == 30, "another range is another replay"


async def test_a_replay_that_failed_half_way_goes_on_where_it_was(deployment: Deployment, objects: ObjectStore) -> None:
    """What was published before is not published again."""
    backend = await deployment.backend()
    plan = Plan(Range(SUBJECT), f"{deployment.namespace}.events.audit.again")

    class Ending(ObjectHistory):
        """Its reader has gone away after 13 messages."""

        async def messages(self, wanted: Range):  # type: ignore[no-untyped-def]
            number = 0
            async for found in super().messages(wanted):
                if number == 13:
                    raise TransportUnavailableError("gone")
                number += 1
                yield found

    with pytest.raises(TransportUnavailableError):
        await Replay(Ending(objects), backend.transport, backend.state, deployment.namespace).run(plan)
    done = await Replay(ObjectHistory(objects), backend.transport, backend.state, deployment.namespace).run(plan)
    assert (done.published, done.skipped) == (17, 13)
    assert len(await stored(backend.transport, plan.target or "")) == 30


async def test_a_damaged_file_ends_a_replay_with_its_name(objects: ObjectStore) -> None:
    """What lies before it has been read."""
    *_, last = sorted([info.name async for info in objects.list(DATA)])
    await objects.put(last, b"damaged")
    seen = []

    async def read_all() -> None:
        async for one, _ in ObjectHistory(objects).messages(Range(SUBJECT)):
            seen.append(one)

    with pytest.raises(ArchiveError, match=last):
        await read_all()
    assert len(seen) == 25
