"""Cold retention of the table: whole days, by dropping their partitions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from psycopg.sql import SQL, Identifier

from gbe.archive.postgres.database import Database
from gbe.archive.postgres.migrations import partition_name

_DAYS: Final = "SELECT dt, sum(messages) FROM gbe_archive_batches WHERE dt < %s GROUP BY dt ORDER BY dt"
_EXISTS: Final = "SELECT to_regclass(%s) IS NOT NULL"


@dataclass(frozen=True, slots=True)
class OldDay:
    """A day that may go, and how many messages it has."""

    day: str
    messages: int


async def find_old_days(database: Database, before_ms: int) -> Sequence[OldDay]:
    """Days that had ended, and were written, before a moment (unix ms); raises ``SinkError``."""
    moment = datetime.fromtimestamp(before_ms / 1000, UTC)
    found: list[OldDay] = []
    async with database.use() as connection, connection.transaction():
        days = await (await connection.execute(_DAYS, (moment.date(),))).fetchall()
        for day, messages in days:
            name = partition_name(day)
            exists = await (await connection.execute(_EXISTS, (name,))).fetchone()
            if exists is None or not exists[0]:
                continue
            newest = SQL("SELECT max(archived_at) < %s FROM {}").format(Identifier(name))
            row = await (await connection.execute(newest, (moment,))).fetchone()
            if row is not None and row[0] is not False:  # an empty partition has no newest row
                found.append(OldDay(day.isoformat(), int(messages)))
    return found


async def drop_day(database: Database, day: str) -> None:
    """Remove a day's rows; what ``gbe_archive_batches`` says of them stays. Safe to repeat; raises ``SinkError``."""
    name = Identifier(partition_name(date.fromisoformat(day)))
    async with database.use() as connection, connection.transaction():
        await connection.execute(SQL("DROP TABLE IF EXISTS {}").format(name))
