"""The binding of an envelope to a NATS message (system.md section 3).

The payload is the body; ``Gbe-Id``, ``Gbe-Timestamp`` and ``traceparent`` are headers. ``Nats-Msg-Id`` is for the
engine's de-duplication, which counts per stream, so it carries the subject too. Everything that goes into a header
here has been checked: none of it can hold a line break.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from gbe.envelope import Envelope, is_traceparent
from gbe.ids import encode_ulid, is_ulid
from gbe.transport.base import Position, StoredMessage

ID: Final = "Gbe-Id"
TIMESTAMP: Final = "Gbe-Timestamp"
TRACEPARENT: Final = "traceparent"
MESSAGE_ID: Final = "Nats-Msg-Id"
SEQUENCE: Final = "Nats-Sequence"
LAST_SEQUENCE: Final = "Nats-Last-Sequence"
ORIGINAL_SUBJECT: Final = "Nats-Subject"
TIME_STAMP: Final = "Nats-Time-Stamp"
SCHEDULE: Final = "Nats-Schedule"

LIVE_PREFIX: Final = "gbe-live"
STORED: Final = f"{LIVE_PREFIX}.s"
"""Where the engine republishes what it has stored: ``gbe-live.s.{subject}``."""
VOLATILE: Final = f"{LIVE_PREFIX}.v"
"""Where ``publish(durable=False)`` goes: ``gbe-live.v.{subject}``."""
SCHEDULED: Final = "gbe-sched"
"""Where a message waits for ``deliver_at``: ``gbe-sched.{subject}.{id}``, in the stream of its subject."""


def scheduled(subject: str, message_id: str) -> str:
    """Where a message waits; ``*`` for the id stands for all of a subject."""
    return f"{SCHEDULED}.{subject}.{message_id}"


_ACK_TOKENS: Final = 9  # $JS.ACK.stream.consumer.delivered.sequence.consumer sequence.nanoseconds.pending
_TIMESTAMP_DIGITS: Final = 16  # milliseconds of any calendar; int() refuses thousands of digits with an error
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def header_lines(envelope: Envelope, idempotency_key: str | None = None) -> str:
    """The headers of a message to be stored, each line ended; more lines may follow.

    De-duplicated is what has the same idempotency key, or without one the same id; a key that looks like an id is
    another thing than that id.
    """
    dedup_key = f"i:{envelope.id}" if idempotency_key is None else f"k:{idempotency_key}"
    trace = f"traceparent: {envelope.traceparent}\r\n" if envelope.traceparent else ""
    return (
        f"Nats-Msg-Id: {envelope.subject}|{dedup_key}\r\n"
        f"Gbe-Id: {envelope.id}\r\nGbe-Timestamp: {envelope.timestamp}\r\n{trace}"
    )


def frame(subject: str, reply: str, headers: str, payload: bytes) -> bytes:
    """One HPUB protocol message (docs.nats.io, client protocol); ``headers`` are lines ended by CRLF."""
    block = f"NATS/1.0\r\n{headers}\r\n".encode()
    target = f"{subject} {reply}" if reply else subject
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (target.encode(), len(block), len(block) + len(payload), block, payload)


def plain_frame(subject: str, reply: str, payload: bytes) -> bytes:
    """One PUB protocol message, without headers."""
    target = f"{subject} {reply}" if reply else subject
    return b"PUB %b %d\r\n%b\r\n" % (target.encode(), len(payload), payload)


def envelope_of(
    subject: str, payload: bytes, headers: Mapping[str, str] | None, sequence: int, stored_ms: int
) -> Envelope:
    """Read an envelope back.

    What another program published without our headers gets an id made of its place in the stream, the same at each
    reading, and the time at which it was stored: nobody's message is lost for want of a header.
    """
    headers = headers or {}
    trace = headers.get(TRACEPARENT)
    if trace is not None and not is_traceparent(trace):
        trace = None
    if _names_itself(headers):
        return Envelope(headers[ID], subject, int(headers[TIMESTAMP]), payload, trace)
    return Envelope(encode_ulid(stored_ms, sequence), subject, stored_ms, payload, trace)


def _names_itself(headers: Mapping[str, str]) -> bool:
    """Whether a message has an id and a time that can be used."""
    timestamp = headers.get(TIMESTAMP, "")
    is_time = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _TIMESTAMP_DIGITS
    return is_time and is_ulid(headers.get(ID, ""))


def stored_ms(headers: Mapping[str, str]) -> int:
    """When the engine stored a message that it sent with its metadata, unix milliseconds."""
    # in integers: a float of seconds is off by a millisecond now and then
    return (datetime.fromisoformat(headers[TIME_STAMP]) - _EPOCH) // _MILLISECOND


def stored_message(payload: bytes, headers: Mapping[str, str]) -> StoredMessage:
    """A message that the engine sent with its metadata in headers (direct get, republish)."""
    sequence = int(headers[SEQUENCE])
    subject = headers[ORIGINAL_SUBJECT]
    # the time is parsed for those only that need it: it is slow
    stored = 0 if _names_itself(headers) else stored_ms(headers)
    return StoredMessage(envelope_of(subject, payload, headers, sequence, stored), Position(sequence))


class AckSubject:
    """What the engine says about a delivery in its acknowledgement subject (both forms: plain, and with a domain)."""

    __slots__ = ("attempt", "consumer_sequence", "sequence", "stored_ms", "stream")

    def __init__(self, reply: str) -> None:
        tokens = reply.split(".")
        # the form with domain and account hash has two tokens more in front, and may have one behind
        first = 2 if len(tokens) == _ACK_TOKENS else 4
        self.stream = tokens[first]
        self.attempt = int(tokens[first + 2])
        self.sequence = int(tokens[first + 3])
        self.consumer_sequence = int(tokens[first + 4])
        self.stored_ms = int(tokens[first + 5]) // 1_000_000
