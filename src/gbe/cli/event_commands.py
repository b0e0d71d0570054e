"""The options of ``gbe events …``; what they do is loaded when they are called."""

from typing import Annotated

import typer

from gbe.cli.options import ConfigOption, DataDirOption, JsonOption, TransportOption, load_settings

events_app = typer.Typer(name="events", help="Publish and read events.", no_args_is_help=True)

SubjectArgument = Annotated[
    str, typer.Argument(metavar="SUBJECT", help="Such as events.audit.change.", show_default=False)
]
PatternsArgument = Annotated[
    str,
    typer.Argument(metavar="PATTERN[,PATTERN…]", help="Such as events.audit.* or 'events.>'.", show_default=False),
]
CountOption = Annotated[
    int | None, typer.Option("--count", "-n", metavar="N", min=1, help="Exit after so many events.")
]
FilterOption = Annotated[
    list[str] | None,
    typer.Option("--filter", metavar="FIELD=VALUE", help="Only with this value there; may be repeated."),
]


@events_app.command("publish")
def events_publish(
    subject: SubjectArgument,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="FIELD=VALUE…", help="Fields; a value may be JSON.")
    ] = None,
    event: Annotated[str | None, typer.Option(metavar="JSON", help="The event as an object; `-` reads it.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The same key is the same event.", show_default="its id")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Publish an event; prints the id of its message."""
    from gbe.cli.events import parse_event, publish

    document = parse_event(subject, words or [], event)
    settings = load_settings(config, data_dir, transport)
    publish(settings, subject, document, idempotency_key=idempotency_key, json=json)


@events_app.command("tail")
def events_tail(
    patterns: PatternsArgument,
    since: Annotated[
        str, typer.Option("--since", "-s", metavar="WHEN", help="Replay from then: 10m, a time, a message id, all.")
    ] = "latest",
    count: CountOption = None,
    filters: FilterOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Print events as they are stored, through outages of the engine."""
    from gbe.cli.events import Wanted, tail

    wanted = Wanted.parse(patterns, since, filters or [], count)
    tail(load_settings(config, data_dir, transport), wanted, json=json)


@events_app.command("history")
def events_history(
    patterns: PatternsArgument,
    since: Annotated[
        str, typer.Option("--since", "-s", metavar="WHEN", help="From then on: 10m, a time, a message id.")
    ] = "all",
    count: Annotated[int, typer.Option("--count", "-n", metavar="N", min=1, help="At most so many.")] = 100,
    filters: FilterOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Print events that are stored, the oldest first, and exit."""
    from gbe.cli.events import Wanted, history

    wanted = Wanted.parse(patterns, since, filters or [], count)
    history(load_settings(config, data_dir, transport), wanted, json=json)
