"""What ``gbe jobs …`` does."""

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

import typer
import yaml
from rich.table import Table

from gbe.app import App
from gbe.cli.output import clean, escaped, moment, print_json, print_table
from gbe.cli.runtime import run as run_to_end
from gbe.config import Settings
from gbe.errors import ConfigError, InvalidJobError
from gbe.graph.definition import MAX_DEFINITION, JobDefinition, parse_definition
from gbe.graph.record import JobRecord, JobState
from gbe.ids import is_ulid
from gbe.jobs import views
from gbe.jobs.client import JobClient

_MARKS: Final = {
    "waiting": "·",
    "starting": "…",
    "running": "▶",
    "completed": "✔",
    "failed": "✘",
    "skipped": "-",
    "cancelled": "✕",
}


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
        text = content.decode()
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        _check_names(tree, path)
        document = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read: {exc}") from None
    except (yaml.YAMLError, RecursionError) as exc:
        raise ConfigError(f"{path} is not YAML: {exc}") from None
    found = document.get("jobs", document) if isinstance(document, dict) else None
    if not isinstance(found, dict) or not found:
        raise ConfigError(f"{path}: expected job types by name, each with its tasks")
    try:
        return [parse_definition(name, each) for name, each in found.items()]
    except InvalidJobError as exc:
        raise ConfigError(f"{path}: {exc}") from None


def _check_names(tree: yaml.Node | None, path: Path) -> None:
    """YAML readers let the last of two equal names win, silently; here they are an error."""
    left, seen = [] if tree is None else [tree], set()
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        elif isinstance(node, yaml.MappingNode):
            names: set[str] = set()
            for key, value in node.value:
                left.append(value)
                if not isinstance(key, yaml.ScalarNode):
                    continue
                if key.value in names:
                    line = key.start_mark.line + 1
                    raise ConfigError(f"{path}, line {line}: {key.value[:60]} is there twice; rename one")
                names.add(key.value)


def validate(path: Path) -> None:
    """Say what a file defines."""
    for definition in read_file(path):
        typer.echo(f"{definition.name}: {len(definition.nodes)} tasks, in order")


def define(settings: Settings, path: Path) -> None:
    """Store what a file defines."""
    definitions = read_file(path)

    async def work(client: JobClient) -> None:
        for definition in definitions:
            await client.define(definition)
            typer.echo(f"{definition.name}: defined")

    with_client(settings, work)


def start(settings: Settings, job_type: str, params: bytes, key: str | None, wait: float | None, *, json: bool) -> None:
    """Start a job; print its id, or its end."""

    async def work(client: JobClient) -> None:
        job = await client.start(job_type, params, idempotency_key=key)
        if wait is not None:
            try:
                job = await client.wait(job.job_id, wait)
            except TimeoutError:
                raise ConfigError(f"job {job.job_id} has not ended within {wait:g} s; it goes on") from None
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


def show(settings: Settings, job_id: str, *, json: bool) -> None:
    """A job and its tasks."""

    async def work(client: JobClient) -> None:
        job = await client.get(job_id)
        found = views.document(job, (await client.store.plan(job_id)).definition)
        if json:
            print_json(found)
            return
        typer.echo(f"{job.job_type} {job.job_id} {job.state.value}, run {job.run}, from {moment(job.created_at)}")
        if job.error:
            typer.echo(clean(job.error))
        table = Table("", "task", "state", "items", "after", "error", box=None, pad_edge=False)
        for task in found["tasks"]:
            after = ", ".join(task.get("depends_on", ()))
            state, error = task["state"], escaped(task.get("error", ""))
            table.add_row(_MARKS[state], task["name"], state, str(task.get("items", "")), after, error)
        print_table(table)

    with_client(settings, work)


def cancel(settings: Settings, ids: Sequence[str], reason: str) -> None:
    """Cancel jobs and their tasks."""

    async def work(client: JobClient) -> None:
        for job_id in ids:
            _say(await client.cancel(job_id, reason))

    with_client(settings, work)


def retry(settings: Settings, ids: Sequence[str]) -> None:
    """Give failed jobs another run."""

    async def work(client: JobClient) -> None:
        for job_id in ids:
            _say(await client.retry(job_id))

    with_client(settings, work)


def graph(settings: Settings, what: str) -> None:
    """The graph of a job type, or of a job with its states, as Mermaid."""

    async def work(client: JobClient) -> None:
        if not is_ulid(what):
            typer.echo(views.mermaid(await client.look_up(what)), nl=False)
            return
        job = await client.get(what)
        definition = (await client.store.plan(what)).definition
        states = {node.name: job.code(number).word for number, node in enumerate(definition.nodes)}
        typer.echo(views.mermaid(definition, states), nl=False)

    with_client(settings, work)


def _say(job: JobRecord) -> None:
    typer.echo(f"{job.job_id} {job.state.value}")


def with_client(settings: Settings, work: Callable[[JobClient], Coroutine[Any, Any, None]]) -> None:
    """Connect, do it, and let go."""

    async def main() -> None:
        async with App(settings=settings) as app:
            await work(await app.jobs())

    run_to_end(main())
