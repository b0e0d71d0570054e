"""What ``gbe deadletters …`` does: tables for people, JSON for scripts."""

import getpass
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
import typer
from rich.table import Table

from gbe.cli.output import clean, escaped, moment, print_json, print_table
from gbe.cli.runtime import run
from gbe.config import Settings
from gbe.connect import open_dead_letters
from gbe.deadletters.letters import DeadLetters, RedriveOptions
from gbe.deadletters.moments import parse_moment
from gbe.deadletters.query import LetterFilter, LetterGroup, parse_status
from gbe.deadletters.record import LetterRecord
from gbe.deadletters.redrive import Outcome
from gbe.errors import InvalidLetterQueryError, LetterConflictError

Work = Callable[[DeadLetters], Coroutine[Any, Any, None]]

_NOTHING: Final = LetterFilter()
_MOST_COMPLAINTS: Final = 20


def _with_letters(settings: Settings, work: Work) -> None:
    async def main() -> None:
        async with open_dead_letters(settings) as letters:
            await work(letters)

    run(main())


def parse_filter(
    domain: str | None,
    subject: str | None,
    group: str | None,
    reason: str | None,
    fingerprint: str | None,
    status: str | None,
    since: str | None,
    until: str | None,
) -> LetterFilter:
    """The filter that options describe. Raises ``InvalidLetterQueryError``."""
    return LetterFilter(
        domain=domain,
        subject=subject,
        group=group,
        reason=reason,
        fingerprint=fingerprint,
        status=parse_status(status),
        since=parse_moment("since", since),
        until=parse_moment("until", until),
    )


def choose(letter_ids: Sequence[str], filtered: LetterFilter, *, everything: bool) -> LetterFilter | Sequence[str]:
    """Ids, or a filter, or everything, but one of them. Raises ``InvalidLetterQueryError``."""
    has_filter = filtered != _NOTHING
    if letter_ids and (has_filter or everything):
        raise InvalidLetterQueryError("ID", "give ids or filters, not both")
    if not letter_ids and not has_filter and not everything:
        raise InvalidLetterQueryError("ID", "name letters, filter them, or say --all")
    return letter_ids or filtered


# -- look


def list_letters(settings: Settings, wanted: LetterFilter, *, limit: int, cursor: str | None, json: bool) -> None:
    """One page of letters."""

    async def work(letters: DeadLetters) -> None:
        page = await letters.page(wanted, limit=limit, cursor=cursor)
        if json:
            print_json({"letters": [letter.as_document() for letter in page.letters], "cursor": page.cursor})
            return
        table = Table("id", "status", "redrives", "failed", "subject", "error", box=None, pad_edge=False)
        for record in page.letters:
            table.add_row(
                escaped(record.id),
                record.status.value,
                str(record.redrives),
                moment(record.last_failed_at),
                escaped(record.subject),
                escaped(_error(record)[:80]),
            )
        print_table(table)
        if page.cursor is not None:
            typer.echo(f"more: --cursor {page.cursor}", err=True)

    _with_letters(settings, work)


def groups(settings: Settings, wanted: LetterFilter, *, json: bool) -> None:
    """Alike failures."""

    async def work(letters: DeadLetters) -> None:
        found = await letters.groups(wanted)
        if json:
            print_json({"groups": found})
            return
        table = Table("fingerprint", "letters", "status", "group", "subject", "last failed", "error", box=None)
        for one in found:
            statuses = ", ".join(f"{count} {status}" for status, count in sorted(one.by_status.items()))
            table.add_row(
                one.fingerprint or "(others)",
                str(one.count),
                statuses,
                escaped(one.group),
                escaped(one.subject),
                moment(one.last_failed_at),
                escaped(_error(one)[:80]),
            )
        print_table(table)

    _with_letters(settings, work)


def _error(failed: LetterRecord | LetterGroup) -> str:
    kind = failed.error_type
    return failed.reason if kind is None or kind in failed.reason else f"{kind}: {failed.reason}"


def show(settings: Settings, letter_id: str, *, payload: bool, json: bool) -> None:
    """Everything of one letter."""

    async def work(letters: DeadLetters) -> None:
        record = await letters.get(letter_id)
        if payload:
            original = await letters.original_of(record)
            sys.stdout.buffer.write(original.payload)
            sys.stdout.buffer.flush()
            return
        document = record.as_document()
        body = b""
        try:
            original = await letters.original_of(record)
            body = original.payload
            document |= {"traceparent": original.traceparent} if original.traceparent else {}
        except LetterConflictError as exc:
            document["original_missing"] = str(exc)
        if json:
            print_json({**document, "payload": b64encode(body).decode()})
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, value in document.items():
            is_moment = isinstance(value, int) and name.endswith("_at")
            table.add_row(name, moment(int(str(value))) if is_moment else escaped(str(value)))
        table.add_row("payload", escaped(body.decode(errors="replace")[:4000]))
        print_table(table)

    _with_letters(settings, work)


# -- change


def redrive(
    settings: Settings, wanted: LetterFilter | Sequence[str], options: RedriveOptions, *, dry_run: bool, json: bool
) -> None:
    """Send letters again; exit 1 if one of them could not be sent."""

    async def work(letters: DeadLetters) -> None:
        if dry_run:
            count = await letters.count(wanted)
            count = count if options.limit is None else min(count, options.limit)
            print_json({"dry_run": True, "count": count}) if json else typer.echo(f"{count} letters would be sent")
            return
        await _report(letters.redrive(wanted, replace(options, actor=_actor())), json=json)

    _with_letters(settings, work)


def discard(settings: Settings, wanted: LetterFilter | Sequence[str], *, limit: int | None, json: bool) -> None:
    """Give letters up."""

    async def work(letters: DeadLetters) -> None:
        await _report(letters.discard(wanted, actor=_actor(), limit=limit), json=json)

    _with_letters(settings, work)


async def _report(outcomes: AsyncIterator[Outcome], *, json: bool) -> None:
    tally: Counter[str] = Counter()
    try:
        async for outcome in outcomes:
            tally[outcome.result] += 1
            if json:
                document = msgspec.to_builtins(outcome)
                print_json({name: value for name, value in document.items() if value is not None})
            elif outcome.error is not None and tally["skipped"] + tally["failed"] <= _MOST_COMPLAINTS:
                typer.echo(f"{outcome.id} {outcome.result}: {clean(outcome.error)}", err=True)
    finally:
        summary = ", ".join(f"{count} {result}" for result, count in sorted(tally.items())) or "no letters"
        typer.echo(summary, err=json)
    if tally["failed"]:
        raise typer.Exit(1)


def _actor() -> str:
    """Who does it, for the audit."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # a user without a name
        return "cli"
