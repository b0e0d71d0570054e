"""What ``gbe archive`` does where the archive is a PostgreSQL database."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from gbe.archive.postgres.config import PostgresConfig, is_postgres_url
from gbe.archive.progress import Progress
from gbe.archive.verify import Known, Verification, looking_into
from gbe.config import Settings
from gbe.errors import SinkRefusedError

if TYPE_CHECKING:
    from gbe.archive.postgres.database import Database


def is_table(settings: Settings) -> bool:
    """Whether the archive is a database."""
    return settings.archive.url is not None and is_postgres_url(settings.archive.url)


async def verify(settings: Settings, progress: Progress | None) -> Verification:
    """Compare the table with its hash chain; without ``progress`` nobody says where it ends, or what was pruned."""
    async with _database(settings) as database:
        from gbe.archive.postgres.verify import verify_table

        if progress is None:
            return await verify_table(database, None, set())
        known = {subject: Known.of(point) async for subject, point in progress.all()}
        pruned = await progress.pruned_days()
        return await verify_table(database, known, pruned, looking_into(progress), settings.namespace)


@dataclass(slots=True)
class Removed:
    """What a prune has removed."""

    messages: int = 0
    newest_day: str = ""

    def add(self, day: str, messages: int) -> None:
        """Count a day, or a part of one."""
        self.messages += messages
        self.newest_day = max(self.newest_day, day)

    def document(self) -> dict[str, object]:
        """For an audit event."""
        return {"messages": self.messages, "newest_day": self.newest_day}


async def prune(settings: Settings, progress: Progress, before_ms: int, removed: Removed, *, yes: bool) -> None:
    """Say which days are too old, or remove them."""
    async with _database(settings) as database:
        from gbe.archive.postgres.prune import drop_day, find_old_days

        found = await find_old_days(database, before_ms)
        for old in found:
            typer.echo(f"{old.day}: {old.messages} messages")
            if yes:
                await progress.add_pruned_day(old.day, time.time_ns() // 1_000_000)  # first: a crash is no tampering
                await drop_day(database, old.day)
                removed.add(old.day, old.messages)
    typer.echo(f"{len(found)} days {'removed' if yes else 'would be removed; do it with --yes'}")


@asynccontextmanager
async def _database(settings: Settings) -> "AsyncIterator[Database]":
    try:
        from gbe.archive.postgres.database import Database  # its library is an extra
    except ImportError as exc:
        raise SinkRefusedError(f"the library for PostgreSQL is missing ({exc}): pip install 'gbe[postgres]'") from exc
    database = Database(PostgresConfig(url=settings.archive.url or ""))
    try:
        yield database
    finally:
        await database.aclose()
