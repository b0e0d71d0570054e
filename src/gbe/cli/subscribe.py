"""``gbe subscribe``: the messages of topics as they come, from any ntfy-compatible server, through its outages.

A connection is one GET of JSON lines. When it is lost the next one asks for what came after the last message, and what
was seen before is dropped, so the output has neither gaps nor repetitions.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import httpx
import msgspec
from rich.console import Console
from rich.text import Text

from gbe.cli.client import (
    AnswerLostError,
    ClientError,
    RefusedError,
    Target,
    UnreachableError,
    local_time,
    not_ntfy,
    notice,
    open_client,
    pauses,
    printable,
    printable_json,
    refusal,
    translated,
)
from gbe.notify.durations import parse_duration_ms
from gbe.notify.since import Replay

READ_TIMEOUT: Final = 77.0  # the server gives a sign of life every 45 s; ntfy's own clients wait as long
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 10.0
_REMEMBERED: Final = 10_000  # ids of messages that a reconnect may bring again
_LONGEST_LINE: Final = 16 * 1024 * 1024
_LONGEST_VARIABLE: Final = 100_000  # Linux takes 128 KiB for one variable, name included
_PRIORITIES: Final = (
    (1, "min", "dim"),
    (2, "low", "dim"),
    (3, "default", ""),
    (4, "high", "yellow"),
    (5, "max", "bold red"),
)
_PRIORITY_LOOKS: Final = {number: (name, style) for number, name, style in _PRIORITIES}
_SHOWN: Final = frozenset({"message", "message_clear", "message_delete"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to ask the server for; values are checked by the server.

    Attributes:
        filters: by name of the query parameter: ``id``, ``message``, ``title``, ``priority``, ``tags``.
    """

    since: str | None = None
    poll: bool = False
    scheduled: bool = False
    filters: Mapping[str, str | None]

    def parameters(self, since: str | None) -> dict[str, str]:
        """The query string, with the position to start from."""
        values = {"poll": self.poll and "1", "scheduled": self.scheduled and "1", "since": since, **self.filters}
        return {name: value for name, value in values.items() if value}


class _Attachment(msgspec.Struct):
    name: str = ""
    url: str = ""


class Event(msgspec.Struct):
    """The fields of the message object that we show; the rest is skipped."""

    id: str
    event: str
    time: int = 0
    topic: str = ""
    expires: int | None = None
    sequence_id: str | None = None
    title: str | None = None
    message: str | None = None
    priority: int | None = None
    tags: list[str] | None = None
    click: str | None = None
    attachment: _Attachment | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """An event and the line that it came in."""

    event: Event
    line: str


# -- where to go on after an outage


class Position:
    """How far a subscription has come.

    Args:
        since: where the user wants it to start.
        scheduled: whether messages come along that are not due yet.
    """

    def __init__(self, since: str | None, *, scheduled: bool = False) -> None:
        self._since, self._scheduled = since, scheduled
        self._opened: int | None = None
        self._last: str | None = None
        self._seen: dict[str, None] = {}

    @property
    def since(self) -> str | None:
        """What the next connection asks for."""
        if self._last is not None:
            return self._last
        if self._opened is None:
            return self._since
        return _since_the_opening(self._since, self._opened)

    def open(self, moment: int) -> None:
        """The stream stands; ``moment`` is the server's clock. Whatever comes later must be seen."""
        if self._opened is None:
            self._opened = moment

    def advance(self, event: Event) -> bool:
        """Take note of an event; false if it was seen before."""
        if event.id in self._seen:
            return False
        self._seen[event.id] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        # a server replays everything after an id that it does not know. It never stored what does not expire, and
        # what is not due yet is no position to go on from
        if event.expires is not None and not (self._scheduled and event.time > time.time()):
            self._last = event.id
        return True


def _since_the_opening(since: str | None, opened: int) -> str:
    """A ``since`` that means the same when it is asked later, for a stream that brought nothing so far."""
    if since in (None, "", "1", Replay.NONE.value, Replay.LATEST.value):
        return str(opened)
    duration = parse_duration_ms(since) if since != "0" else None
    return since if duration is None else str(opened - duration // 1000 - 1)


# -- the stream


class Subscription:
    """The events of a target, over as many connections as it takes.

    Args:
        retry: seconds for which a poll or the first connection is tried; a later connection is tried for ever.
    """

    def __init__(self, client: httpx.Client, target: Target, query: Query, *, retry: float) -> None:
        self._client, self._target, self._query = client, target, query
        self._deadline = time.monotonic() + retry
        self._position = Position(query.since, scheduled=query.scheduled)
        self._pauses = pauses(FIRST_PAUSE, LONGEST_PAUSE)
        self._stood = False
        self._lost = False

    def events(self) -> Generator[Received, None, None]:
        """Every event that is to be shown, once. Ends if only stored ones were asked for.

        Raises:
            ClientError: the server refuses, or the first connection did not come about.
        """
        while True:
            pause = next(self._pauses)
            try:
                yield from self._connection()
                if self._query.poll:
                    return
                loss: ClientError = AnswerLostError(self._target.server, "it ended the stream")
            except (UnreachableError, AnswerLostError, RefusedError) as exc:
                if not self._worth_another(exc, pause):
                    raise
                loss = exc
            if self._stood and not self._lost:  # once an outage
                notice(f"{loss}; connecting again")
            self._lost = True
            time.sleep(pause)

    def _worth_another(self, exc: UnreachableError | AnswerLostError | RefusedError, pause: float) -> bool:
        if self._stood and not self._query.poll:
            # it worked before: what is not a plain refusal is an outage, and those pass
            return not isinstance(exc, RefusedError) or exc.http >= 500 or exc.temporary
        in_time = time.monotonic() + pause <= self._deadline
        return in_time and (isinstance(exc, AnswerLostError) or exc.temporary)

    def _connection(self) -> Iterator[Received]:
        server, url = self._target.server, self._target.url("/json")
        parameters = self._query.parameters(self._position.since)
        with (
            translated(server),
            # httpx takes credentials out of a request that is redirected to another host
            self._client.stream("GET", url, params=parameters, follow_redirects=True) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise refusal(server, response)
            if "x-messages-truncated" in response.headers:
                notice("the server has more stored messages than it sends: the oldest are missing")
            for line in lines(server, response.iter_bytes()):
                received = self._read(line)
                if received is not None:
                    yield received
        if not self._stood and not self._query.poll:
            raise not_ntfy(server)

    def _read(self, line: bytes) -> Received | None:
        try:
            event = msgspec.json.decode(line, type=Event)
        except (msgspec.DecodeError, UnicodeDecodeError):
            if not self._stood:
                raise not_ntfy(self._target.server) from None
            notice("skipped a line that is not a message")
            return None
        if event.event == "open":
            self._position.open(event.time)
            if self._lost and self._stood:
                notice("connected again")
        else:
            self._pauses = pauses(FIRST_PAUSE, LONGEST_PAUSE)  # not at open: it may be lost again at once
        self._stood, self._lost = True, False
        if event.event not in _SHOWN or not self._position.advance(event):
            return None
        return Received(event, line.decode("utf-8"))


def lines(server: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a body, without their ends and without empty ones.

    ``httpx.Response.iter_lines`` would also split at U+2028 and its like, which JSON allows within a string.

    Raises:
        ClientError: a line is longer than any message.
    """
    rest = bytearray()
    for piece in pieces:
        *complete, last = piece.split(b"\n")
        for part in complete:
            line = bytes(rest + part).strip()
            rest.clear()
            if line:
                yield line
        rest += last
        if len(rest) > _LONGEST_LINE:
            raise not_ntfy(server)


# -- what becomes of an event

Output = Callable[[Received], None]


def rendered(event: Event) -> Text:
    """An event as a line for people: time, topic, priority, title, message, tags. Nothing in it acts on a terminal."""
    name, style = _PRIORITY_LOOKS.get(event.priority or 3, ("default", ""))
    when = local_time(event.time)
    text = Text()
    text.append(when, "dim")
    text.append(f"  {printable(event.topic)}  ", "cyan")
    text.append(f"{name:<7}", style)
    if event.title:
        text.append(f"  {printable(event.title)}", f"bold {style}".strip())
    if event.event == "message":
        # further lines are set in, so that no message can pass for two
        message = printable(event.message or "", keep="\n").replace("\n", "\n" + " " * (len(when) + 2))
        text.append(f"  {message}")
    else:
        done = "deleted" if event.event == "message_delete" else "read"
        text.append(f"  {printable(event.sequence_id or '')} {done}", "italic")
    if event.tags:
        text.append("  " + " ".join(f"#{printable(tag)}" for tag in event.tags), "green")
    for address in (event.click, event.attachment and event.attachment.url):
        if address:
            text.append(f"  {printable(address)}", "blue")
    return text


def for_people() -> Output:
    """Write lines, in colour on a terminal."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a locale without these characters is no reason to stop
    console = Console(highlight=False, emoji=False, markup=False)

    def write(received: Received) -> None:
        console.print(rendered(received.event), soft_wrap=True)
        sys.stdout.flush()

    return write


def for_programs() -> Output:
    """Write the server's JSON, one object a line."""

    def write(received: Received) -> None:
        sys.stdout.buffer.write(printable_json(received.line).encode("utf-8") + b"\n")
        sys.stdout.buffer.flush()

    return write


def to_command(command: str) -> Output:
    """Run a command for every message: no shell, fields in its environment, the JSON on its standard input.

    Raises:
        ClientError: it cannot be run.
    """
    try:
        argv = shlex.split(command)
    except ValueError as exc:
        raise ClientError(f"--exec: {str(exc).lower()} in {command!r}") from exc
    if not argv or shutil.which(argv[0]) is None:
        raise ClientError(f"--exec: there is no program {argv[0] if argv else command!r}")

    def run(received: Received) -> None:
        if received.event.event != "message":
            return
        environment = {**os.environ, **variables(received)}
        try:
            done = subprocess.run(argv, env=environment, input=received.line.encode("utf-8"), check=False)  # noqa: S603 - the user's own command; no field of a message is in it
        except OSError as exc:
            notice(f"{argv[0]} does not run: {(exc.strerror or str(exc)).lower()}")
            return
        if done.returncode:
            notice(f"{argv[0]} ended with status {done.returncode} for message {printable(received.event.id)}")

    return run


def variables(received: Received) -> dict[str, str]:
    """The environment of a command: all of these are always set, so that none is left from outside."""
    event = received.event
    values = {
        "NTFY_ID": event.id,
        "NTFY_TIME": str(event.time),
        "NTFY_TOPIC": event.topic,
        "NTFY_TITLE": event.title or "",
        "NTFY_MESSAGE": event.message or "",
        "NTFY_PRIORITY": str(event.priority or 3),
        "NTFY_TAGS": ",".join(event.tags or ()),
        "NTFY_CLICK": event.click or "",
        "NTFY_SEQUENCE_ID": event.sequence_id or event.id,
        "NTFY_RAW": received.line,
    }
    return {name: _variable(value) for name, value in values.items()}


def _variable(value: str) -> str:
    value = value.replace("\0", "")
    # what does not fit is empty rather than cut: the whole object is on standard input
    return value if len(value.encode("utf-8", "replace")) <= _LONGEST_VARIABLE else ""


def subscribe(
    target: Target, credentials: dict[str, str], query: Query, output: Output, *, count: int | None, retry: float
) -> None:
    """Hand events to ``output`` until there are enough messages; without ``count``, until the user stops it.

    Raises:
        ClientError: the server refuses, or the first connection did not come about within ``retry`` seconds.
    """
    left = count
    with (
        open_client({**credentials, "Accept-Encoding": "identity"}, read_timeout=READ_TIMEOUT) as client,
        closing(Subscription(client, target, query, retry=retry).events()) as events,
    ):
        for received in events:
            output(received)
            if left is not None and received.event.event == "message":
                left -= 1
                if left == 0:
                    return
