"""``gbe archiver`` and ``gbe archive …``."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec
import typer
from rich.table import Table

import gbe
from gbe import logs
from gbe.archive.manifest import Mark
from gbe.archive.progress import Point, Progress
from gbe.archive.prune import find_old, remove
from gbe.archive.verify import Known, Verification, looking_into
from gbe.archive.verify import verify as verify_archive
from gbe.cli import archive_table
from gbe.cli.archive_table import Removed
from gbe.cli.operator import Operator
from gbe.cli.output import print_table
from gbe.cli.presence import announced
from gbe.cli.runtime import run, stop_on_signals, until_stopped
from gbe.config import Settings
from gbe.connect import Connections, archive_folder, archiver, streams_of
from gbe.objects.store import ObjectStore
from gbe.tasks.backend import Backend

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def archive(settings: Settings) -> None:
    """Run an archiver alone until SIGTERM or Ctrl-C; what is held then is written first."""
    logs.configure(settings.log)
    run(_archive(settings))


async def _archive(settings: Settings) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop, _STOP_SIGNALS)
    async with Connections(settings, archives=True) as connections:
        one = archiver(settings, connections.backend)
        print(f"gbe {gbe.__version__} archiver {one.name}; stop: Ctrl-C", file=sys.stderr, flush=True)  # noqa: T201
        async with announced(connections.backend.transport, settings.namespace, "archiver"):
            await until_stopped(one.run(), stop)


def show_status(settings: Settings, *, json: bool) -> None:
    """How far each subject is."""

    async def work(backend: Backend) -> None:
        config = settings.archive
        points = {subject: point async for subject, point in _progress(settings, backend).all()}
        lags = {
            pattern: await backend.transport.lag(f"{settings.namespace}.{pattern}", config.group)
            for pattern in config.subjects
        }
        if json:
            subjects = {subject: _document(point) for subject, point in points.items()}
            typer.echo(msgspec.json.encode({"subjects": subjects, "lag": lags}))
            return
        table = Table("subject", "messages", "payload", "confirmed", "", box=None, pad_edge=False)
        for subject, point in sorted(points.items()):
            under_way = "" if point.borders is None else f"{point.borders.messages} under way"
            position = "" if point.position is None else str(point.position)
            table.add_row(subject, str(point.messages), f"{point.payload_bytes} B", position, under_way)
        print_table(table)
        for pattern, lag in lags.items():
            age = "" if lag.oldest_age is None else f", the oldest for {lag.oldest_age:.0f} s"
            typer.echo(f"{pattern}: {lag.pending + lag.unacknowledged} messages wait{age}")

    _with_backend(settings, work)


def _document(point: Point) -> dict[str, object]:
    return {
        "position": None if point.position is None else str(point.position),
        "messages": point.messages,
        "payload_bytes": point.payload_bytes,
        "head": Mark.parse(point.mark).head,
        "under_way": 0 if point.borders is None else point.borders.messages,
    }


def show_verification(settings: Settings, *, offline: bool, json: bool) -> None:
    """Read all of the archive."""

    async def offline_check() -> Verification:
        if archive_table.is_table(settings):
            return await archive_table.verify(settings, None)
        async with await _open_objects(settings) as objects:
            return await verify_archive(objects, None)

    async def work(backend: Backend) -> None:
        progress = _progress(settings, backend)
        if archive_table.is_table(settings):
            found = await archive_table.verify(settings, progress)
        else:
            known = {subject: Known.of(point) async for subject, point in progress.all()}
            async with await _open_objects(settings) as objects:
                found = await verify_archive(objects, known, looking_into(progress), settings.namespace)
        _print_verification(settings, found, json=json)

    if offline:
        _print_verification(settings, run(offline_check()), json=json)
    else:
        _with_backend(settings, work)


def _print_verification(settings: Settings, result: Verification, *, json: bool) -> None:
    if json:
        typer.echo(msgspec.json.encode(result))
    else:
        for finding in result.findings:
            typer.echo(f"{finding.kind:<9} {finding.file}: {finding.what}")
        for words in result.pruned:
            typer.echo(f"pruned    {words}")
        for name in result.being_pruned:
            typer.echo(f"{name}: left by a prune that was interrupted; `gbe archive prune --yes` ends it")
        verdict = "all as it was written" if result.is_sound else f"{len(result.findings)} findings"
        pieces = "batches" if archive_table.is_table(settings) else "files"
        typer.echo(f"{result.files} {pieces}, {result.messages} messages: {verdict}")
    if not result.is_sound:
        raise typer.Exit(1)


def prune(settings: Settings, *, yes: bool) -> None:
    """Say what is too old, or remove it; a removal is an audit event, also one that fails half-way."""

    async def work(backend: Backend) -> None:
        progress = _progress(settings, backend)
        before = time.time_ns() // 1_000_000 - round(settings.archive.retention * 1000)
        removed = Removed()
        try:
            if archive_table.is_table(settings):
                await archive_table.prune(settings, progress, before, removed, yes=yes)
            else:
                await _prune_files(settings, progress, before, removed, yes=yes)
        finally:
            if removed.messages:
                operator = Operator(backend.transport, settings.namespace)
                await operator.did("prune", f"archive/{settings.archive.group}", after=removed.document())

    _with_backend(settings, work)


async def _prune_files(settings: Settings, progress: Progress, before_ms: int, removed: Removed, *, yes: bool) -> None:
    total = size = 0
    async with await _open_objects(settings) as objects:
        async for old in find_old(objects, progress, before_ms):
            found = old.manifest
            typer.echo(f"{found.day} {found.subject}: {len(found.entries)} files, {found.messages} messages")
            total, size = total + len(found.entries), size + old.size
            if yes:
                await remove(objects, progress, old)
                removed.add(found.day, found.messages)
    done = "removed" if yes else "would be removed; do it with --yes"
    typer.echo(f"{total} files, {size} bytes {done}")


def release(settings: Settings, *, yes: bool) -> None:
    """Let retention remove what is not archived."""
    group = settings.archive.group
    if not yes:
        typer.echo(f"messages that {group} has not archived would no longer be kept for it; do it with --yes")
        return

    async def work(backend: Backend) -> None:
        await streams_of(settings, backend.transport, backend.state).release(group)
        await Operator(backend.transport, settings.namespace).did("release", f"archive/{group}")
        typer.echo(f"nothing is kept for {group} any more, until an archiver starts")

    _with_backend(settings, work)


def _progress(settings: Settings, backend: Backend) -> Progress:
    return Progress(backend.state, settings.namespace, settings.archive.group)


async def _open_objects(settings: Settings) -> ObjectStore:
    return await ObjectStore.open(settings.archive.objects(settings.objects, archive_folder(settings)))


def _with_backend(settings: Settings, work: Callable[[Backend], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with Connections(settings) as connections:
            await work(connections.backend)

    run(main())
