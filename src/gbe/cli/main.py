"""The ``gbe`` command: errors become one line that says what to do, and a non-zero exit."""

import sys
from pathlib import Path
from typing import Annotated

import typer

import gbe
from gbe.errors import GbeError

app = typer.Typer(
    name="gbe",
    help="Notifications, events and durable tasks over one swappable message transport.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
config_app = typer.Typer(name="config", help="Show and check the configuration.", no_args_is_help=True)
app.add_typer(config_app)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="Configuration file. [default: gbe.yaml]")
]
ListenOption = Annotated[str | None, typer.Option(metavar="ADDRESS:PORT", help="Where to listen.")]
DataDirOption = Annotated[Path | None, typer.Option(metavar="DIR", help="Data directory of the embedded engine.")]
TransportOption = Annotated[str | None, typer.Option(metavar="embedded|memory|URL", help="The message transport.")]
WorkersOption = Annotated[int | None, typer.Option(metavar="N", help="Processes that serve HTTP.")]


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


@app.command()
def serve(
    config: ConfigOption = None,
    listen: ListenOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
    workers: WorkersOption = None,
) -> None:
    """Start the service. With nothing given: an ntfy-compatible server on 127.0.0.1:8080 with its own engine."""
    from gbe.cli.serve import serve_until_stopped
    from gbe.config import load

    flags = {"listen": listen, "data_dir": data_dir, "transport": transport, "workers": workers}
    serve_until_stopped(load(config, flags=flags))


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
