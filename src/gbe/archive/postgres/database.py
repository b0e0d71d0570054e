"""One connection to the database of the archive, opened when it is needed and again when it was lost."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict

from gbe.archive.postgres.config import PostgresConfig
from gbe.archive.postgres.errors import translated
from gbe.archive.postgres.migrations import LOCK, MIGRATIONS, VERSIONS
from gbe.errors import SinkRefusedError

logger = logging.getLogger(__name__)


async def connect(config: PostgresConfig) -> AsyncConnection:
    """Open a connection; a commit on it is on the server's disk, whatever the server's default.

    Raises:
        SinkUnavailableError, SinkRefusedError
    """
    with translated(config.shown):
        settings: dict[str, Any] = {"application_name": "gbe-archive", "connect_timeout": round(config.connect_timeout)}
        given = conninfo_to_dict(config.url)
        words = [str(given.get("options") or ""), f"-c statement_timeout={round(config.statement_timeout * 1000)}"]
        merged: dict[str, Any] = {**settings, **given, "options": " ".join(words).strip()}
        connection = await AsyncConnection.connect(**merged)
        # "off" would lose confirmed rows in a crash; remote_apply and the like are the operator's to choose
        await connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        await connection.commit()
        return connection


async def migrate(connection: AsyncConnection) -> int:
    """Bring the table to this version of gbe, once, however many processes start together; returns the steps taken.

    Raises:
        SinkRefusedError: the table was made by a newer gbe.
        psycopg.Error: the caller translates.
    """
    known = len(MIGRATIONS)
    if await _version(connection) == known:
        return 0  # somebody who may not create anything can work with what is there
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        await connection.execute(VERSIONS)
        version = await _version(connection)
        if version > known:
            raise SinkRefusedError(
                f"the table gbe_archive is of version {version}, and this gbe knows {known}: update gbe"
            )
        for number in range(version + 1, known + 1):
            for statement in MIGRATIONS[number - 1]:
                await connection.execute(statement)
            await connection.execute("INSERT INTO gbe_archive_migrations (version) VALUES (%s)", (number,))
            logger.info("archive table migrated", extra={"version": number})
    return known - version


async def _version(connection: AsyncConnection) -> int:
    async with connection.transaction():
        found = await connection.execute("SELECT to_regclass('gbe_archive_migrations') IS NOT NULL")
        row = await found.fetchone()
        if row is None or not row[0]:
            return 0
        found = await connection.execute("SELECT coalesce(max(version), 0) FROM gbe_archive_migrations")
        row = await found.fetchone()
        return int(row[0]) if row is not None else 0


class Database:
    """Hands out one migrated connection, to one user at a time; an error throws it away."""

    def __init__(self, config: PostgresConfig) -> None:
        self.config = config
        self.where = config.shown
        self._connection: AsyncConnection | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def use(self) -> AsyncIterator[AsyncConnection]:
        """The connection. Raises ``SinkUnavailableError`` and ``SinkRefusedError``."""
        async with self._lock:
            try:
                with translated(self.where):
                    if self._connection is None:
                        self._connection = await connect(self.config)
                        await migrate(self._connection)
                    yield self._connection
            except BaseException:  # cancelled in mid-sentence it cannot be used again either
                await self._drop()
                raise

    async def _drop(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                await connection.close()
            except psycopg.Error:
                logger.debug("closing a lost connection failed", exc_info=True)

    async def aclose(self) -> None:
        """Let the connection go. Safe to repeat."""
        async with self._lock:
            await self._drop()
