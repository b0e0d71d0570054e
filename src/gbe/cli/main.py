"""The ``gbe`` command: errors become one line that says what to do, and a non-zero exit."""

import sys
from contextlib import ExitStack
from typing import Annotated

import typer

import gbe
from gbe.cli import archive_read_commands  # noqa: F401  its commands join archive_app
from gbe.cli.archive_commands import archive_app, archiver
from gbe.cli.client_commands import publish, subscribe
from gbe.cli.deadletter_commands import deadletters_app
from gbe.cli.event_commands import events_app
from gbe.cli.job_commands import jobs_app, orchestrator
from gbe.cli.notify_commands import notify_app
from gbe.cli.options import ConfigOption, DataDirOption, load_settings
from gbe.cli.schedule_commands import schedules_app
from gbe.cli.schema_commands import schema_app
from gbe.cli.stream_commands import streams_app
from gbe.cli.task_commands import sweeper, tasks_app, worker
from gbe.errors import GbeError

app = typer.Typer(
    name="gbe",
    help="Notifications, events and durable tasks over one swappable message transport.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
config_app = typer.Typer(name="config", help="Show and check the configuration.", no_args_is_help=True)

ListenOption = Annotated[str | None, typer.Option(metavar="ADDRESS:PORT", help="Where to listen.")]
EngineOption = Annotated[str | None, typer.Option(metavar="embedded|memory|URL", help="The message transport.")]
WorkersOption = Annotated[int | None, typer.Option(metavar="N", help="Processes that serve HTTP.")]
RolesOption = Annotated[str | None, typer.Option(metavar="http,sweeper,…", help="What this process does.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gbe {gbe.__version__}")
        raise typer.Exit


@app.callback()
def _gbe(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Notifications, events and durable tasks over one swappable message transport."""


def serve(
    config: ConfigOption = None,
    listen: ListenOption = None,
    data_dir: DataDirOption = None,
    transport: EngineOption = None,
    workers: WorkersOption = None,
    roles: RolesOption = None,
) -> None:
    """Start the service. With nothing given: an ntfy-compatible server on 127.0.0.1:8080 with its own engine."""
    from gbe.cli.shared import shared_directory

    flags = {"listen": listen, "workers": workers, "roles": roles}
    settings = load_settings(config, data_dir, transport, flags)
    with ExitStack() as stack:
        shared = stack.enter_context(shared_directory()) if settings.workers > 1 else None
        from gbe.cli.serve import serve_until_stopped  # it counts: not before there is where to

        serve_until_stopped(settings, shared)


@config_app.command("show")
def config_show(config: ConfigOption = None) -> None:
    """Print the effective configuration as YAML, without secrets."""
    from gbe.cli.config import show

    show(config)


@config_app.command("check")
def config_check(config: ConfigOption = None) -> None:
    """Check the configuration; exit 1 and say what is wrong."""
    from gbe.cli.config import check

    check(config)


for _command in (serve, publish, subscribe, worker, sweeper, orchestrator, archiver):
    app.command()(_command)
for _group in (
    tasks_app,
    jobs_app,
    schedules_app,
    events_app,
    deadletters_app,
    streams_app,
    archive_app,
    notify_app,
    schema_app,
    config_app,
):
    app.add_typer(_group)


def main() -> None:
    """Entry point of the ``gbe`` command."""
    try:
        app()
    except GbeError as exc:
        typer.echo(f"gbe: {exc}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
