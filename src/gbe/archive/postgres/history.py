"""Messages of an archive in PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Final, Self

import psycopg

from gbe.archive.batch import Archived, day_of
from gbe.archive.history import Found, History, Range
from gbe.archive.postgres.config import PostgresConfig
from gbe.archive.postgres.database import connect
from gbe.archive.postgres.errors import translated
from gbe.envelope import Envelope
from gbe.subjects import is_literal
from gbe.transport.base import Position

_PAGE: Final = 500
_SELECT: Final = """\
SELECT (extract(epoch FROM archived_at) * 1000000)::bigint, pos_major, pos_minor, id, subject, ts, payload, traceparent
FROM gbe_archive
WHERE dt BETWEEN %(first)s AND %(last)s AND (%(subject)s::text IS NULL OR subject = %(subject)s)
  AND starts_with(subject, %(prefix)s)
ORDER BY subject, archived_at, pos_major, pos_minor"""


class PostgresHistory(History):
    """Reads with a connection of its own, a page at a time."""

    def __init__(self, connection: psycopg.AsyncConnection, config: PostgresConfig) -> None:
        self._connection, self._where = connection, config.shown

    @classmethod
    async def open(cls, config: PostgresConfig) -> Self:
        """Connect. Raises ``SinkUnavailableError`` and ``SinkRefusedError``."""
        connection = await connect(config)
        await connection.set_read_only(True)
        return cls(connection, config)

    async def messages(self, wanted: Range) -> AsyncIterator[Found]:
        """See ``History.messages``."""
        literal = is_literal(wanted.pattern)
        values = {
            "first": date.fromisoformat(day_of(wanted.since)) if wanted.since is not None else date.min,
            "last": date.fromisoformat(day_of(wanted.until)) if wanted.until is not None else date.max,
            "subject": wanted.pattern if literal else None,
            "prefix": wanted.pattern if literal else wanted.pattern.partition("*")[0].partition(">")[0],
        }
        with translated(self._where):
            async with self._connection.cursor(name="history") as cursor:
                cursor.itersize = _PAGE
                await cursor.execute(_SELECT, values)
                async for row in cursor:
                    written, major, minor = row[:3]
                    message = Archived(Position(major, minor), Envelope(*row[3:]))
                    if wanted.has(message):
                        yield Found(message, f"{written:020}-{major:020}-{minor:020}")

    async def close(self) -> None:
        """See ``History.close``."""
        await self._connection.close()
