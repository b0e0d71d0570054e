"""The options of ``gbe archive query``, ``replay`` and ``ddl``; what they do is loaded when they are called."""

from typing import Annotated, Literal

import typer

from gbe.cli.archive_commands import UrlOption, archive_app
from gbe.cli.options import ConfigOption, DataDirOption, TransportOption, load_settings

_MOMENT = "all, 2026-01-31T12:00:00Z, unix time, or a duration such as 2h"


@archive_app.command("query")
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT over the view `events`.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print each row as a JSON object.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1_000_000, help="Rows at most.")] = 1000,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="For the whole query.")] = "60s",
    memory: Annotated[str, typer.Option(metavar="SIZE", help="For the query; more goes to the disk.")] = "512MiB",
    url: UrlOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Ask the archive with SQL; no server need run."""
    from gbe.cli.archive_query import Bounds, Form, show

    settings = load_settings(config, data_dir, flags={"archive.url": url})
    show(settings, sql, Form.parse(json=json, csv=csv), Bounds.parse(limit, timeout, memory))


@archive_app.command("replay")
def replay(
    subject: Annotated[
        str, typer.Option("--subject", metavar="PATTERN", help="Such as events.audit.*.", show_default=False)
    ],
    since: Annotated[str, typer.Option("--from", metavar="WHEN", help=f"The first moment: {_MOMENT}.")] = "all",
    until: Annotated[
        str | None, typer.Option("--to", metavar="WHEN", help="The moment that is not included any more.")
    ] = None,
    to_subject: Annotated[
        str | None, typer.Option(metavar="SUBJECT", help="Publish there, instead of printing JSON lines.")
    ] = None,
    to_own_subjects: Annotated[
        bool, typer.Option("--to-own-subjects", help="Publish each message to the subject that it came from.")
    ] = False,
    rate: Annotated[float | None, typer.Option(metavar="N", min=0.001, help="Messages per second at most.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what it would be.")] = False,
    url: UrlOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Print archived messages as JSON lines, or publish them again: in order, and however often, each once."""
    from gbe.cli.archive_replay import Wish, replay

    settings = load_settings(config, data_dir, transport, {"archive.url": url})
    wish = Wish.parse(settings.namespace, subject, since, until, to_subject, to_own_subjects=to_own_subjects, rate=rate)
    replay(settings, wish, dry_run=dry_run)


@archive_app.command("ddl")
def ddl(
    database: Annotated[Literal["athena", "postgres"], typer.Argument(help="For which.", show_default=False)],
    first_day: Annotated[
        str, typer.Option(metavar="YYYY-MM-DD", help="Athena: the first day that the archive may have.")
    ] = "2020-01-01",
    table: Annotated[str, typer.Option(metavar="NAME", help="Athena: name of the table.")] = "gbe_archive",
    url: UrlOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Print the SQL that makes the archive's table in Athena or PostgreSQL."""
    from gbe.cli.archive_ddl import show

    settings = load_settings(config, data_dir, flags={"archive.url": url})
    show(settings, database, first_day=first_day, table=table)
