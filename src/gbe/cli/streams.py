"""``gbe streams …``."""

import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from gbe.cli.operator import Operator
from gbe.cli.output import print_json, print_table
from gbe.cli.reference import duration, size
from gbe.cli.runtime import run
from gbe.config import Settings
from gbe.connect import Connections, streams_of
from gbe.sweeper.limits import parse_limits
from gbe.sweeper.streams import GroupView, StreamReport, Streams

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_AGES: Final = (("d", 86_400), ("h", 3600), ("m", 60))


def list_streams(settings: Settings, *, json: bool) -> None:
    """All streams, one a line."""

    async def work(streams: Streams) -> None:
        reports = await streams.reports()
        if json:
            print_json({"streams": reports})
            return
        table = Table("stream", "messages", "bytes", "oldest", "kept", "groups", box=None, pad_edge=False)
        for report in reports:
            groups = ", ".join(_group(each) for each in report.groups)
            table.add_row(
                report.name,
                str(report.messages),
                _amount(report.bytes),
                _since(report.oldest),
                escape(_kept(report)),
                escape(groups),
            )
        print_table(table)

    _with_streams(settings, work)


def show_stream(settings: Settings, pattern: str, *, json: bool) -> None:
    """One stream in full."""

    async def work(streams: Streams) -> None:
        _print_report(await streams.report(streams.find(pattern)), json=json)

    _with_streams(settings, work)


def set_limits(settings: Settings, pattern: str, limits: Mapping[str, str], *, json: bool) -> None:
    """Change limits, and show what they are now."""
    changes, reset = parse_limits(limits)

    async def work(streams: Streams) -> None:
        name = streams.find(pattern)
        await streams.change(name, changes, reset)
        await Operator(streams.transport, settings.namespace).did("change", f"stream/{name}", after=dict(limits))
        _print_report(await streams.report(name), json=json)

    _with_streams(settings, work)


def _with_streams(settings: Settings, work: Callable[[Streams], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with Connections(settings) as connections:
            backend = connections.backend
            await work(streams_of(settings, backend.transport, backend.state))

    run(main())


# -- output


def _print_report(report: StreamReport, *, json: bool) -> None:
    if json:
        print_json(report)
        return
    keeper = "the sweeper" if report.kept_by == "sweeper" else "the engine"
    lines = [
        ("stream", report.name),
        ("subjects", ", ".join(report.subjects)),
        ("messages", str(report.messages)),
        ("bytes", _amount(report.bytes)),
        ("oldest", _since(report.oldest)),
        ("kept", f"{_kept(report)}; {keeper} removes the rest"),
    ]
    if report.changed:
        lines.append(("changed", f"{', '.join(report.changed)}: set by an operator"))
    if report.archived:
        lines.append(("archived", f"{', '.join(report.archived)}: removed once it is in the archive"))
    for name, value in lines:
        typer.echo(f"{name:<9} {value}")
    if report.groups:
        typer.echo("")
        table = Table("group", "pattern", "pending", "unacknowledged", "oldest", box=None, pad_edge=False)
        for each in report.groups:
            age = "" if each.oldest_age is None else _age(each.oldest_age)
            table.add_row(each.group, each.pattern, str(each.pending), str(each.unacknowledged), age)
        print_table(table)


def _group(view: GroupView) -> str:
    held = f"+{view.unacknowledged}" if view.unacknowledged else ""
    return f"{view.group} {view.pending}{held}"


def _kept(report: StreamReport) -> str:
    limits = [
        "" if report.max_age is None else duration(report.max_age),
        "" if report.max_bytes is None else size(report.max_bytes),
        "" if report.max_msgs is None else f"{report.max_msgs} messages",
    ]
    return ", ".join(limit for limit in limits if limit) or "for good"


def _amount(count: int) -> str:
    amount, unit = float(count), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.0f} {_UNITS[unit]}" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def _since(moment_ms: int | None) -> str:
    return "" if moment_ms is None else _age(max(0.0, time.time() - moment_ms / 1000))


def _age(seconds: float) -> str:
    for unit, length in _AGES:
        if seconds >= 2 * length:
            return f"{seconds // length:.0f}{unit}"
    return f"{seconds:.0f}s"
