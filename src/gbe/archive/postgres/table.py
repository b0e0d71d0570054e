"""Rows of the archive's table: written through a staging table, each once, and looked at before they are confirmed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from psycopg import AsyncConnection, errors
from psycopg.sql import SQL

from gbe.archive.postgres.database import Database
from gbe.archive.postgres.migrations import LOCK, partition_name, partition_statement
from gbe.errors import ArchiveRefusedError
from gbe.transport.base import Position

_STAGING: Final = """\
CREATE TEMPORARY TABLE IF NOT EXISTS gbe_archive_staging (
    dt date, subject text COLLATE "C", id text COLLATE "C", pos_major bigint, pos_minor bigint,
    domain text COLLATE "C", ts bigint, traceparent text, payload bytea
) ON COMMIT DELETE ROWS"""

_COLUMNS: Final = "dt, subject, id, pos_major, pos_minor, domain, ts, traceparent, payload"
_COPY: Final = f"COPY gbe_archive_staging ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_TYPES: Final = ("date", "text", "text", "int8", "int8", "text", "int8", "text", "bytea")
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


@dataclass(frozen=True, slots=True)
class Row:
    """One archived message: its envelope, and where it lay in its stream. ``ts`` is unix milliseconds."""

    id: str
    subject: str
    ts: int
    position: Position
    payload: bytes
    traceparent: str | None = None

    @property
    def day(self) -> date:
        """The day of ``ts``, UTC: the row's partition."""
        return datetime.fromtimestamp(self.ts / 1000, UTC).date()

    @property
    def domain(self) -> str:
        """The subject's second word: ``events``, ``tasks``, …"""
        return self.subject.partition(".")[2].partition(".")[0]

    def _values(self) -> tuple[object, ...]:
        major, minor = self.position
        names = self.day, self.subject, self.id, major, minor, self.domain
        return *names, self.ts, self.traceparent, self.payload


async def write_rows(database: Database, rows: Sequence[Row]) -> int:
    """Store rows, all or none of them; once this returns they are committed. Returns how many were new.

    Repeating it with the same rows stores nothing twice, whatever happened to the first try.

    Raises:
        ArchiveUnavailableError: they may have been stored; repeat it.
        ArchiveRefusedError: a missing permission, or a row of that key is there and holds something else.
    """
    if not rows:
        return 0
    async with database.use() as connection:
        await _ensure_partitions(connection, {row.day for row in rows})
        async with connection.transaction():
            return await _store(connection, rows)


async def _store(connection: AsyncConnection, rows: Sequence[Row]) -> int:
    await connection.execute(_STAGING)
    async with connection.cursor() as cursor:
        async with cursor.copy(_COPY) as copy:
            copy.set_types(_TYPES)
            for row in rows:
                await copy.write_row(row._values())  # noqa: SLF001  the row's own module
        await cursor.execute(_INSERT)
        stored = cursor.rowcount
        await cursor.execute(_DIFFERING)
        if (differing := await cursor.fetchone()) is not None:
            subject, message_id = differing
            raise ArchiveRefusedError(
                f"message {message_id} of {subject} is archived with other contents: somebody changed its row, "
                "or the engine was set up anew with old data; nothing was written"
            )
    return stored


async def _ensure_partitions(connection: AsyncConnection, days: set[date]) -> None:
    for day in sorted(days):
        found = await connection.execute("SELECT to_regclass(%s) IS NOT NULL", (partition_name(day),))
        row = await found.fetchone()
        await connection.commit()
        if row is not None and row[0]:
            continue
        try:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
                await connection.execute(SQL(partition_statement(day)))  # from a date alone
        except errors.InsufficientPrivilege as exc:
            raise ArchiveRefusedError(
                f"there is no partition for {day}, and this user may not make one ({exc.diag.message_primary}): "
                "make it the owner of gbe_archive, or make the partitions ahead (gbe archive ddl postgres)"
            ) from exc
