"""The options of ``gbe jobs …`` and ``gbe orchestrator``; what they do is loaded when they are called."""

from pathlib import Path
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

jobs_app = typer.Typer(name="jobs", help="Define, start, watch and repair jobs of many tasks.", no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="YAML: job types by name.", show_default=False)]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of a job.", show_default=False)]
IdsArgument = Annotated[list[str], typer.Argument(metavar="ID…", help="Ids of jobs.", show_default=False)]


def orchestrator(
    config: ConfigOption = None, data_dir: DataDirOption = None, transport: TransportOption = None
) -> None:
    """Advance jobs; `gbe serve` does so too, and any number may run."""
    from gbe.cli.roles import run_alone

    run_alone(load_settings(config, data_dir, transport), "orchestrator")


@jobs_app.command("define")
def jobs_define(
    file: FileArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Store the job types of a file; jobs that are started from now on follow them."""
    from gbe.cli.jobs import define

    define(load_settings(config, data_dir, transport), file)


@jobs_app.command("validate")
def jobs_validate(file: FileArgument) -> None:
    """Check the job types of a file; nothing is stored, and no engine is needed."""
    from gbe.cli.jobs import validate

    validate(file)


@jobs_app.command("start")
def jobs_start(
    job_type: Annotated[str, typer.Argument(metavar="TYPE", help="The job type.", show_default=False)],
    words: WordsArgument = None,
    params: ParamsOption = None,
    idempotency_key: Annotated[str | None, typer.Option(metavar="KEY", help="The same key is the same job.")] = None,
    wait: Annotated[str | None, typer.Option(metavar="DURATION", help="Wait for its end.")] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Start a job; prints its id."""
    from gbe.cli.jobs import start
    from gbe.cli.tasks import parse_params, seconds

    settings = load_settings(config, data_dir, transport)
    start(settings, job_type, parse_params(words or [], params), idempotency_key, seconds("wait", wait), json=json)


@jobs_app.command("list")
def jobs_list(
    job_type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Jobs of this type.")] = None,
    state: Annotated[str | None, typer.Option(metavar="STATE", help="Jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="At most so many.")] = 100,
    cursor: CursorOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """List jobs, the newest first."""
    from gbe.cli.jobs import list_jobs

    list_jobs(load_settings(config, data_dir, transport), job_type, state, limit, cursor, json=json)


@jobs_app.command("show")
def jobs_show(
    job_id: IdArgument,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow it until it ends; exit 1 if it does not succeed.")
    ] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Draw a job: where each of its tasks is."""
    from gbe.cli.jobs import show

    show(load_settings(config, data_dir, transport), job_id, json=json, watch=watch)


@jobs_app.command("timeline")
def jobs_timeline(
    job_id: IdArgument,
    task: Annotated[str | None, typer.Option(metavar="NAME", help="One of its tasks, with all items.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="At most so many, the first ones.")] = 1_000,
    json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Every transition of a job and its tasks: time, attempt, worker, trace, error."""
    from gbe.cli.jobs import show_timeline

    show_timeline(load_settings(config, data_dir, transport), job_id, task, limit, json=json)


@jobs_app.command("cancel")
def jobs_cancel(
    ids: IdsArgument,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why.")] = "cancelled",
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Cancel jobs; their tasks are stopped, and nothing is undone."""
    from gbe.cli.jobs import cancel

    cancel(load_settings(config, data_dir, transport), ids, reason)


@jobs_app.command("retry")
def jobs_retry(
    ids: IdsArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Give failed or cancelled jobs another run; what succeeded is kept."""
    from gbe.cli.jobs import retry

    retry(load_settings(config, data_dir, transport), ids)


@jobs_app.command("graph")
def jobs_graph(
    what: Annotated[str, typer.Argument(metavar="TYPE|ID", help="A job type, or a job.", show_default=False)],
    form: Annotated[str, typer.Option("--format", metavar="mermaid|svg", help="What to write.")] = "mermaid",
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    transport: TransportOption = None,
) -> None:
    """Write the graph as Mermaid or as a picture (SVG); of a job with the state of each task."""
    from gbe.cli.jobs import graph

    graph(load_settings(config, data_dir, transport), what, form)
