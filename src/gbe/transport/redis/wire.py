"""Redis entries and messages to envelopes and back (system.md section 3).

A stored message is an entry with the fields ``id``, ``ts``, ``tp`` (if there is one) and ``data``. Its entry id is
``<unix ms>-<microseconds within it><2 digits: place in the batch><6 digits: checksum of the subject>`` of the server's
clock, so that the entries of different subjects compare by arrival. Foreign programs may leave it to the server.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gbe.envelope import Envelope
from gbe.transport.base import Position, StoredMessage

ID: Final = b"id"
TIMESTAMP: Final = b"ts"
TRACEPARENT: Final = b"tp"
DATA: Final = b"data"

REDELIVERY: Final = b"r"
"""What a wake-up says when no message is new, but one comes back to its group."""
UNSTORED: Final = b"v"
"""What it begins with when it brings a message that is not stored."""

_LARGEST: Final = (1 << 64) - 1


def entry_envelope(subject: str, entry_id: bytes, fields: Sequence[bytes]) -> Envelope:
    """The envelope of an entry. One that another program wrote without ``id`` or ``ts`` gets them from its entry id."""
    if len(fields) == 6 and fields[0] == ID and fields[2] == TIMESTAMP and fields[4] == DATA:
        try:
            return Envelope(fields[1].decode(), subject, int(fields[3]), fields[5])
        except ValueError:
            pass  # a foreign one: neither text nor a number, perhaps
    named = dict(zip(fields[::2], fields[1::2], strict=False))
    stamp = named.get(TIMESTAMP, b"")
    timestamp = int(stamp) if stamp.isdigit() and len(stamp) < 20 else int(entry_id.partition(b"-")[0])
    trace = named.get(TRACEPARENT)
    return Envelope(
        named.get(ID, entry_id).decode(errors="replace"),
        subject,
        timestamp,
        named.get(DATA, b""),
        trace.decode(errors="replace") if trace else None,
    )


def stored(subject: str, entry: Sequence[Any]) -> StoredMessage:
    """A message as ``read`` and ``tail`` show it, from ``[entry id, [field, value, …]]``."""
    return StoredMessage(entry_envelope(subject, entry[0], entry[1]), position_of(entry[0]))


def position_of(entry_id: bytes) -> Position:
    """``b"1790000000000-17"`` as a position."""
    major, _, minor = entry_id.partition(b"-")
    return Position(int(major), int(minor or 0))


def entry_id(position: Position) -> str:
    """A position as an entry id; positions of other engines may lie outside what Redis counts."""
    return f"{min(max(position.major, 0), _LARGEST)}-{min(max(position.minor, 0), _LARGEST)}"


def after(position: Position) -> str:
    """The smallest entry id behind a position."""
    if position.minor < _LARGEST:
        return entry_id(Position(position.major, position.minor + 1))
    return entry_id(Position(position.major + 1, 0))


def before(ms: int) -> Position:
    """The last place ahead of a moment."""
    return Position(max(ms, 0) - 1, _LARGEST) if ms > 0 else Position(0, 0)


class _Unstored(msgspec.Struct, array_like=True):
    subject: str
    id: str
    timestamp: int
    payload: bytes
    traceparent: str | None = None


_decoder: Final = msgspec.msgpack.Decoder(_Unstored)


def unstored_message(envelope: Envelope) -> bytes:
    """A message that is not stored, as it goes over a channel behind its place."""
    return msgspec.msgpack.encode(
        _Unstored(envelope.subject, envelope.id, envelope.timestamp, envelope.payload, envelope.traceparent)
    )


def placed(place: bytes, message: bytes) -> bytes:
    """The same with the entry id that it comes behind, as the script puts it."""
    return b"%b%b %b" % (UNSTORED, place, message)


def read_unstored(message: bytes) -> tuple[Position, Envelope] | None:
    """A message that is not stored, and what it comes behind; ``None`` if a channel said something else."""
    place, _, body = message[1:].partition(b" ")
    if message[:1] != UNSTORED:
        return None
    try:
        found = _decoder.decode(body)
        position = position_of(place)
    except (msgspec.DecodeError, ValueError):
        return None
    return position, Envelope(found.id, found.subject, found.timestamp, found.payload, found.traceparent)
