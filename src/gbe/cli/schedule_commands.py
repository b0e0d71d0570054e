"""The options of ``gbe schedules …``; what they do is loaded when they are called."""

from typing import Annotated, Any

import typer

from gbe.cli.options import ConfigOption, CursorOption, DataDirOption, JsonOption, TransportOption, load_settings

schedules_app = typer.Typer(
    name="schedules", help="Start tasks and jobs by time, by events, or by a call.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of a schedule.", show_default=False)]
NamesArgument = Annotated[list[str], typer.Argument(metavar="NAME…", help="Names of schedules.", show_default=False)]
WordsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="PARAM=VALUE…", help="Parameters; a value may be JSON.")
]
TaskOption = Annotated[str | None, typer.Option(metavar="TYPE", help="Start a task of this type.")]
JobOption = Annotated[str | None, typer.Option(metavar="TYPE", help="Start a job of this type.")]
CronOption = Annotated[str | None, typer.Option(metavar="EXPRESSION", help="'30 2 * * *', '@daily'.")]
EveryOption = Annotated[str | None, typer.Option(metavar="DURATION", help="5m, 36h.")]
AtOption = Annotated[str | None, typer.Option(metavar="MOMENT", help="Once: 2026-12-24T18:00.")]
EventOption = Annotated[str | None, typer.Option(metavar="PATTERN", help="For each event on these subjects.")]
MapOption = Annotated[
    list[str] | None,
    typer.Option("--event-param", metavar="PARAM=PLACE", help="A parameter from the event: host=payload.host."),
]
TzOption = Annotated[str | None, typer.Option(metavar="ZONE", help="Time zone of --cron and --at: Europe/Berlin.")]
CatchUpOption = Annotated[
    str | None, typer.Option(metavar="skip|latest|all", help="Due times that a downtime has missed.")
]
WithinOption = Annotated[str | None, typer.Option(metavar="DURATION", help="How old they may be; 1d by default.")]


def _given(words: list[str] | None, places: list[str] | None, **settings: Any) -> dict[str, object]:
    """The settings that were named on the command line."""
    import msgspec

    from gbe.cli.tasks import parse_params

    found = {name: value for name, value in settings.items() if value is not None}
    if words:
        found["params"] = msgspec.json.decode(parse_params(words, None))
    if places:
        found["event_params"] = dict(place.partition("=")[::2] for place in places)
    return found


@schedules_app.command("create")
def schedules_create(
    name: NameArgument,
    words: WordsArgument = None,
    task: TaskOption = None,
    job: JobOption = None,
    cron: CronOption = None,
    every: EveryOption = None,
    at: AtOption = None,
    event: EventOption = None,
    event_params: MapOption = None,
    tz: TzOption = None,
    catch_up: CatchUpOption = None,
    catch_up_within: WithinOption = None,
    paused: Annotated[bool, typer.Option("--paused", help="Do not start anything yet.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Make a schedule. Without --cron, --every, --at and --event it runs when it is called."""
    from gbe.cli.schedules import create

    given = _given(
        words,
        event_params,
        task=task,
        job=job,
        cron=cron,
        every=every,
        at=at,
        event=event,
        tz=tz,
        catch_up=catch_up,
        catch_up_within=catch_up_within,
        paused=paused or None,
    )
    create(load_settings(config, data_dir, transport), name, given, json=json)


@schedules_app.command("change")
def schedules_change(
    name: NameArgument,
    words: WordsArgument = None,
    task: TaskOption = None,
    job: JobOption = None,
    cron: CronOption = None,
    every: EveryOption = None,
    at: AtOption = None,
    event: EventOption = None,
    event_params: MapOption = None,
    tz: TzOption = None,
    catch_up: CatchUpOption = None,
    catch_up_within: WithinOption = None,
    reset: Annotated[
        list[str] | None, typer.Option("--reset", metavar="SETTING", help="Take a setting back; may be repeated.")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Change a schedule while everything runs; what is not named stays."""
    from gbe.cli.schedules import change

    given = _given(
        words,
        event_params,
        task=task,
        job=job,
        cron=cron,
        every=every,
        at=at,
        event=event,
        tz=tz,
        catch_up=catch_up,
        catch_up_within=catch_up_within,
    )
    given |= dict.fromkeys(reset or ())
    change(load_settings(config, data_dir, transport), name, given, json=json)


@schedules_app.command("list")
def schedules_list(
    limit: Annotated[int, typer.Option(metavar="N", help="At most so many.")] = 100,
    cursor: CursorOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """List schedules, by name."""
    from gbe.cli.schedules import list_schedules

    list_schedules(load_settings(config, data_dir, transport), limit=limit, cursor=cursor, json=json)


@schedules_app.command("show")
def schedules_show(
    name: NameArgument,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Show a schedule: settings, next due times, what it started last."""
    from gbe.cli.schedules import show

    show(load_settings(config, data_dir, transport), name, json=json)


@schedules_app.command("pause")
def schedules_pause(
    names: NamesArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Start nothing by these schedules until they are resumed."""
    from gbe.cli.schedules import pause

    pause(load_settings(config, data_dir, transport), names, paused=True)


@schedules_app.command("resume")
def schedules_resume(
    names: NamesArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Go on; what was due meanwhile is left."""
    from gbe.cli.schedules import pause

    pause(load_settings(config, data_dir, transport), names, paused=False)


@schedules_app.command("run")
def schedules_run(
    name: NameArgument,
    words: WordsArgument = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="A second call with the same key starts nothing more.")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Start what a schedule starts, at once; prints the id."""
    import msgspec

    from gbe.cli.schedules import run
    from gbe.cli.tasks import parse_params

    params = msgspec.json.decode(parse_params(words or [], None))
    run(load_settings(config, data_dir, transport), name, params, idempotency_key, json=json)


@schedules_app.command("delete")
def schedules_delete(
    names: NamesArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Delete schedules; what they have started goes on."""
    from gbe.cli.schedules import delete

    delete(load_settings(config, data_dir, transport), names)
