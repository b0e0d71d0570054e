"""What ``gbe tasks …`` does: tables for people, JSON for scripts."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import msgspec
import typer
from rich.table import Table

from gbe.app import App
from gbe.cli.operator import Operator
from gbe.cli.output import clean, escaped, moment, print_json, print_table
from gbe.cli.runtime import run
from gbe.config import Settings
from gbe.durations import parse_duration
from gbe.errors import InvalidEnvelopeError, InvalidTaskError, TaskCancelledError, TaskFailedError
from gbe.lifecycle.names import check_task_id
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.transitions import TaskState
from gbe.schemas.tasks import TaskProgress, decode_progress
from gbe.tasks.client import MAX_PARAMS, SubmitOptions, TaskClient, as_document

Work = Callable[[TaskClient], Coroutine[Any, Any, None]]

_COLOURS: Final[Mapping[str, str]] = {"completed": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}


def with_client(settings: Settings, work: Work) -> None:
    """Connect, do it, and let go."""

    async def main() -> None:
        async with App(settings=settings) as app:
            await work(await app.client())

    run(main())


def with_operator(settings: Settings, work: Callable[[TaskClient, Operator], Coroutine[Any, Any, None]]) -> None:
    """The same for commands that change something, and tell of it."""

    async def told(client: TaskClient) -> None:
        backend = client.backend
        await work(client, Operator(backend.transport, backend.names.namespace))

    with_client(settings, told)


# -- submit


def parse_params(words: Sequence[str], document: str | None) -> bytes:
    """Parameters from ``name=value`` words, or from a JSON object; a value is JSON where it reads as such.

    Raises:
        InvalidTaskError: neither.
    """
    params: dict[str, Any] = {}
    if document is not None:
        try:
            found = msgspec.json.decode(_standard_input() if document == "-" else document)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise InvalidTaskError("task", "params", f"not JSON: {exc}") from None
        if not isinstance(found, dict):
            raise InvalidTaskError("task", "params", "expected a JSON object, name to value")
        params |= found
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InvalidTaskError("task", "params", f"{word[:80]!r}; expected NAME=VALUE")
        try:
            params[name] = msgspec.json.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            params[name] = value
    return msgspec.json.encode(params)


def _standard_input() -> bytes:
    text = sys.stdin.buffer.read(MAX_PARAMS + 1)
    if len(text) > MAX_PARAMS:
        raise InvalidTaskError("task", "params", f"standard input is over {MAX_PARAMS} bytes")
    return text


def seconds(name: str, value: str | None) -> float | None:
    """A duration of the command line. Raises ``InvalidTaskError``."""
    if value is None:
        return None
    try:
        return parse_duration(value)
    except ValueError as exc:
        raise InvalidTaskError("task", name, f"{value!r}; expected {exc}") from None


def submit(
    settings: Settings, task_type: str, params: bytes, options: SubmitOptions, *, wait: float | None, json: bool
) -> None:
    """Submit a task; with ``wait`` print its result, and fail if it fails."""

    async def work(client: TaskClient) -> None:
        await client.types.look_up(task_type)
        record = await client.submit(task_type, client.types.check_params(task_type, params), options)
        if wait is None:
            print_json(as_document(record)) if json else typer.echo(record.task_id)
            return
        try:
            result = await client.result(task_type, record.task_id, wait)
        except (TaskFailedError, TaskCancelledError):
            if json:
                print_json(as_document(await client.store.get(task_type, record.task_id)))
            raise
        except TimeoutError as exc:
            typer.echo(f"gbe: {exc}; it goes on: gbe tasks show {record.task_id}", err=True)
            raise typer.Exit(3) from None
        if json:
            print_json(as_document(await client.store.get(task_type, record.task_id), result=result))
        else:
            typer.echo(result)

    with_client(settings, work)


# -- look


def list_tasks(
    settings: Settings,
    *,
    task_type: str | None,
    state: str | None,
    key: str | None,
    limit: int,
    cursor: str | None,
    json: bool,
) -> None:
    """One page of tasks, the newest first."""

    async def work(client: TaskClient) -> None:
        if task_type is not None:
            await client.types.look_up(task_type)
        page = await client.list(task_type=task_type, state=parse_state(state), key=key, limit=limit, cursor=cursor)
        if json:
            print_json({"tasks": [as_document(record) for record in page.tasks], "cursor": page.cursor})
            return
        table = Table("id", "type", "state", "attempt", "created", "progress", "error", box=None, pad_edge=False)
        for record in page.tasks:
            table.add_row(*_row(record))
        print_table(table)
        if page.cursor is not None:
            typer.echo(f"more: --cursor {page.cursor}", err=True)

    with_client(settings, work)


def parse_state(state: str | None) -> TaskState | None:
    """A state by its name. Raises ``InvalidTaskError``."""
    if state is None:
        return None
    try:
        return TaskState(state)
    except ValueError:
        accepted = ", ".join(one.value for one in TaskState)
        raise InvalidTaskError("list", "state", f"{state[:40]!r}; expected one of {accepted}") from None


def show(settings: Settings, task_id: str, *, json: bool, follow: bool) -> None:
    """Everything of one task; with ``follow`` how far it is, and each progress until it ends."""

    async def work(client: TaskClient) -> None:
        record = await client.get(check_task_id(task_id))
        if follow:
            record = await _follow(client, record, to_stderr=json)
        values = {"params": await client.params_of(record)}
        if record.state is TaskState.COMPLETED:
            values["result"] = await client.result_of(record)
        document = as_document(record, **values)
        if json:
            print_json(document)
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, value in document.items():
            table.add_row(name, _shown(name, value))
        print_table(table)

    with_client(settings, work)


def _progress(payload: bytes) -> TaskProgress | None:
    try:
        return decode_progress(payload)
    except InvalidEnvelopeError:  # some other program put it there
        return None


_Step = tuple[int, int, int | None, str]
"""Attempt, done, total, note."""


class _Steps:
    """Prints each step of a task once; the record and the stream both tell of it."""

    def __init__(self, *, to_stderr: bool) -> None:
        self._to_stderr = to_stderr
        self._last: _Step | None = None

    def say(self, step: _Step) -> None:
        """What the stream tells."""
        if step == self._last:
            return
        self._last = step
        _attempt, done, total, note = step
        of = "" if total is None else f"/{total}"
        typer.echo(f"{done}{of} {clean(note)}".rstrip(), err=self._to_stderr)

    def say_record(self, record: TaskRecord) -> None:
        """What the record knows, unless the stream has told more: a record lags behind it by a renewal."""
        if record.current_step is None:
            return
        step = (record.attempt, record.current_step, record.step_count, record.note or "")
        if self._last is None or step[:2] > self._last[:2]:
            self.say(step)


async def _follow(client: TaskClient, record: TaskRecord, *, to_stderr: bool) -> TaskRecord:
    """Print how far a task is, then each step as it is told, until it has ended; returns its last record."""
    steps = _Steps(to_stderr=to_stderr)
    subject = client.backend.names.progress(record.task_type)
    async with client.backend.transport.tail([subject]) as messages:
        # read behind the beginning of the tail: no step is between the two
        record = await client.store.get(record.task_type, record.task_id)
        steps.say_record(record)

        async def print_steps() -> None:
            async for message in messages:
                progress = _progress(message.envelope.payload)
                if progress is not None and progress.task_id == record.task_id:
                    steps.say((progress.attempt, progress.done, progress.total, progress.note))

        printing = asyncio.create_task(print_steps(), name="gbe.cli.steps")
        try:
            if not record.state.is_terminal:
                await client.wait(record.task_type, record.task_id)
        finally:
            printing.cancel()
            await asyncio.gather(printing, return_exceptions=True)
    record = await client.store.get(record.task_type, record.task_id)
    steps.say_record(record)  # the last one may not have come through the stream yet
    return record


# -- change


def cancel(settings: Settings, task_ids: Sequence[str], *, json: bool) -> None:
    """Cancel tasks, one after the other; the first that cannot be ends it."""

    async def work(client: TaskClient, operator: Operator) -> None:
        for task_id in task_ids:
            record = await client.cancel(check_task_id(task_id))
            print_json(as_document(record)) if json else typer.echo(f"{task_id} cancelled")
            await operator.did("cancel", f"task/{task_id}")

    with_operator(settings, work)


def retry(settings: Settings, task_ids: Sequence[str], *, json: bool) -> None:
    """Submit failed tasks again; prints the new ids."""

    async def work(client: TaskClient, operator: Operator) -> None:
        for task_id in task_ids:
            record = await client.retry(check_task_id(task_id))
            print_json(as_document(record)) if json else typer.echo(record.task_id)
            await operator.did("retry", f"task/{task_id}", after={"task_id": record.task_id})

    with_operator(settings, work)


def pause(settings: Settings, task_types: Sequence[str], *, paused: bool) -> None:
    """Pause or resume types."""

    async def work(client: TaskClient, operator: Operator) -> None:
        for name in task_types:
            await client.types.pause(name, paused=paused)
            typer.echo(f"{name} {'paused' if paused else 'resumed'}")
            await operator.did("pause" if paused else "resume", f"task-type/{name}")

    with_operator(settings, work)


def types(settings: Settings, name: str | None, changes: Sequence[str], *, json: bool) -> None:
    """Show types, or change settings of one."""

    async def work(client: TaskClient, operator: Operator) -> None:
        if name is not None:
            await client.types.look_up(name)
            await client.types.refresh(name)
        if changes and name is None:
            raise InvalidTaskError("types", "set", "name the type to change")
        if changes and name is not None:
            settings_of = {key: value or None for key, _, value in (change.partition("=") for change in changes)}
            await client.types.set(name, settings_of)
            await operator.did("change", f"task-type/{name}", after=settings_of)
        names = [name] if name is not None else await client.types.refresh_all()
        if json:
            print_json({one: client.types.effective(one).settings() for one in names})
            return
        table = Table("type", "step timeout", "retries", "limits", "retention", "", box=None, pad_edge=False)
        for one in names:
            found = client.types.effective(one)
            limits = [f"{found.concurrency} at a time"] if found.concurrency else []
            limits += [str(found.rate_limit)] if found.rate_limit else []
            table.add_row(
                one,
                f"{found.step_timeout:g} s",
                f"{found.max_retries} {found.backoff.kind}",
                ", ".join(limits),
                f"{found.retention:g} s",
                "paused" if found.paused else "",
            )
        print_table(table)

    with_operator(settings, work)


# -- output


def _row(record: TaskRecord) -> tuple[str, ...]:
    colour = _COLOURS.get(record.state.value)
    state = f"[{colour}]{record.state.value}[/]" if colour else record.state.value
    steps = "" if record.step_count is None else f"/{record.step_count}"
    progress = "" if record.current_step is None else f"{record.current_step}{steps} {record.note or ''}"
    return (
        record.task_id,
        record.task_type,
        state,
        str(record.attempt),
        moment(record.created_at),
        escaped(progress[:40]),
        escaped((record.error or "")[:60]),
    )


def _shown(name: str, value: object) -> str:
    if isinstance(value, msgspec.Raw):
        return escaped(bytes(value).decode(errors="replace")[:4000])
    if isinstance(value, int) and (name.endswith("_at") or name == "deadline"):
        return moment(value)
    return escaped(str(value))
