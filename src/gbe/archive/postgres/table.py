"""Rows of the archive's table: written through a staging table, each once, and looked at before they are confirmed."""

import asyncio
from datetime import date
from typing import Final

from psycopg import AsyncConnection, errors
from psycopg.sql import SQL

from gbe.archive.batch import Archived, Batch
from gbe.archive.manifest import Mark
from gbe.archive.postgres.chain import append, entry_of
from gbe.archive.postgres.database import Database
from gbe.archive.postgres.migrations import LOCK, TABLE, partition_name, partition_statement
from gbe.errors import SinkConflictError, SinkRefusedError

_STAGING: Final = """\
CREATE TEMPORARY TABLE IF NOT EXISTS gbe_archive_staging (
    dt date, subject text COLLATE "C", id text COLLATE "C", pos_major bigint, pos_minor bigint,
    domain text COLLATE "C", ts bigint, traceparent text, payload bytea, generation integer
) ON COMMIT DELETE ROWS"""

_COLUMNS: Final = "dt, subject, id, pos_major, pos_minor, domain, ts, traceparent, payload, generation"
_COPY: Final = f"COPY gbe_archive_staging ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_TYPES: Final = ("date", "text", "text", "int8", "int8", "text", "int8", "text", "bytea", "int4")
_INSERT: Final = f"""\
INSERT INTO gbe_archive ({_COLUMNS}) SELECT {_COLUMNS} FROM gbe_archive_staging
ON CONFLICT DO NOTHING"""  # noqa: S608  constants of this file

# what was there already must be what we bring: the same bytes under the same key
_DIFFERING: Final = """\
SELECT subject, id FROM gbe_archive_staging AS new
WHERE NOT EXISTS (
    SELECT FROM gbe_archive AS old
    WHERE (old.dt, old.subject, old.id, old.pos_major, old.pos_minor)
        = (new.dt, new.subject, new.id, new.pos_major, new.pos_minor)
      AND (old.ts, old.payload) = (new.ts, new.payload)
      AND old.traceparent IS NOT DISTINCT FROM new.traceparent
)
LIMIT 1"""


async def write_batch(database: Database, batch: Batch, before: Mark) -> Mark:
    """Store a batch and its place in the chain, all or nothing; once this returns it is committed.

    Repeating it stores nothing twice, whatever happened to the first try.

    Args:
        before: where the subject's chain stood.

    Returns:
        Where it stands now.

    Raises:
        SinkUnavailableError: it may have been stored; repeat it.
        SinkRefusedError: wrong credentials, a missing permission, a table that is not ours, a full disk.
        SinkConflictError: a row of that key is there and holds something else.
    """
    day = date.fromisoformat(batch.day)
    entry = await asyncio.to_thread(entry_of, batch, partition_name(day))
    async with database.use() as connection:
        await _ensure_partition(connection, day)
        async with connection.transaction():
            await _store(connection, batch)
            return await append(connection, batch, before, entry)


async def _store(connection: AsyncConnection, batch: Batch) -> None:
    await connection.execute(_STAGING)
    async with connection.cursor() as cursor:
        async with cursor.copy(_COPY) as copy:
            copy.set_types(_TYPES)
            for message in batch.messages:
                await copy.write_row(_row(batch, message))
        await cursor.execute(_INSERT)
        await cursor.execute(_DIFFERING)
        if (differing := await cursor.fetchone()) is not None:
            subject, message_id = differing
            raise SinkConflictError(f"{TABLE}: {subject}, message {message_id}", "its row holds something else")


def _row(batch: Batch, message: Archived) -> tuple[object, ...]:
    envelope, (major, minor) = message.envelope, message.position
    key = (date.fromisoformat(batch.day), envelope.subject, envelope.id, major, minor)
    return *key, batch.domain, envelope.timestamp, envelope.traceparent, envelope.payload, batch.generation


async def _ensure_partition(connection: AsyncConnection, day: date) -> None:
    async with connection.transaction():
        found = await connection.execute("SELECT to_regclass(%s) IS NOT NULL", (partition_name(day),))
        row = await found.fetchone()
    if row is not None and row[0]:
        return
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            await connection.execute(SQL(partition_statement(day)))  # from a date alone
    except errors.InsufficientPrivilege as exc:
        raise SinkRefusedError(
            f"there is no partition for {day}, and this user may not make one ({exc.diag.message_primary}): "
            f"make it the owner of {TABLE}, or run as its owner: {partition_statement(day)}"
        ) from exc
