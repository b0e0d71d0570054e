"""``gbe archive ddl``: the archive's table elsewhere."""

import re
from datetime import date
from typing import Final

import typer

from gbe.archive import ddl
from gbe.config import Settings
from gbe.errors import ConfigError

_TABLE: Final = re.compile(r"[a-z_][a-z0-9_]{0,127}\Z")


def show(settings: Settings, database: str, *, first_day: str, table: str) -> None:
    """Print it. Raises ``ConfigError`` where Athena could not read the archive."""
    if database == "postgres":
        typer.echo(ddl.postgres(), nl=False)
        return
    url = settings.archive.url or ""
    if not url.startswith("s3://"):
        raise ConfigError("Athena reads archives in S3: name this one with --url s3://BUCKET/PREFIX, or archive.url")
    if _TABLE.match(table) is None:
        raise ConfigError(f"--table {table[:40]!r}: expected lower-case letters, digits and _")
    try:
        date.fromisoformat(first_day)
    except ValueError as exc:
        raise ConfigError(f"--first-day: {exc}") from None
    domains = sorted({pattern.partition(".")[0] for pattern in settings.archive.subjects})
    if "*" in domains or ">" in domains:
        domains = ["events", "jobs", "notify", "tasks"]
    typer.echo(ddl.athena(url, settings.archive.format, domains, first_day, table), nl=False)
