"""``gbe notify import-ntfy``."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from gbe.cli.operator import Operator
from gbe.cli.output import clean, print_json
from gbe.cli.runtime import run
from gbe.config import Settings
from gbe.connect import ensure_streams, open_state, open_transport
from gbe.errors import ConfigError
from gbe.notify.access.access import Access
from gbe.notify.moving.messages import MessageFile
from gbe.notify.moving.movers import MessageMover, Moved, move_users
from gbe.notify.moving.users import UserFile
from gbe.state.base import StateStore
from gbe.transport.base import Transport


def import_files(
    settings: Settings, *, cache_file: Path | None, auth_file: Path | None, dry_run: bool, json: bool
) -> None:
    """Read the files first, all of them; then bring over what is in them."""
    if "memory" in (settings.transport_kind, settings.state_kind):
        raise ConfigError("transport is memory, which lives in one process: there is nothing to bring them to")
    users = None if auth_file is None else UserFile(auth_file)
    messages = None if cache_file is None else MessageFile(cache_file, keep=settings.notify.cache_duration)
    results: dict[str, Moved] = {}

    async def main() -> None:
        async with await open_transport(settings) as transport, await open_state(settings) as store:
            await ensure_streams(settings, transport)
            if users is not None:
                results["users"] = await _users(settings, store, users, dry_run=dry_run)
            if messages is not None:
                results["messages"] = await _messages(settings, transport, store, messages, dry_run=dry_run)
            if not dry_run:
                counts = {what: moved.new for what, moved in results.items()}
                await Operator(transport, settings.namespace).did("import", "notify/ntfy", after=counts)

    run(main())
    _print(results, dry_run=dry_run, json=json)


async def _users(settings: Settings, store: StateStore, file: UserFile, *, dry_run: bool) -> Moved:
    async with Access(store, settings.namespace, settings.access) as access:
        moved = await move_users(file.users, access.accounts, dry_run=dry_run)
    moved.problems = file.problems
    return moved


async def _messages(
    settings: Settings, transport: Transport, store: StateStore, file: MessageFile, *, dry_run: bool
) -> Moved:
    moved = await MessageMover(transport, store, settings.namespace, dry_run=dry_run).move(file.messages)
    moved.problems = file.problems
    return moved


def _print(results: dict[str, Moved], *, dry_run: bool, json: bool) -> None:
    if json:
        document: dict[str, Any] = {what: asdict(moved) for what, moved in results.items()}
        print_json({"dry_run": dry_run, **document})
        return
    for what, moved in results.items():
        verb = "would be brought over" if dry_run else "brought over"
        more = f", {moved.changed} {'would be ' if dry_run else ''}completed" if moved.changed else ""
        over = f", {moved.over} expired" if moved.over else ""
        typer.echo(f"{what}: {moved.new} {verb}{more}, {moved.known} here already{over}")
        for problem in moved.problems:
            typer.echo(f"  {clean(problem)}", err=True)
