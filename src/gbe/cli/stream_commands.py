"""The options of ``gbe streams …``; what they do is loaded when they are called."""

from typing import Annotated

import typer

from gbe.cli.options import ConfigOption, DataDirOption, JsonOption, TransportOption, load_settings

streams_app = typer.Typer(name="streams", help="What is kept for how long, and who is behind.", no_args_is_help=True)

StreamArgument = Annotated[
    str, typer.Argument(metavar="PATTERN", help="A stream's name, or one of its patterns.", show_default=False)
]


@streams_app.command("list")
def streams_list(
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """List the streams: messages, bytes, oldest, limits, and how far groups are behind."""
    from gbe.cli.streams import list_streams

    list_streams(load_settings(config, data_dir, transport), json=json)


@streams_app.command("show")
def streams_show(
    pattern: StreamArgument,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Show one stream, and each of its groups."""
    from gbe.cli.streams import show_stream

    show_stream(load_settings(config, data_dir, transport), pattern, json=json)


@streams_app.command("set")
def streams_set(
    pattern: StreamArgument,
    max_age: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How long messages are kept; none, or default.")
    ] = None,
    max_bytes: Annotated[
        str | None, typer.Option(metavar="SIZE", help="How much the stream may take; none, or default.")
    ] = None,
    max_msgs: Annotated[
        str | None, typer.Option(metavar="N", help="How many messages it may hold; none, or default.")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Change limits for the whole deployment; `default` goes back to the configuration, `none` is no limit."""
    from gbe.cli.streams import set_limits

    given = {"max_age": max_age, "max_bytes": max_bytes, "max_msgs": max_msgs}
    limits = {name: value for name, value in given.items() if value is not None}
    if not limits:
        raise typer.BadParameter("name at least one of --max-age, --max-bytes, --max-msgs")
    set_limits(load_settings(config, data_dir, transport), pattern, limits, json=json)
