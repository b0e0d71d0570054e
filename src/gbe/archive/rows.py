"""Rows: messages as they stand in an archive's files, one JSON object a line.

===============  =======================================================================================
``v``            version of the row, 1
``id``           the message's id, a ULID
``subject``      where it was published
``position``     its place in the stream, as ``str(Position)``
``timestamp``    when it was published, unix milliseconds
``traceparent``  W3C trace context, or null
``data``         the payload as it came, a string; null if it is not UTF-8 text, or has a NUL
``data_base64``  the payload in base64 where ``data`` is null; otherwise null
===============  =======================================================================================

A payload is never looked into: one that no schema knows, or that is no JSON at all, is kept as it is, byte by byte.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from gbe.archive.batch import Archived
from gbe.envelope import Envelope
from gbe.errors import ArchiveError
from gbe.transport.base import Position

VERSION: Final = 1


class Row(msgspec.Struct, frozen=True, gc=False):
    """One message; see the module's docstring."""

    v: int
    id: str
    subject: str
    position: str
    timestamp: int
    traceparent: str | None = None
    data: str | None = None
    data_base64: bytes | None = None

    @property
    def payload(self) -> bytes:
        """The bytes that were published."""
        return self.data.encode() if self.data is not None else self.data_base64 or b""

    def archived(self) -> Archived:
        """The message; raises ``ValueError`` if the position is none."""
        envelope = Envelope(self.id, self.subject, self.timestamp, self.payload, self.traceparent)
        return Archived(Position.parse(self.position), envelope)


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Row)


def row_of(message: Archived) -> Row:
    """A message as a row."""
    major, minor = message.position
    envelope = message.envelope
    text, raw = _text_of(envelope.payload)
    # by place, and the position put together here: names and str(position) cost as much as all the rest
    position = f"{major}-{minor}"
    return Row(VERSION, envelope.id, envelope.subject, position, envelope.timestamp, envelope.traceparent, text, raw)


def _text_of(payload: bytes) -> tuple[str | None, bytes | None]:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None, payload
    return (None, payload) if "\0" in text else (text, None)  # what databases do not take for text


def encode(messages: Iterable[Archived]) -> bytes:
    """Rows as JSON lines; the same messages are the same bytes, always."""
    return _encoder.encode_lines([row_of(message) for message in messages])


def document(message: Archived) -> dict[str, Any]:
    """A message as a row of plain values: text, numbers and ``None``."""
    found: dict[str, Any] = msgspec.to_builtins(row_of(message))
    return found


def from_document(values: dict[str, Any], where: str) -> Row:
    """Read what ``document`` made. Raises ``ArchiveError``."""
    try:
        return msgspec.convert(values, Row)
    except msgspec.ValidationError as exc:
        raise ArchiveError(f"{where}: not a row of an archive: {exc}") from None


def decode(lines: bytes, where: str) -> Iterator[Row]:
    """Read what ``encode`` wrote.

    Raises:
        ArchiveError: a line that is no row; names the line.
    """
    for number, line in enumerate(lines.splitlines(), 1):
        try:
            yield _decoder.decode(line)
        except msgspec.MsgspecError as exc:
            raise ArchiveError(f"{where}, line {number}: not a row of an archive: {exc}") from None
