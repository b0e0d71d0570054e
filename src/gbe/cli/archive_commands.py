"""The options of ``gbe archiver`` and ``gbe archive …``; what they do is loaded when they are called."""

from typing import Annotated

import typer

from gbe.cli.options import ConfigOption, DataDirOption, JsonOption, TransportOption, load_settings

archive_app = typer.Typer(name="archive", help="Look into the archive, verify and prune it.", no_args_is_help=True)

UrlOption = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="The archive: a folder, s3://… or postgresql://….")
]


def archiver(config: ConfigOption = None, data_dir: DataDirOption = None, transport: TransportOption = None) -> None:
    """Run an archiver alone; several may run, one is active at a time."""
    from gbe.cli.archive import archive

    archive(load_settings(config, data_dir, transport))


@archive_app.command("status")
def status(
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """How far each subject is archived, and how much waits."""
    from gbe.cli.archive import show_status

    show_status(load_settings(config, data_dir, transport), json=json)


@archive_app.command("verify")
def verify(
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", help="Without an engine: what was cut off or put in at the ends of chains is not noticed."
        ),
    ] = False,
    json: JsonOption = False,
    url: UrlOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Read every file and name those that were deleted, changed or put in; exit 1 if there is one."""
    from gbe.cli.archive import show_verification

    flags = {"archive.url": url}
    show_verification(load_settings(config, data_dir, transport, flags), offline=offline, json=json)


@archive_app.command("prune")
def prune(
    older_than: Annotated[
        str | None, typer.Option(metavar="DURATION", help="At least a day; archive.retention without it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without, only say what would go.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Say which days are older than the retention, and with --yes remove them."""
    from gbe.cli.archive import prune as run

    flags = {"archive.retention": older_than}
    run(load_settings(config, data_dir, transport, flags), yes=yes)


@archive_app.command("release")
def release(
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what that means.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Archive no more: retention may then remove what is not archived; stop every archiver first."""
    from gbe.cli.archive import release as run

    run(load_settings(config, data_dir, transport), yes=yes)
