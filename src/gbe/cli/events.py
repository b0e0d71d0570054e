"""What ``gbe events …`` does: lines for people, JSON for scripts."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
import typer

from gbe.cli.output import clean, moment, print_json
from gbe.cli.runtime import run
from gbe.cli.tasks import parse_params
from gbe.clock import SystemClock
from gbe.config import Settings
from gbe.connect import open_events
from gbe.errors import ConfigError, InvalidEventError, InvalidTaskError
from gbe.events.filters import Filters
from gbe.events.reading import EventReader
from gbe.events.since import parse_since
from gbe.http.event_formats import as_record
from gbe.transport.base import Start, StoredMessage, Transport

T = TypeVar("T")

_IN_EVERY: Final = frozenset({"v", "ts", "id"})
_LONGEST: Final = 200
_PAGE: Final = 500

_fields: Final = msgspec.json.Decoder(dict[str, Any])


def parse_event(subject: str, words: Sequence[str], document: str | None) -> bytes:
    """An event from ``field=value`` words, or from a JSON object, as with the parameters of a task.

    Raises:
        InvalidEventError: neither.
    """
    try:
        return parse_params(words, document)
    except InvalidTaskError as exc:
        raise InvalidEventError(subject, "", str(exc).removeprefix("task: params: ")) from None


def publish(settings: Settings, subject: str, document: bytes, *, idempotency_key: str | None, json: bool) -> None:
    """Check an event, store it, print the id of its message."""

    async def main() -> None:
        async with open_events(settings) as (_, events):
            draft = events.draft(subject, document, idempotency_key=idempotency_key)
            message_id = await events.send(draft)
        if json:
            print_json({"id": message_id, "event_id": draft.id, "subject": draft.subject})
        else:
            typer.echo(message_id)

    run(main())


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events to print.

    Attributes:
        patterns: with commas between them, as given.
        start: from where.
        filters: what their fields must be.
        count: how many, ``None`` for all of them.
    """

    patterns: str
    start: Start
    filters: Filters
    count: int | None

    @classmethod
    def parse(cls, patterns: str, since: str, filters: Sequence[str], count: int | None) -> "Wanted":
        """From the options of a command. Raises ``ConfigError``."""
        start = _checked("--since", lambda: parse_since(since, now_ms=SystemClock().now_ms()))
        return cls(patterns, start, _checked("--filter", lambda: Filters.parse(filters)), count)


def _checked(option: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except ValueError as exc:
        raise ConfigError(f"{option}: {exc}") from None


def tail(settings: Settings, wanted: Wanted, *, json: bool) -> None:
    """Print events as they are stored, until interrupted or until there were enough of them."""

    async def main() -> None:
        async with open_events(settings) as (transport, events):
            reader = EventReader(transport, events.names)
            left = wanted.count
            async with reader.follow(reader.patterns(wanted.patterns), wanted.start) as messages:
                async for message in messages:
                    if not wanted.filters.matches(message.envelope.payload):
                        continue
                    _print(reader, message, json=json)
                    left = None if left is None else left - 1
                    if left == 0:
                        return

    run(main())


def history(settings: Settings, wanted: Wanted, *, json: bool) -> None:
    """Print what is stored, the oldest first, and say how to go on if it was enough before the end."""

    async def main() -> None:
        async with open_events(settings) as (transport, events):
            reader = EventReader(transport, events.names)
            patterns = reader.patterns(wanted.patterns)
            left = wanted.count
            async for message in _stored(transport, patterns, wanted.start):
                if not wanted.filters.matches(message.envelope.payload):
                    continue
                _print(reader, message, json=json)
                left = None if left is None else left - 1
                if left == 0:
                    typer.echo(f"further ones, if there are any: --since {message.envelope.id}", err=True)
                    return

    run(main())


async def _stored(transport: Transport, patterns: Sequence[str], start: Start) -> AsyncIterator[StoredMessage]:
    page = await transport.read_page(patterns, start=start, limit=_PAGE)
    while True:
        for message in page.messages:
            yield message
        if page.cursor is None:
            return
        page = await transport.read_page(patterns, cursor=page.cursor, limit=_PAGE)


def _print(reader: EventReader, message: StoredMessage, *, json: bool) -> None:
    subject = reader.relative(message.envelope.subject)
    typer.echo(as_record(message, subject) if json else as_line(message, subject))


def as_line(message: StoredMessage, subject: str) -> str:
    """An event for people: when it was stored, its subject, then its fields without what every event has."""
    payload = message.envelope.payload
    try:
        fields = _fields.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = payload[:_LONGEST].decode(errors="replace")
    else:
        shown = (name for name, value in fields.items() if name not in _IN_EVERY and value is not None)
        text = " ".join(f"{name}={_short(fields[name])}" for name in shown)
    return f"{moment(message.envelope.timestamp)}  {subject}  {clean(text)}"


def _short(value: object) -> str:
    """A word as it is, everything else as JSON."""
    if isinstance(value, str) and value and " " not in value and value.isprintable():
        text = value
    else:
        text = msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
