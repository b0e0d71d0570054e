"""What ``gbe schedules …`` does."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import msgspec
import typer
from rich.table import Table

from gbe.app import App
from gbe.cli.operator import Operator
from gbe.cli.output import escaped, moment, print_json, print_table
from gbe.cli.runtime import run as run_to_end
from gbe.config import Settings
from gbe.connect import schedule_client
from gbe.schedules.client import ScheduleClient
from gbe.schedules.definition import Definition
from gbe.schedules.record import ScheduleRecord, as_document

Work = Callable[[ScheduleClient], Coroutine[Any, Any, None]]

_UPCOMING: Final = 5


def with_client(settings: Settings, work: Work) -> None:
    """Connect, do it, and let go."""

    async def main() -> None:
        async with App(settings=settings) as app:
            await work(schedule_client(settings, await app.client()))

    run_to_end(main())


def with_operator(settings: Settings, work: Callable[[ScheduleClient, Operator], Coroutine[Any, Any, None]]) -> None:
    """The same for commands that change something, and tell of it."""

    async def main() -> None:
        async with App(settings=settings) as app:
            tasks = await app.client()
            operator = Operator(tasks.backend.transport, settings.namespace)
            await work(schedule_client(settings, tasks), operator)

    run_to_end(main())


def list_schedules(settings: Settings, *, limit: int, cursor: str | None, json: bool) -> None:
    """One page of schedules, by name."""

    async def work(client: ScheduleClient) -> None:
        page = await client.list(limit=limit, cursor=cursor)
        if json:
            print_json({"schedules": [as_document(each) for each in page.schedules], "cursor": page.cursor})
            return
        table = Table("name", "starts", "when", "next", "last", "fires", "missed", "", box=None, pad_edge=False)
        for record in page.schedules:
            table.add_row(*_row(record))
        print_table(table)
        if page.cursor is not None:
            typer.echo(f"more: --cursor {page.cursor}", err=True)

    with_client(settings, work)


def show(settings: Settings, name: str, *, json: bool) -> None:
    """Everything of one schedule, and its next due times."""

    async def work(client: ScheduleClient) -> None:
        _print(await client.get(name), json=json, upcoming=_UPCOMING)

    with_client(settings, work)


def create(settings: Settings, name: str, given: Mapping[str, object], *, json: bool) -> None:
    """Make a schedule."""

    async def work(client: ScheduleClient, operator: Operator) -> None:
        _print(await client.create(name, given), json=json, upcoming=_UPCOMING)
        await operator.did("create", f"schedule/{name}", after=dict(given))

    with_operator(settings, work)


def change(settings: Settings, name: str, given: Mapping[str, object], *, json: bool) -> None:
    """Change a schedule."""

    async def work(client: ScheduleClient, operator: Operator) -> None:
        _print(await client.change(name, given), json=json, upcoming=_UPCOMING)
        await operator.did("change", f"schedule/{name}", after=dict(given))

    with_operator(settings, work)


def pause(settings: Settings, names: Sequence[str], *, paused: bool) -> None:
    """Pause or resume schedules."""

    async def work(client: ScheduleClient, operator: Operator) -> None:
        for name in names:
            await client.pause(name, paused=paused)
            typer.echo(f"{name} {'paused' if paused else 'resumed'}")
            await operator.did("pause" if paused else "resume", f"schedule/{name}")

    with_operator(settings, work)


def run(settings: Settings, name: str, params: Mapping[str, object], key: str | None, *, json: bool) -> None:
    """Start what a schedule starts; prints the id."""

    async def work(client: ScheduleClient, operator: Operator) -> None:
        started = await client.run(name, params, idempotency_key=key)
        if json:
            print_json({"kind": started.kind, "type": started.name, "id": started.id})
        else:
            typer.echo(started.id)
        after = {"kind": started.kind, "type": started.name, "id": started.id}
        await operator.did("run", f"schedule/{name}", after=after)

    with_operator(settings, work)


def delete(settings: Settings, names: Sequence[str]) -> None:
    """Delete schedules."""

    async def work(client: ScheduleClient, operator: Operator) -> None:
        for name in names:
            await client.delete(name)
            typer.echo(f"{name} deleted")
            await operator.did("delete", f"schedule/{name}")

    with_operator(settings, work)


def _print(record: ScheduleRecord, *, json: bool, upcoming: int) -> None:
    document = as_document(record, upcoming=upcoming)
    if json:
        print_json(document)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in document.items():
        for label, text in _lines(name, value):
            table.add_row(label, escaped(text))
    print_table(table)


def _lines(name: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [(str(key), _text(each)) for key, each in value.items()]
    if isinstance(value, list):
        return [(name if not index else "", moment(each)) for index, each in enumerate(value)]
    if isinstance(value, int) and (name.endswith("_at") or name in ("next", "last_due")):
        return [(name, moment(value))]
    return [(name, str(value))]


def _text(value: object) -> str:
    """Parameters as the JSON that ``change`` takes."""
    return msgspec.json.encode(value).decode() if isinstance(value, Mapping | list) else str(value)


def _row(record: ScheduleRecord) -> tuple[str, ...]:
    definition = record.definition
    failed = record.last_refused_at or 0
    note = f"failed: {record.last_error}" if failed > (record.last_fired_at or 0) else ""
    return (
        record.name,
        str(definition.target),
        escaped(_when(definition)),
        "paused" if record.is_paused else "" if record.fire_at is None else moment(record.fire_at),
        "" if record.last_fired_at is None else moment(record.last_fired_at),
        str(record.fires),
        str(record.misses),
        escaped(note[:60]),
    )


def _when(definition: Definition) -> str:
    if definition.cron is not None:
        return f"{definition.cron} {definition.tz}"
    if definition.every is not None:
        return f"every {definition.every:g} s"
    if definition.at is not None:
        return f"at {moment(definition.at)}"
    return f"on {definition.event}" if definition.event is not None else "when called"
