"""The archive in PostgreSQL: its table, its troubles, and archivers under kill -9 before a server that crashes."""

import asyncio
import random
from collections import Counter
from datetime import date
from pathlib import Path

import psycopg
import pytest
from tests.archive.messages import DAY_MS, batch
from tests.archive.own_engine import deployment
from tests.archive.processes import ArchiverProcess
from tests.conformance.sink.places import PostgresPlace
from tests.deployments import Deployment
from tests.postgres import PostgresProcess
from tests.waiting import eventually

from gbe.archive.config import ArchiveConfig
from gbe.archive.open import open_sink
from gbe.archive.postgres.config import PostgresConfig
from gbe.archive.postgres.sink import PostgresSink
from gbe.config import without_secrets
from gbe.errors import ConfigError, SinkRefusedError, SinkUnavailableError
from gbe.ids import new_ulid
from gbe.objects.config import ObjectsConfig

__all__ = ["deployment"]

MESSAGES = 1000


async def _ask(url: str, statement: str) -> list[tuple[object, ...]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        found = await connection.execute(statement.encode())
        return await found.fetchall() if found.description else []


# -- the table


async def test_each_day_is_a_partition(url: str) -> None:
    """By the time of publishing, UTC."""
    async with await PostgresSink.open(PostgresConfig(url=url)) as sink:
        for number in range(2):
            await sink.write(batch(number, 1, timestamp=DAY_MS * (20_000 + number)), b"")
    found = await PostgresPlace(url).days()
    assert found == {date(2024, 10, 4): "gbe_archive_20241004", date(2024, 10, 5): "gbe_archive_20241005"}


async def test_many_processes_make_the_table_once(url: str) -> None:
    """Started together they wait for one another."""
    sinks = await asyncio.gather(*(PostgresSink.open(PostgresConfig(url=url)) for _ in range(8)))
    await asyncio.gather(*(sink.write(batch(0, 50), b"") for sink in sinks))
    await asyncio.gather(*(sink.close() for sink in sinks))
    assert await _ask(url, "SELECT version FROM gbe_archive_migrations ORDER BY 1") == [(1,), (2,), (3,), (4,)]
    assert await PostgresPlace(url).messages() == list(batch(0, 50).messages)


async def test_an_older_table_is_migrated_and_keeps_its_rows(url: str) -> None:
    """From the first version of the table."""
    async with await PostgresSink.open(PostgresConfig(url=url)) as sink:
        await sink.write(batch(0, 3), b"")
    await _ask(url, "DROP VIEW archive")
    await _ask(url, "DROP FUNCTION gbe_archive_json")
    await _ask(url, "DROP TABLE gbe_archive_batches")
    await _ask(url, "ALTER TABLE gbe_archive DROP COLUMN generation")
    await _ask(url, "DELETE FROM gbe_archive_migrations WHERE version > 1")
    async with await PostgresSink.open(PostgresConfig(url=url)):
        pass
    assert await _ask(url, "SELECT (payload->>'n')::int FROM archive ORDER BY 1") == [(0,), (1,), (2,)]


async def test_the_table_of_a_newer_gbe_is_left_alone(url: str) -> None:
    """It may mean something else by it."""
    async with await PostgresSink.open(PostgresConfig(url=url)):
        pass
    await _ask(url, "UPDATE gbe_archive_migrations SET version = version + 1000")
    with pytest.raises(SinkRefusedError, match="update gbe"):
        await PostgresSink.open(PostgresConfig(url=url))


async def test_what_is_no_json_is_null_in_the_view(url: str) -> None:
    """One bad payload must not make the view unreadable."""
    payloads = (b"{", b"\xff", b"a\0b", b'"\\u0000"', b"[" * 20_000, b"1")
    async with await PostgresSink.open(PostgresConfig(url=url)) as sink:
        await sink.write(batch(0, len(payloads), payloads=payloads), b"")
    found = await _ask(url, "SELECT payload FROM archive ORDER BY position")
    assert found == [(None,)] * 5 + [(1,)]


# -- troubles


async def test_wrong_credentials_and_a_missing_database_are_named(postgres: PostgresProcess) -> None:
    """With what to do, and without the password."""
    for url, expected in (
        (postgres.url(password="wr0ng"), "check the user and the password in archive.url"),
        (postgres.url(database="nowhere"), 'database "nowhere" does not exist'),
    ):
        with pytest.raises(SinkRefusedError, match=expected) as refusal:
            await open_sink(ArchiveConfig(url=url), ObjectsConfig(), "")
        assert "wr0ng" not in str(refusal.value)


async def test_a_server_that_is_not_there_may_come_back(postgres: PostgresProcess) -> None:
    """It is no refusal."""
    with pytest.raises(SinkUnavailableError, match=r"127\.0\.0\.1"):
        await open_sink(ArchiveConfig(url=postgres.url(port=1)), ObjectsConfig(), "")


async def test_a_missing_permission_is_named_and_little_is_enough(postgres: PostgresProcess, url: str) -> None:
    """A user who may create nothing writes into partitions that the owner has made."""
    name = f"u{new_ulid().lower()}"
    postgres.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'pw'")
    little = PostgresConfig(url=postgres.url(name, "pw", database=url.rpartition("/")[2]))
    with pytest.raises(SinkRefusedError, match="permission denied for schema public"):
        await PostgresSink.open(little)
    async with await PostgresSink.open(PostgresConfig(url=url)) as owner:
        await owner.write(batch(0, 1), b"")
    await _ask(url, f"GRANT SELECT ON gbe_archive_migrations TO {name}")
    async with await PostgresSink.open(little) as sink:
        with pytest.raises(SinkRefusedError, match="permission denied for table gbe_archive"):
            await sink.write(batch(1, 1), b"")
        await _ask(url, f"GRANT SELECT, INSERT ON gbe_archive TO {name}")
        await _ask(url, f"GRANT SELECT, INSERT, UPDATE ON gbe_archive_batches TO {name}")
        await sink.write(batch(1, 1), b"")
        with pytest.raises(SinkRefusedError, match="no partition for 2024-10-05"):
            await sink.write(batch(2, 1, timestamp=DAY_MS * 20_001), b"")
    assert await PostgresPlace(url).messages() == list(batch(0, 2).messages)


async def test_a_commit_is_on_the_disk_whatever_the_servers_default(postgres: PostgresProcess, url: str) -> None:
    """Else a crash of the server would lose what was acknowledged."""
    name = url.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    async with await PostgresSink.open(PostgresConfig(url=url)) as sink, sink._database.use() as connection:
        found = await connection.execute("SHOW synchronous_commit")
        assert await found.fetchone() == ("on",)


def test_passwords_are_not_shown() -> None:
    """In whichever place, and whatever they are made of."""
    for url in ("postgresql://u:s3cr,et@h/d", "postgres://h/d?sslmode=require&password=s3cr,et&sslpassword=s3cr"):
        assert "s3cr" not in without_secrets(url)
        assert "s3cr" not in repr(ArchiveConfig(url=url))


def test_a_database_has_no_objects() -> None:
    """Who wants files is told so, instead of a folder of that name being made."""
    with pytest.raises(ConfigError, match="which has no files"):
        ArchiveConfig(url="postgresql://h/d").objects(ObjectsConfig(), "")
    with pytest.raises(ConfigError, match="expected postgresql://"):
        ArchiveConfig(url="postgresql:///d")


# -- crashes


@pytest.mark.fault
async def test_archivers_are_killed_while_the_database_crashes(deployment: Deployment, tmp_path: Path) -> None:
    """kill -9 to archivers, database and engine: the archived set is the published set, each message once."""
    chance = random.Random(23)
    transport = (await deployment.backend()).transport
    subjects = [f"f.events.audit.{name}" for name in ("change", "access", "login")]

    async def publish() -> list[str]:
        sent: list[str] = []
        for number in range(MESSAGES // 50):
            some = (transport.publish(subjects[(number + n) % 3], b'{"n":%d}' % n) for n in range(50))
            sent += await asyncio.gather(*some)
            await asyncio.sleep(0.02)
        return sent

    with PostgresProcess() as database:
        place = PostgresPlace(database.url())

        def start() -> ArchiverProcess:
            return ArchiverProcess(deployment, database.url(), "", tmp_path / "log")

        async def ids() -> Counter[str]:
            return Counter(message.envelope.id for message in await place.messages())

        process = start()
        publishing = asyncio.create_task(publish())
        try:
            await eventually(lambda: _is_made(place), "the table is there")
            for end in (database.kill, database.stop, deployment.engine.crash, process.kill):
                await asyncio.sleep(chance.uniform(0.2, 1.0))
                await asyncio.to_thread(end)
                await asyncio.to_thread(process.kill)
                process = start()
                if end in (database.kill, database.stop):
                    await asyncio.sleep(chance.uniform(0.2, 1.0))
                    await asyncio.to_thread(database.start)
            published = await publishing
            published += await publish()  # for the last archiver alone
            wanted = set(published)

            async def done() -> bool:
                return wanted <= set(await ids())

            await eventually(done, "all is archived", within=90, interval=0.5)
            assert await asyncio.to_thread(process.stop) == 0
        finally:
            process.kill()
        assert await ids() == Counter(published)


async def _is_made(place: PostgresPlace) -> bool:
    return bool(await _ask(place.url, "SELECT 1 WHERE to_regclass('gbe_archive') IS NOT NULL"))
