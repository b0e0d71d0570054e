"""The archive in PostgreSQL: what was deleted, changed or put in is named, and what was pruned is not."""

import psycopg
import pytest
from tests.archive.messages import DAY_MS, SUBJECT, batch

from gbe.archive.manifest import Mark
from gbe.archive.postgres.config import PostgresConfig
from gbe.archive.postgres.database import Database
from gbe.archive.postgres.prune import drop_day, find_old_days
from gbe.archive.postgres.sink import PostgresSink
from gbe.archive.postgres.verify import verify_table
from gbe.archive.progress import Progress
from gbe.archive.verify import Known, Verification
from gbe.state.memory import MemoryStateStore

FIRST = 20_000  # a day: 2024-10-04
IN_A_LONG_TIME = DAY_MS * 40_000


async def fill(url: str, days: int = 3) -> Known:
    """Two batches of five rows for each of these days; what the state store would know."""
    mark = b""
    async with await PostgresSink.open(PostgresConfig(url=url)) as sink:
        for number in range(2 * days):
            mark = await sink.write(batch(5 * number, 5, timestamp=DAY_MS * (FIRST + number // 2)), mark)
    return Known(Mark.parse(mark).head)


async def look(url: str, known: Known, pruned: set[str] | None = None) -> Verification:
    database = Database(PostgresConfig(url=url))
    try:
        return await verify_table(database, {SUBJECT: known}, pruned or set())
    finally:
        await database.aclose()


async def test_a_whole_archive_is_sound(url: str) -> None:
    """Every row is read; a batch that is written again changes nothing."""
    known = await fill(url)
    async with await PostgresSink.open(PostgresConfig(url=url)) as sink:
        await sink.write(batch(0, 5, timestamp=DAY_MS * FIRST), b"")
    found = await look(url, known)
    assert (found.findings, found.files, found.messages) == ([], 6, 30)


@pytest.mark.parametrize(
    ("statement", "kind", "file", "what"),
    [
        ("DELETE FROM gbe_archive WHERE pos_major = 7", "missing", "positions 6-0 to 10-0", "1 of its 5 rows"),
        ("UPDATE gbe_archive SET payload = 'x' WHERE pos_major = 7", "changed", "positions 6-0 to 10-0", "not those"),
        ("UPDATE gbe_archive SET ts = ts + 1 WHERE pos_major = 1", "changed", "positions 1-0 to 5-0", "not those"),
        (
            (
                "INSERT INTO gbe_archive SELECT dt, subject, 'forged', 99, 0, domain, ts, traceparent, payload "
                "FROM gbe_archive WHERE pos_major = 7"
            ),
            "unlisted",
            "gbe_archive_20241004: gbe.events.audit.change",
            "1 rows that no batch",
        ),
        (
            (
                "INSERT INTO gbe_archive SELECT dt, subject, 'forged', pos_major, 0, domain, ts, traceparent, payload "
                "FROM gbe_archive WHERE pos_major = 7"
            ),
            "unlisted",
            "positions 6-0 to 10-0",
            "1 rows were put in",
        ),
        ("DROP TABLE gbe_archive_20241005", "missing", "gbe_archive_20241005", "it held 10 messages"),
        (
            "UPDATE gbe_archive_batches SET messages = 4 WHERE number = 5",
            "manifest",
            "positions 26-0 to 30-0",
            "was changed",
        ),
        ("DELETE FROM gbe_archive_batches WHERE number = 5", "manifest", SUBJECT, "the state store knows later"),
        ("DELETE FROM gbe_archive_batches WHERE number = 2", "manifest", "positions 16-0 to 20-0", "1 batches before"),
        ("TRUNCATE gbe_archive_batches", "manifest", SUBJECT, "the state store knows later"),
    ],
)
async def test_what_was_tampered_with_is_named(url: str, statement: str, kind: str, file: str, what: str) -> None:
    """Rows and the chain itself, and nothing else is complained about."""
    known = await fill(url)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(statement.encode())
    findings = (await look(url, known)).findings
    assert any(one.kind == kind and file in one.file and what in one.what for one in findings), findings
    of_the_chain = {"manifest", "unlisted", kind}
    assert all(one.kind in of_the_chain for one in findings), findings


async def test_days_are_pruned_and_the_rest_verifies(url: str) -> None:
    """By their partitions; a day that was dropped by anybody else is named."""
    known = await fill(url)
    database = Database(PostgresConfig(url=url))
    async with MemoryStateStore() as state:
        progress = Progress(state, "gbe", "archiver")
        assert await find_old_days(database, DAY_MS * (FIRST + 2)) == []  # written just now
        days = [old.day for old in await find_old_days(database, IN_A_LONG_TIME)]
        assert days == ["2024-10-04", "2024-10-05", "2024-10-06"]
        await progress.add_pruned_day(days[0], 1)
        assert (await look(url, known, await progress.pruned_days())).is_sound  # as if it had crashed here
        await drop_day(database, days[0])
        await drop_day(database, days[0])
        assert (await look(url, known, await progress.pruned_days())).is_sound
        assert [old.day for old in await find_old_days(database, IN_A_LONG_TIME)] == days[1:]
        await drop_day(database, days[1])
        found = await look(url, known, await progress.pruned_days())
    assert [(one.kind, one.file) for one in found.findings] == [("missing", "gbe_archive_20241005")]
    await database.aclose()


async def test_streams_that_were_made_anew_are_told_apart(url: str) -> None:
    """Their positions are the same, and so may their days be."""
    first = batch(0, 5, timestamp=DAY_MS * FIRST)
    again = batch(0, 5, timestamp=DAY_MS * FIRST + 1)
    async with await PostgresSink.open(PostgresConfig(url=url)) as sink:
        mark = await sink.write(first, b"")
        mark = await sink.write(type(again)(again.subject, again.day, again.messages, generation=1), mark)
    found = await look(url, Known(Mark.parse(mark).head))
    assert (found.findings, found.messages) == ([], 10)
