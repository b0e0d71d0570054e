"""``gbe archive replay``: archived messages as JSON lines, or published again."""

import os
import sys
from dataclasses import dataclass
from typing import Final

import msgspec
import typer

from gbe.archive import rows
from gbe.archive.history import Range
from gbe.archive.open import open_history
from gbe.archive.replay import Plan, Replay
from gbe.cli.operator import Operator
from gbe.cli.runtime import run
from gbe.clock import SystemClock
from gbe.config import Settings
from gbe.connect import Connections, archive_folder
from gbe.errors import ConfigError, InvalidSubjectError
from gbe.events.since import parse_since
from gbe.subjects import check_pattern, check_subject
from gbe.transport.base import EARLIEST, FromTime

_LATER_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What is replayed; ``publishes`` says whether it goes to subjects, or to the standard output."""

    plan: Plan
    publishes: bool

    @classmethod
    def parse(
        cls,
        namespace: str,
        subject: str,
        since: str,
        until: str | None,
        to_subject: str | None,
        *,
        to_own_subjects: bool,
        rate: float | None,
    ) -> "Wish":
        """From the options. Raises ``ConfigError``."""
        publishes = to_subject is not None or to_own_subjects
        if to_subject is not None and to_own_subjects:
            raise ConfigError("--to-subject and --to-own-subjects exclude each other")
        if publishes and until is None:
            raise ConfigError("name the end of what is published again: --to 2026-01-31T12:00:00Z")
        try:
            check_pattern(f"{namespace}.{subject}")
            if to_subject is not None:
                check_subject(f"{namespace}.{to_subject}")
        except InvalidSubjectError as exc:
            raise ConfigError(f"--subject, --to-subject: {exc}") from None
        wanted = Range(
            f"{namespace}.{subject}",
            _moment("--from", since, is_fixed=publishes),
            None if until is None else _moment("--to", until, is_fixed=publishes),
        )
        if wanted.since is not None and wanted.until is not None and wanted.since >= wanted.until:
            raise ConfigError("--from is not before --to")
        if publishes and wanted.until is not None and wanted.until > SystemClock().now_ms():
            raise ConfigError(f"--to {until} is still to come: what is published again is a time that is over")
        target = None if to_subject is None else f"{namespace}.{to_subject}"
        return cls(Plan(wanted, target, rate), publishes)


def _moment(option: str, text: str, *, is_fixed: bool) -> int | None:
    now = SystemClock().now_ms()
    try:
        found, later = parse_since(text, now_ms=now), parse_since(text, now_ms=now + _LATER_MS)
    except ValueError as exc:
        raise ConfigError(f"{option}: {exc}") from None
    if found == EARLIEST:
        return None
    if not isinstance(found, FromTime):
        raise ConfigError(f"{option}: expected a time, such as 2026-01-31T12:00:00Z")
    if is_fixed and found != later:
        raise ConfigError(
            f"{option} {text}: a replay that publishes is known by its times, so that it can be repeated without "
            "publishing twice: give a time, such as 2026-01-31T12:00:00Z"
        )
    return found.ms


def replay(settings: Settings, wish: Wish, *, dry_run: bool) -> None:
    """Do it, or count what it would be."""
    if dry_run:
        run(_count(settings, wish))
    elif wish.publishes:
        run(_publish(settings, wish.plan))
    else:
        try:
            run(_print(settings, wish.plan))
            sys.stdout.flush()
        except BrokenPipeError:  # ``| head`` has had enough; what the interpreter still flushes goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _count(settings: Settings, wish: Wish) -> None:
    counts: dict[str, int] = {}
    async with await open_history(settings.archive, settings.objects, archive_folder(settings)) as history:
        async for message, _ in history.messages(wish.plan.wanted):
            subject = message.envelope.subject
            counts[subject] = counts.get(subject, 0) + 1
    for subject, count in sorted(counts.items()):
        typer.echo(f"{subject}: {count} messages")
    typer.echo(f"{sum(counts.values())} messages would be {'published' if wish.publishes else 'printed'}")


async def _print(settings: Settings, plan: Plan) -> None:
    async with await open_history(settings.archive, settings.objects, archive_folder(settings)) as history:
        async for message, _ in history.messages(plan.wanted):
            typer.echo(msgspec.json.encode(rows.row_of(message)))


async def _publish(settings: Settings, plan: Plan) -> None:
    async with (
        await open_history(settings.archive, settings.objects, archive_folder(settings)) as history,
        Connections(settings) as connections,
    ):
        backend = connections.backend
        done = await Replay(history, backend.transport, backend.state, settings.namespace).run(plan)
        operator = Operator(backend.transport, settings.namespace)
        await operator.did("replay", f"archive/{plan.wanted.pattern}", after={"published": done.published})
    typer.echo(f"{done.published} messages published, {done.skipped} had been published before")
