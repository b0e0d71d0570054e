"""The sink that writes rows to PostgreSQL: COPY into a staging table, then ``INSERT … ON CONFLICT DO NOTHING``."""

import time
from typing import Self

from gbe.archive.batch import Batch
from gbe.archive.manifest import Mark
from gbe.archive.postgres.config import PostgresConfig
from gbe.archive.postgres.database import Database
from gbe.archive.postgres.table import write_batch
from gbe.archive.sink import Sink


class PostgresSink(Sink):
    """See ``gbe.archive.postgres``. The mark is where the subject's hash chain stands."""

    def __init__(self, config: PostgresConfig) -> None:
        self._database = Database(config)

    @classmethod
    async def open(cls, config: PostgresConfig) -> Self:
        """Connect, and make or migrate the table.

        Raises:
            SinkUnavailableError: no answer.
            SinkRefusedError: wrong credentials, no such database, a missing permission.
        """
        sink = cls(config)
        await sink.ping()
        return sink

    @property
    def where(self) -> str:
        """Server and database."""
        return self._database.config.shown

    async def write(self, batch: Batch, mark: bytes) -> bytes:
        """See ``Sink.write``."""
        return (await write_batch(self._database, batch, Mark.parse(mark))).to_bytes()

    async def ping(self) -> float:
        """See ``Sink.ping``."""
        started = time.perf_counter()
        async with self._database.use() as connection, connection.transaction():
            await connection.execute("SELECT 1")
        return time.perf_counter() - started

    async def close(self) -> None:
        """See ``Sink.close``."""
        await self._database.aclose()
