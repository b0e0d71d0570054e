"""One SELECT over an archive in PostgreSQL, in a transaction that can only read."""

from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg.sql import SQL

from gbe.archive.answer import Answer
from gbe.archive.postgres.config import PostgresConfig
from gbe.archive.postgres.database import connect
from gbe.archive.postgres.errors import translated
from gbe.errors import ArchiveQueryError

_JSON: Final = frozenset({114, 3802})  # OIDs of json and jsonb
_ALIAS: Final = SQL("CREATE TEMPORARY VIEW events AS SELECT * FROM archive")


async def query(config: PostgresConfig, sql: str, *, limit: int) -> Answer:
    """Answer a query over the views ``events`` and, the same, ``archive``.

    Args:
        config: its ``statement_timeout`` bounds the query.
        sql: one SELECT, PostgreSQL's dialect.
        limit: rows that are returned at most.

    Raises:
        ArchiveQueryError: it is no single SELECT, it has a mistake, or it took too long.
        SinkUnavailableError, SinkRefusedError: the database is not there, or does not let us in.
    """
    async with await connect(config) as connection:
        await _name_it_events(connection)
        await connection.set_read_only(True)
        try:
            # a cursor, so that no more rows come than are wanted; prepared, so that it is one statement
            await connection.execute(b"DECLARE answer NO SCROLL CURSOR FOR " + sql.encode(), prepare=True)
            found = await connection.execute(f"FETCH {limit + 1} FROM answer".encode())
            described = found.description or []
            rows = [tuple(map(_plain_value, row)) for row in await found.fetchall()]
        except psycopg.errors.QueryCanceled:
            raise ArchiveQueryError(f"the query was not done within {config.statement_timeout:g} s") from None
        except (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError, psycopg.InternalError) as exc:
            raise ArchiveQueryError(exc.diag.message_primary or str(exc).splitlines()[0]) from exc
        except psycopg.Error:
            with translated(config.shown):
                raise
    json = frozenset(column.name for column in described if column.type_code in _JSON)
    return Answer(tuple(column.name for column in described), json, rows[:limit], len(rows) > limit)


async def _name_it_events(connection: AsyncConnection) -> None:
    try:
        async with connection.transaction():
            await connection.execute(_ALIAS)
    except psycopg.Error:  # it may not make temporary views: the view archive is there all the same
        return
    finally:
        await connection.commit()


def _plain_value(value: object) -> object:
    return bytes(value) if isinstance(value, memoryview) else value
