"""Places for archives: each opens sinks, and says what it holds."""

from collections.abc import Callable
from datetime import date

import psycopg

from gbe.archive import files
from gbe.archive.batch import Archived
from gbe.archive.layout import DATA
from gbe.archive.object_sink import ObjectSink
from gbe.archive.postgres.config import PostgresConfig
from gbe.archive.postgres.sink import PostgresSink
from gbe.archive.sink import Sink
from gbe.envelope import Envelope
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore
from gbe.transport.base import Position


class ObjectPlace:
    """An object store."""

    def __init__(self, config: ObjectsConfig, form: str = files.JSONL_GZ) -> None:
        self.config, self.form = config, form

    async def open(self) -> Sink:
        return ObjectSink(await ObjectStore.open(self.config), self.form)

    async def messages(self) -> list[Archived]:
        """All that is archived, in stream order."""
        async with await ObjectStore.open(self.config) as objects:
            names = sorted([info.name async for info in objects.list(DATA)])
            found = [files.unpack(await objects.get(name), name) for name in names]
        return [row.archived() for some in found for row in some]


class PostgresPlace:
    """A database."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def open(self) -> Sink:
        return await PostgresSink.open(PostgresConfig(url=self.url))

    async def messages(self) -> list[Archived]:
        """All that is archived, in stream order."""
        async with await psycopg.AsyncConnection.connect(self.url) as connection:
            found = await connection.execute(
                "SELECT pos_major, pos_minor, id, subject, ts, payload, traceparent FROM gbe_archive ORDER BY 1, 2"
            )
            return [Archived(Position(row[0], row[1]), Envelope(*row[2:])) for row in await found.fetchall()]

    async def days(self) -> dict[date, str]:
        """The partition of each day."""
        async with await psycopg.AsyncConnection.connect(self.url) as connection:
            found = await connection.execute("SELECT DISTINCT dt, tableoid::regclass::text FROM gbe_archive")
            return dict(await found.fetchall())


Place = ObjectPlace | PostgresPlace
MakePlace = Callable[[], Place]
