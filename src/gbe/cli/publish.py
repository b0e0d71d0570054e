"""``gbe publish``: one message to one topic of any ntfy-compatible server."""

import base64
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

import httpx
import msgspec

from gbe.cli.client import (
    AnswerLostError,
    ClientError,
    RefusedError,
    Target,
    UnreachableError,
    local_time,
    not_ntfy,
    open_client,
    pauses,
    printable,
    printable_json,
    read_answer,
    refusal,
    translated,
)
from gbe.notify.text import clean, one_line

READ_TIMEOUT: Final = 60.0
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 5.0
STDIN: Final = "-"

_WORD_BYTES: Final = 45  # in base64 60 characters: a word of RFC 2047 has at most 75


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message as the command line gives it; the server checks the values.

    Attributes:
        message: the text, ``-`` for standard input, ``None`` for what is piped in, if anything.
        file: a file to upload instead, ``-`` for standard input; the message becomes its caption.
        tags: each may be a list with commas.
        cache: ``None`` leaves it to the server.
    """

    message: str | None = None
    file: Path | None = None
    filename: str | None = None
    title: str | None = None
    priority: str | None = None
    tags: Sequence[str] = ()
    click: str | None = None
    icon: str | None = None
    actions: str | None = None
    markdown: bool = False
    delay: str | None = None
    email: str | None = None
    attach: str | None = None
    sequence_id: str | None = None
    cache: bool | None = None

    def headers(self) -> dict[str, str]:
        """The options as headers, without those that are not given."""
        values = {
            "X-Title": self.title,
            "X-Priority": self.priority,
            "X-Tags": ",".join(self.tags),
            "X-Click": self.click,
            "X-Icon": self.icon,
            "X-Actions": self.actions,
            "X-Markdown": "yes" if self.markdown else None,
            "X-Delay": self.delay,
            "X-Email": self.email,
            "X-Attach": self.attach,
            "X-Filename": self._filename(),
            "X-Sequence-ID": self.sequence_id,
            "X-Cache": None if self.cache is None else "yes" if self.cache else "no",
            # a header has one line; ntfy reads these two characters as a newline
            "X-Message": self.message.replace("\n", "\\n") if self.file and self.message else None,
        }
        return {name: header_value(value) for name, value in values.items() if value}

    def open_body(self) -> BinaryIO:
        """The body, to be read from its start: the file, else the message.

        Raises:
            ClientError: the file cannot be read.
        """
        if self.file is not None:
            if str(self.file) == STDIN:
                return BytesIO(sys.stdin.buffer.read())
            try:
                file = self.file.open("rb")
                if file.seekable():
                    return file
                with file:
                    return BytesIO(file.read())  # a pipe: a second attempt starts over
            except OSError as exc:
                raise ClientError(f"cannot read {self.file}: {(exc.strerror or str(exc)).lower()}") from exc
        if self.message == STDIN or (self.message is None and self.attach is None and not sys.stdin.isatty()):
            return BytesIO(sys.stdin.buffer.read())
        return BytesIO((self.message or "").encode("utf-8", "surrogateescape"))

    def _filename(self) -> str | None:
        if self.filename or self.file is None:
            return self.filename
        return "stdin" if str(self.file) == STDIN else self.file.name


def header_value(text: str) -> str:
    """``text`` as a header can carry it: as it is if that is safe, else in words of RFC 2047.

    A header has one line and no control characters: they become blanks, as they would on the server.
    """
    text = one_line(clean(text))
    if text.isascii() and text.isprintable() and "=?" not in text:
        return text
    words: list[str] = []
    raw = text.encode("utf-8")
    start = 0
    while start < len(raw):
        end = min(start + _WORD_BYTES, len(raw))
        while end < len(raw) and raw[end] & 0xC0 == 0x80:  # not between the bytes of one character
            end -= 1
        words.append(f"=?UTF-8?B?{base64.b64encode(raw[start:end]).decode('ascii')}?=")
        start = end
    return " ".join(words)  # white space between two words does not count


class _Published(msgspec.Struct):
    id: str
    topic: str
    time: int


def publish(
    target: Target, credentials: dict[str, str], draft: Draft, *, retry: float, json: bool, quiet: bool
) -> None:
    """Publish and say so.

    Args:
        credentials: headers of ``client.authorization``.
        retry: seconds for which a server that is busy or not there is asked again.
        json: print the server's answer instead of words.
        quiet: print nothing.

    Raises:
        ClientError: it was not published; or, if it is ``AnswerLostError``, perhaps it was.
    """
    with ExitStack() as stack:
        body = stack.enter_context(draft.open_body())
        client = stack.enter_context(open_client(credentials, read_timeout=READ_TIMEOUT))
        answer = _send(client, target, draft.headers(), body, retry)
    try:
        published = msgspec.json.decode(answer, type=_Published)
    except msgspec.DecodeError as exc:
        raise not_ntfy(target.server) from exc
    if not quiet:
        line = printable_json(answer.decode("utf-8", "replace").strip()) if json else _said(published)
        sys.stdout.buffer.write(line.encode("utf-8") + b"\n")
        sys.stdout.flush()


def _send(client: httpx.Client, target: Target, headers: dict[str, str], body: BinaryIO, retry: float) -> bytes:
    """Ask until there is an answer, for ``retry`` seconds. What may have been taken is not sent twice."""
    deadline = time.monotonic() + retry
    for pause in pauses(FIRST_PAUSE, LONGEST_PAUSE):
        body.seek(0)
        try:
            return _attempt(client, target, headers, body)
        except (UnreachableError, RefusedError) as exc:
            if not exc.temporary or time.monotonic() + pause > deadline:
                raise
        except AnswerLostError as exc:
            raise ClientError(f"{exc}; the message may have been published or not") from exc
        time.sleep(pause)
    raise AssertionError  # pauses never end


def _attempt(client: httpx.Client, target: Target, headers: dict[str, str], body: BinaryIO) -> bytes:
    server = target.server
    with translated(server), client.stream("POST", target.url(), headers=headers, content=body) as response:
        if response.status_code != httpx.codes.OK:
            raise refusal(server, response)
        return read_answer(server, response)


def _said(published: _Published) -> str:
    identity, topic = printable(published.id), printable(published.topic)
    if published.time > time.time() + 5.0:  # nearer than any delay may be, and clocks differ
        return f"scheduled {identity} to {topic} for {local_time(published.time)}"
    return f"published {identity} to {topic}"
