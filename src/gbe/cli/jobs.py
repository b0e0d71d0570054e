"""What ``gbe jobs …`` does."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gbe.app import App
from gbe.cli.job_drawing import drawing
from gbe.cli.operator import Operator
from gbe.cli.output import clean, escaped, moment, print_json, print_table, print_text
from gbe.cli.runtime import run as run_to_end
from gbe.config import Settings
from gbe.errors import ConfigError, InvalidJobError
from gbe.graph.definition import MAX_DEFINITION, JobDefinition, parse_definition
from gbe.graph.record import JobRecord, JobState
from gbe.graph.svg import MAX_TASKS, svg
from gbe.ids import is_ulid
from gbe.jobs import views
from gbe.jobs.client import JobClient
from gbe.jobs.timeline import Transition
from gbe.yamlfile import parse_yaml

_WATCH: Final = 0.25  # seconds between two looks


def read_file(path: Path) -> list[JobDefinition]:
    """The definitions of a YAML file: job types by name, or those under ``jobs:``.

    Raises:
        ConfigError, InvalidJobError: the text names file, line or key, and the fix.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_DEFINITION + 1)
        if len(content) > MAX_DEFINITION:
            raise ConfigError(f"{path} has more than {MAX_DEFINITION} bytes; put its job types into several files")
        document = parse_yaml(content.decode(), path)
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read: {exc}") from None
    found = document.get("jobs", document) if isinstance(document, dict) else None
    if not isinstance(found, dict) or not found:
        raise ConfigError(f"{path}: expected job types by name, each with its tasks")
    try:
        return [parse_definition(name, each) for name, each in found.items()]
    except InvalidJobError as exc:
        raise ConfigError(f"{path}: {exc}") from None


def validate(path: Path) -> None:
    """Say what a file defines."""
    for definition in read_file(path):
        typer.echo(f"{definition.name}: {len(definition.nodes)} tasks, in order")


def define(settings: Settings, path: Path) -> None:
    """Store what a file defines."""
    definitions = read_file(path)

    async def work(client: JobClient, operator: Operator) -> None:
        for definition in definitions:
            await client.define(definition)
            typer.echo(f"{definition.name}: defined")
            await operator.did("define", f"job-type/{definition.name}", after={"tasks": len(definition.nodes)})

    with_operator(settings, work)


def start(settings: Settings, job_type: str, params: bytes, key: str | None, wait: float | None, *, json: bool) -> None:
    """Start a job; print its id, or its end."""

    async def work(client: JobClient) -> None:
        job = await client.start(job_type, params, idempotency_key=key)
        if wait is not None:
            try:
                job = await client.wait(job.job_id, wait)
            except TimeoutError:
                late = f"job {job.job_id} has not ended within {wait:g} s"
                typer.echo(f"gbe: {late}; it goes on: gbe jobs show {job.job_id} --watch", err=True)
                raise typer.Exit(3) from None
        print_json(views.summary(job)) if json else typer.echo(
            job.job_id if wait is None else f"{job.job_id} {job.state.value}"
        )
        if job.state in (JobState.FAILED, JobState.CANCELLED):
            typer.echo(clean(job.error or job.state.value), err=True)
            raise typer.Exit(1)

    with_client(settings, work)


def list_jobs(
    settings: Settings, job_type: str | None, state: str | None, limit: int, cursor: str | None, *, json: bool
) -> None:
    """One page of jobs, the newest first."""
    wanted = None if state is None else views.parse_state(state)

    async def work(client: JobClient) -> None:
        page = await client.list(job_type=job_type, state=wanted, limit=limit, cursor=cursor)
        if json:
            print_json({"jobs": [views.summary(job) for job in page.jobs], "cursor": page.cursor})
            return
        table = Table("id", "type", "state", "started", "tasks", "error", box=None, pad_edge=False)
        for job in page.jobs:
            counts = ", ".join(f"{count} {word}" for word, count in views.summary(job)["counts"].items())
            table.add_row(
                job.job_id, job.job_type, job.state.value, moment(job.created_at), counts, escaped(job.error or "")
            )
        print_table(table)
        if page.cursor is not None:
            typer.echo(f"more: --cursor {page.cursor}", err=True)

    with_client(settings, work)


def show(settings: Settings, job_id: str, *, json: bool, watch: bool) -> None:
    """A job and its graph; watched until it has ended."""

    async def work(client: JobClient) -> None:
        job = await client.get(job_id)
        definition = (await client.store.plan(job_id)).definition
        if json:
            print_json(views.document(job, definition))
            return
        if not watch:
            print_text(_shown(job, definition))
            return
        with Live(_shown(job, definition), refresh_per_second=8, transient=False) as live:
            while not job.state.is_terminal:
                await asyncio.sleep(_WATCH)
                job = await client.get(job_id)
                live.update(_shown(job, definition))
        if job.state is not JobState.COMPLETED:
            raise typer.Exit(1)

    with_client(settings, work)


def _shown(job: JobRecord, definition: JobDefinition) -> Group:
    head = Text(f"{job.job_type} {job.job_id} {job.state.value}, run {job.run}, from {moment(job.created_at)}")
    error = [Text(clean(job.error), "red")] if job.error else []
    return Group(head, *error, drawing(definition, views.document(job, definition)["tasks"]))


def show_timeline(settings: Settings, job_id: str, task: str | None, limit: int, *, json: bool) -> None:
    """Every transition of a job and its tasks."""

    async def work(client: JobClient) -> None:
        found = await client.timeline(job_id, task=task, limit=limit)
        if json:
            print_json(views.moments(found))
            return
        table = Table("time", "task", "", "attempt", "worker", "trace", "error", box=None, pad_edge=False)
        for one in found.transitions:
            table.add_row(
                moment(one.at, milliseconds=True),
                escaped(_name(one)),
                one.what,
                "" if one.attempt is None else str(one.attempt),
                escaped(one.worker or ""),
                (one.traceparent or "").split("-")[1] if one.traceparent and "-" in one.traceparent else "",
                escaped(one.error or ""),
            )
        print_table(table)
        if found.is_cut:
            typer.echo(f"the first {limit}; more with --limit, or --task NAME for one of its tasks", err=True)

    with_client(settings, work)


def _name(one: Transition) -> str:
    if one.task is None:
        return "(job)"
    item = "" if one.item is None else f"[{one.item}]"
    return f"{'undo ' if one.undoes else ''}{one.task}{item}"


def cancel(settings: Settings, ids: Sequence[str], reason: str) -> None:
    """Cancel jobs and their tasks."""

    async def work(client: JobClient, operator: Operator) -> None:
        for job_id in ids:
            _say(await client.cancel(job_id, reason))
            await operator.did("cancel", f"job/{job_id}", after={"reason": reason})

    with_operator(settings, work)


def retry(settings: Settings, ids: Sequence[str]) -> None:
    """Give failed jobs another run."""

    async def work(client: JobClient, operator: Operator) -> None:
        for job_id in ids:
            job = await client.retry(job_id)
            _say(job)
            await operator.did("retry", f"job/{job_id}", after={"run": job.run})

    with_operator(settings, work)


def graph(settings: Settings, what: str, form: str) -> None:
    """The graph of a job type, or of a job with its states."""
    if form not in ("mermaid", "svg"):
        raise ConfigError(f"--format is {form[:40]!r}; expected mermaid or svg")

    async def work(client: JobClient) -> None:
        states = None
        if is_ulid(what):
            job = await client.get(what)
            definition = (await client.store.plan(what)).definition
            states = views.states(job, definition)
        else:
            definition = await client.look_up(what)
        if form == "svg" and len(definition.nodes) > MAX_TASKS:
            raise ConfigError(f"a picture shows at most {MAX_TASKS} tasks, this job has {len(definition.nodes)}")
        typer.echo(svg(definition, states) if form == "svg" else views.mermaid(definition, states), nl=False)

    with_client(settings, work)


def _say(job: JobRecord) -> None:
    typer.echo(f"{job.job_id} {job.state.value}")


def with_client(settings: Settings, work: Callable[[JobClient], Coroutine[Any, Any, None]]) -> None:
    """Connect, do it, and let go."""

    async def main() -> None:
        async with App(settings=settings) as app:
            await work(await app.jobs())

    run_to_end(main())


def with_operator(settings: Settings, work: Callable[[JobClient, Operator], Coroutine[Any, Any, None]]) -> None:
    """The same for commands that change something, and tell of it."""

    async def main() -> None:
        async with App(settings=settings) as app:
            backend = (await app.client()).backend
            await work(await app.jobs(), Operator(backend.transport, backend.names.namespace))

    run_to_end(main())
