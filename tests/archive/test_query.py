"""SQL over an archive of files: what it sees, what it reads for that, and what it must not do."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as changed
from tests.archive.messages import DAY_MS, SUBJECT, batch

from gbe.archive import files
from gbe.archive.answer import Answer
from gbe.archive.config import ArchiveConfig
from gbe.archive.duck.query import query
from gbe.archive.layout import DATA
from gbe.archive.object_sink import ObjectSink
from gbe.archive.open import query as query_of
from gbe.errors import ArchiveQueryError, ObjectNotFoundError, ObjectStoreRefusedError
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore

DAYS = {20_000: "2024-10-04", 20_001: "2024-10-05", 20_002: "2024-10-06"}
MIB = 1024 * 1024


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[ObjectStore]:
    """Three days of three messages, each in another format; the last message of a day is no JSON."""
    async with await ObjectStore.open(ObjectsConfig(url=str(tmp_path / "archive"))) as store:
        mark = b""
        for number, (day, form) in enumerate(zip(DAYS, files.FORMATS, strict=True)):
            payloads = [b'{"n": %d, "actor": "a"}' % number, b'"text"', b"\xff\0"]
            some = batch(number * 3, 3, timestamp=DAY_MS * day, payloads=payloads)
            mark = await ObjectSink(store, form).write(some, mark)
        yield store


async def ask(objects: ObjectStore, sql: str, *, limit: int = 100, timeout: float = 30.0) -> Answer:
    return await query(objects, sql, limit=limit, timeout=timeout, memory=256 * MIB)


async def refusal(objects: ObjectStore, sql: str) -> str:
    with pytest.raises(ArchiveQueryError) as caught:
        await ask(objects, sql)
    return str(caught.value)


async def test_every_format_gives_the_same_columns(objects: ObjectStore) -> None:
    """One view over all files, payloads as JSON where they are JSON, and as bytes always."""
    answer = await ask(objects, "SELECT dt, subject, position, payload, payload_bytes FROM events ORDER BY ts, id")
    by_day: dict[str, list[tuple[Any, ...]]] = {}
    for dt, *rest in answer.rows:
        by_day.setdefault(str(dt), []).append(tuple(rest))
    assert list(by_day) == list(DAYS.values())
    for number, rows in enumerate(by_day.values()):
        first, text, raw = rows
        assert (first[0], first[1]) == (SUBJECT, f"{number * 3 + 1}-0")
        assert json.loads(first[2]) == {"n": number, "actor": "a"}
        assert (json.loads(text[2]), text[3]) == ("text", b'"text"')
        assert raw[2:] == (None, b"\xff\0")
    assert answer.json == {"payload"}
    sums = await ask(objects, "SELECT sum((payload->>'n')::int), count(*), min(time)::text FROM archive")
    assert sums.rows == [(3, 9, "2024-10-04 00:00:00")]


async def test_a_query_of_one_day_reads_no_other(objects: ObjectStore) -> None:
    """Folders are partitions: the other days' files are gone, and nobody notices."""
    whole = {info.name: await objects.get(info.name) async for info in objects.list(DATA)}
    for day in DAYS.values():
        for name, data in whole.items():
            await objects.put(name, data if f"dt={day}" in name else b"damaged")
        for condition in (f"dt = '{day}'", f"dt BETWEEN '{day}' AND '{day}' AND subject = '{SUBJECT}'"):
            answer = await ask(objects, f"SELECT count(id) FROM events WHERE {condition}")  # noqa: S608
            assert answer.rows == [(3,)]
    assert (await ask(objects, "SELECT count(*) FROM events WHERE domain = 'tasks'")).rows == [(0,)]
    assert await refusal(objects, "SELECT count(id) FROM events")


async def test_there_are_no_more_rows_than_were_asked_for(objects: ObjectStore) -> None:
    """And it is said that there are more."""
    cut = await ask(objects, "SELECT id FROM events", limit=8)
    assert (len(cut.rows), cut.is_cut) == (8, True)
    whole = await ask(objects, "SELECT id FROM events", limit=9)
    assert (len(whole.rows), whole.is_cut) == (9, False)


async def test_a_query_reads_the_archive_and_nothing_else(objects: ObjectStore, tmp_path: Path) -> None:
    """Not the machine's files, not the program's variables, not the network; and it writes nothing."""
    secret = tmp_path / "secret.csv"
    secret.write_text("a\nb\n")
    for sql in (
        f"FROM read_text('{secret}')",
        f"FROM '{secret}'",
        f"FROM glob('{tmp_path}/*')",
        "SELECT * FROM read_text('gbearchive://archive/../../secret.csv')",
        "SELECT * FROM read_csv('https://127.0.0.1:1/x.csv')",
        "SELECT getenv('PATH')",
        "SELECT * FROM objects",
        "SELECT * FROM sql",
    ):
        assert await refusal(objects, sql)
    assert (await ask(objects, "SELECT * FROM read_text('gbearchive://../secret.csv')")).rows == []
    for sql in (
        f"COPY events TO '{tmp_path}/out.csv'",
        f"ATTACH '{tmp_path}/out.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "PRAGMA memory_limit = '10GB'",
        "DROP VIEW events",
        "CREATE TABLE t (a int)",
        "SELECT 1; SELECT 2",
        "",
        "-- nothing",
    ):
        assert "one SELECT" in await refusal(objects, sql)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "secret.csv"]


async def test_mistakes_are_explained(objects: ObjectStore) -> None:
    """In DuckDB's own words, which point to the place."""
    assert "syntax error" in await refusal(objects, "SELECT FROM WHERE")
    assert "nobody" in await refusal(objects, "SELECT nobody FROM events")
    assert "nothing_here" in await refusal(objects, "SELECT * FROM nothing_here")


async def test_a_query_ends_when_its_time_is_over_or_nobody_waits(objects: ObjectStore) -> None:
    """Both interrupt it."""
    endless = "SELECT max(hash(a.range, b.range)) FROM range(100000000) a, range(100000000) b"
    with pytest.raises(ArchiveQueryError, match=r"not done within 0\.5 s"):
        await ask(objects, endless, timeout=0.5)
    asking = asyncio.create_task(ask(objects, endless))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_file_that_is_gone_is_named(objects: ObjectStore, tmp_path: Path) -> None:
    """Deleted after it was listed: the store's error, not DuckDB's."""

    class Forgetful(ObjectStore):
        async def get(self, name: str) -> bytes:
            await self.delete(name)
            return await super().get(name)

    async with await Forgetful.open(objects.config, writes=False) as store:
        with pytest.raises(ObjectNotFoundError, match="dt=2024"):
            await ask(store, "SELECT count(id) FROM events")


async def test_an_empty_archive_has_no_rows_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    """And looking makes no folder."""
    empty, missing = tmp_path / "empty", tmp_path / "missing"
    empty.mkdir()

    async def of(folder: Path) -> Answer:
        return await query_of(
            ArchiveConfig(), ObjectsConfig(), str(folder), "FROM events", limit=1, timeout=30, memory=64 * MIB
        )

    answer = await of(empty)
    assert (answer.rows, answer.columns[:4]) == ([], ("id", "subject", "domain", "dt"))
    with pytest.raises(ObjectStoreRefusedError, match="no such folder"):
        await of(missing)
    assert not missing.exists()


async def test_a_subject_that_is_too_long_for_a_folder_is_whole_in_the_view(tmp_path: Path) -> None:
    """The folder has the beginning and a hash, the rows have it all."""
    from dataclasses import replace

    subject = f"gbe.events.audit.{'x' * 200}"
    async with await ObjectStore.open(ObjectsConfig(url="memory")) as store:
        for form in files.FORMATS:
            some = batch(10 * files.FORMATS.index(form), 1)
            messages = tuple(changed(one, envelope=changed(one.envelope, subject=subject)) for one in some.messages)
            await ObjectSink(store, form).write(replace(some, subject=subject, messages=messages), b"")
        answer = await ask(store, f"SELECT count(*) FROM events WHERE subject = '{subject}'")  # noqa: S608
        assert answer.rows == [(3,)]
