"""The options of ``gbe worker``, ``gbe sweeper`` and ``gbe tasks …``; what they do is loaded when they are called."""

import sys
from typing import Annotated

import typer

from gbe.cli.options import (
    ConfigOption,
    CursorOption,
    DataDirOption,
    JsonOption,
    ParamsOption,
    TransportOption,
    WordsArgument,
    load_settings,
)

tasks_app = typer.Typer(name="tasks", help="Submit, watch and repair tasks.", no_args_is_help=True)

IdsArgument = Annotated[list[str], typer.Argument(metavar="ID…", help="Ids of tasks.", show_default=False)]
TypesArgument = Annotated[list[str], typer.Argument(metavar="TYPE…", help="Task types.", show_default=False)]


def worker(
    app: Annotated[
        str | None, typer.Argument(metavar="MODULE:APP", help="A gbe.App in a module; without: what is configured.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(metavar="N", help="Tasks at a time, per process.")] = None,
    processes: Annotated[int, typer.Option(metavar="N", min=1, max=256, help="Worker processes.")] = 1,
    grace: Annotated[str | None, typer.Option(metavar="DURATION", help="For running tasks when it stops.")] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="ADDRESS:PORT", help="Answer /metrics there, for all processes.")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Run tasks: the functions of a gbe.App, and the commands and addresses of the configuration."""
    from gbe.cli.shared import shared_directory
    from gbe.config import load

    flags = {
        "data_dir": data_dir,
        "transport": transport,
        "worker.concurrency": concurrency,
        "worker.grace": grace,
    }
    settings = load(config, flags=flags)
    if processes == 1:
        from gbe.cli.worker import work

        work(app, settings, metrics)
        return
    arguments = [] if app is None else [app]
    arguments += [] if config is None else ["--config", str(config)]
    for name, value in flags.items():
        if value is not None:
            arguments += [f"--{name.rpartition('.')[2].replace('_', '-')}", str(value)]
    with shared_directory():
        from gbe.cli.worker import supervise  # it counts: not before there is where to

        code = supervise(arguments, processes, settings.worker.grace, metrics)
    sys.exit(code)


def sweeper(config: ConfigOption = None, data_dir: DataDirOption = None, transport: TransportOption = None) -> None:
    """Find lost tasks and return them to their queues; `gbe serve` does so too."""
    from gbe.cli.roles import run_alone

    run_alone(load_settings(config, data_dir, transport), "sweeper")


@tasks_app.command("submit")
def tasks_submit(
    task_type: Annotated[str, typer.Argument(metavar="TYPE", help="The task type.", show_default=False)],
    words: WordsArgument = None,
    params: ParamsOption = None,
    delay: Annotated[str | None, typer.Option(metavar="DURATION", help="Run it later.")] = None,
    priority: Annotated[str, typer.Option(metavar="high|normal|low", help="Which tasks go first.")] = "normal",
    idempotency_key: Annotated[str | None, typer.Option(metavar="KEY", help="The same key is the same task.")] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="What limits per key go by.")] = None,
    max_retries: Annotated[int | None, typer.Option(metavar="N", help="In place of the type's.")] = None,
    timeout: Annotated[str | None, typer.Option(metavar="DURATION", help="Whole time of the task.")] = None,
    step_timeout: Annotated[str | None, typer.Option(metavar="DURATION", help="In place of the type's.")] = None,
    wait: Annotated[str | None, typer.Option(metavar="DURATION", help="Wait for the result and print it.")] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Submit a task; prints its id."""
    from gbe.cli.tasks import parse_params, seconds, submit
    from gbe.tasks.client import SubmitOptions

    options = SubmitOptions(
        delay=seconds("delay", delay),
        priority=priority,
        idempotency_key=idempotency_key,
        key=key,
        max_retries=max_retries,
        timeout=seconds("timeout", timeout),
        step_timeout=seconds("step_timeout", step_timeout),
    )
    encoded = parse_params(words or [], params)
    waiting = seconds("wait", wait)
    submit(load_settings(config, data_dir, transport), task_type, encoded, options, wait=waiting, json=json)


@tasks_app.command("list")
def tasks_list(
    task_type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only of this type.")] = None,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="Only in this state.")] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Only with this key.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="At most so many.")] = 50,
    cursor: CursorOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """List tasks, the newest first."""
    from gbe.cli.tasks import list_tasks

    settings = load_settings(config, data_dir, transport)
    list_tasks(settings, task_type=task_type, state=state, key=key, limit=limit, cursor=cursor, json=json)


@tasks_app.command("show")
def tasks_show(
    task_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a task.", show_default=False)],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print its progress until it ends.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Show a task: parameters, state, progress, result."""
    from gbe.cli.tasks import show

    show(load_settings(config, data_dir, transport), task_id, json=json, follow=follow)


@tasks_app.command("cancel")
def tasks_cancel(
    task_ids: IdsArgument,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Cancel tasks, pending or running."""
    from gbe.cli.tasks import cancel

    cancel(load_settings(config, data_dir, transport), task_ids, json=json)


@tasks_app.command("retry")
def tasks_retry(
    task_ids: IdsArgument,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Submit failed or cancelled tasks again, as new ones; prints their ids."""
    from gbe.cli.tasks import retry

    retry(load_settings(config, data_dir, transport), task_ids, json=json)


@tasks_app.command("pause")
def tasks_pause(
    task_types: TypesArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Start no more tasks of these types until they are resumed."""
    from gbe.cli.tasks import pause

    pause(load_settings(config, data_dir, transport), task_types, paused=True)


@tasks_app.command("resume")
def tasks_resume(
    task_types: TypesArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Start tasks of these types again."""
    from gbe.cli.tasks import pause

    pause(load_settings(config, data_dir, transport), task_types, paused=False)


@tasks_app.command("types")
def tasks_types(
    task_type: Annotated[str | None, typer.Argument(metavar="TYPE", help="Only this one.")] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting for all workers; no value takes it back."),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Show task types and their settings, or change them while everything runs."""
    from gbe.cli.tasks import types

    types(load_settings(config, data_dir, transport), task_type, change or [], json=json)
