"""Redis entries and messages to envelopes and back (system.md section 3).

A stored message is an entry with the fields ``id``, ``ts``, ``tp`` (if there is one) and ``data``. Its entry id is
``<unix ms>-<microseconds within it><2 digits: place in the batch><6 digits: checksum of the subject>`` of the server's
clock, so that the entries of different subjects compare by arrival. Foreign programs may leave it to the server.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gbe.envelope import Envelope, is_traceparent
from gbe.ids import decode_ulid, encode_ulid, is_ulid
from gbe.schemas.documents import FAULTS
from gbe.transport.base import Position, StoredMessage

ID: Final = b"id"
TIMESTAMP: Final = b"ts"
TRACEPARENT: Final = b"tp"
DATA: Final = b"data"

REDELIVERY: Final = b"r"
"""What a wake-up says when no message is new, but one comes back to its group."""
UNSTORED: Final = b"v"
"""What it begins with when it brings a message that is not stored."""

_new_tuple: Final = tuple.__new__
_LARGEST: Final = (1 << 64) - 1
_LAST_ULID_MS: Final = (1 << 48) - 1
_TIMESTAMP_DIGITS: Final = 16  # milliseconds of any calendar; int() refuses thousands of digits with an error


def entry_envelope(subject: str, entry_id: bytes, fields: Sequence[bytes]) -> Envelope:
    """The envelope of an entry.

    What another program wrote without a proper ``id`` and ``ts`` gets an id made of its place in the stream, the same
    at each reading, and the time at which it was stored: nobody's message is lost for want of a field.
    """
    trace = None
    if len(fields) == 6 and fields[0] == ID and fields[2] == TIMESTAMP and fields[4] == DATA:
        raw_id, stamp, payload = fields[1], fields[3], fields[5]
    else:
        named = dict(zip(fields[::2], fields[1::2], strict=False))
        raw_id, stamp, payload = named.get(ID, b""), named.get(TIMESTAMP, b""), named.get(DATA, b"")
        trace = _traceparent(named.get(TRACEPARENT, b""))
    message_id = raw_id.decode("ascii", "replace")
    if is_ulid(message_id) and stamp.isdigit() and len(stamp) <= _TIMESTAMP_DIGITS:
        return Envelope(message_id, subject, int(stamp), payload, trace)
    place = position_of(entry_id)
    return Envelope(place_id(place), subject, place.major, payload, trace)


def place_id(place: Position) -> str:
    """The id of a message that was stored without one: a ULID of its place."""
    return encode_ulid(min(place.major, _LAST_ULID_MS), place.minor)


def place_named(message_id: str) -> Position | None:
    """The place that such an id names; ``None`` if it cannot be one."""
    ms, minor = decode_ulid(message_id)
    return Position(ms, minor) if minor <= _LARGEST else None


def _traceparent(raw: bytes) -> str | None:
    text = raw.decode("ascii", "replace")
    return text if is_traceparent(text) else None


def stored(subject: str, entry: Sequence[Any]) -> StoredMessage:
    """A message as ``read`` and ``tail`` show it, from ``[entry id, [field, value, …]]``."""
    return StoredMessage(entry_envelope(subject, entry[0], entry[1]), position_of(entry[0]))


def position_of(entry_id: bytes) -> Position:
    """``b"1790000000000-17"`` as a position."""
    major, _, minor = entry_id.partition(b"-")
    return _new_tuple(
        Position, (int(major), int(minor or 0))
    )  # half the time of Position(...): this is done per message


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
    except FAULTS:
        return None
    return position, Envelope(found.id, found.subject, found.timestamp, found.payload, found.traceparent)
