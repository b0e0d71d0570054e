"""How records and deadlines lie in a JetStream stream.

The stream ``KV_{bucket}`` is a KV bucket as the NATS tools know it: the record of a key is the last message on
``$KV.{bucket}.{key}``, a MessagePack map of field name to bytes; a deleted one ends in a message with
``KV-Operation: DEL``.

**The deadline index** lies in the same stream, as empty messages: ``gbe-due.{bucket}.{index}.{13 digits}.{key}``, with
each decimal digit of the deadline a token of its own. All deadlines up to a moment are then covered by some sixty
wildcard patterns (for 1790…: ``0.>``, then ``1.0.>`` to ``1.6.>``, …), and the engine's subject tree answers each
without looking at what lies outside it: a look-up costs what it finds.

The rule that keeps it true: **for every record with a deadline D there is an entry at D or earlier.** So

- a write that sets a deadline, or moves one to an earlier time, stores the entry ahead of the record, and the record
  on condition that nobody has written it meanwhile;
- a write that moves a deadline to a later time (the renewal of a lease, by far the most frequent) stores no entry:
  the old one still stands earlier;
- an entry that comes due and finds its record's deadline later, or gone, has lapsed: ``due`` stores the entry where
  the deadline is now, then deletes the lapsed one by its sequence, so that an entry written meanwhile stays. If the
  record is older than the lapsed entry, the write that belongs to the entry may still be on its way, held up for
  however long: then ``due`` first writes the record as it is, so that the other one's condition fails.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from gbe.schemas.documents import FAULTS

DIGITS: Final = 13
MESSAGE_ID: Final = "Nats-Msg-Id"
SEQUENCE: Final = "Nats-Sequence"
SUBJECT: Final = "Nats-Subject"
EXPIRES: Final = "Gbe-Expires"  # unix milliseconds: a write that keeps the end of life computes the rest from it
OPERATION: Final = "KV-Operation"
MARKER: Final = "Nats-Marker-Reason"
TOMBSTONE_SECONDS: Final = 3600
"""How long a removal can be read: a watcher that was away for longer cannot know what it missed."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(dict[str, bytes])


@dataclass(frozen=True, slots=True)
class Stored:
    """The last message of a record's subject.

    Attributes:
        sequence: what a compare-and-set compares; 0 if the subject has no message.
        fields: ``None`` if the record is not there.
        expires: unix milliseconds, ``None`` for a record without an end.
        write: the id of the write that stored it.
    """

    sequence: int
    fields: dict[str, bytes] | None
    expires: int | None = None
    write: str = ""


NOTHING: Final = Stored(0, None)


class Names:
    """The subjects of one bucket."""

    def __init__(self, bucket: str) -> None:
        self.stream = f"KV_{bucket}"
        self._records, self._entries = f"$KV.{bucket}.", f"gbe-due.{bucket}."

    @property
    def subjects(self) -> list[str]:
        """What the stream stores."""
        return [f"{self._records}>", f"{self._entries}>"]

    def record(self, key: str) -> str:
        """The subject of a record; also of a prefix, before ``.>``."""
        return self._records + key

    def key(self, subject: str) -> str:
        """The key of a record's subject."""
        return subject[len(self._records) :]

    def entry(self, index: str, deadline: int, key: str) -> str:
        """The subject of an index entry."""
        return f"{self._entries}{index}.{'.'.join(f'{deadline:013d}')}.{key}"

    def entry_of(self, index: str, subject: str) -> tuple[int, str]:
        """Deadline and key of an entry's subject."""
        rest = subject[len(self._entries) + len(index) + 1 :]
        return int(rest[: 2 * DIGITS : 2]), rest[2 * DIGITS :]

    def due_patterns(self, index: str, before: int) -> Iterator[str]:
        """Patterns that cover exactly the entries up to and with ``before``, the earliest first."""
        start, digits = f"{self._entries}{index}.", f"{before + 1:014d}"
        if digits[0] != "0":  # beyond the last deadline: all of them
            yield f"{start}>"
            return
        digits = digits[1:]
        for place, digit in enumerate(digits):
            head = "".join(f"{d}." for d in digits[:place])
            for lower in range(int(digit)):
                yield f"{start}{head}{lower}.>"


def encode(fields: Mapping[str, bytes]) -> bytes:
    """The body of a record's message."""
    return _encoder.encode(fields)


def decode(body: bytes) -> dict[str, bytes] | None:
    """What ``encode`` wrote; ``None`` for what somebody else put into the bucket."""
    try:
        return _decoder.decode(body)
    except FAULTS:
        return None


def stored(body: bytes, headers: Mapping[str, str], sequence: int) -> Stored:
    """A record's message as a value."""
    if OPERATION in headers or MARKER in headers:
        return Stored(sequence, None, None, headers.get(MESSAGE_ID, ""))
    expires = headers.get(EXPIRES, "")
    ends = int(expires) if expires.isascii() and expires.isdigit() else None
    return Stored(sequence, decode(body), ends, headers.get(MESSAGE_ID, ""))


def parse_headers(block: bytes) -> dict[str, str]:
    """The header lines of a message that the JetStream API returned."""
    lines = block.decode(errors="replace").split("\r\n")[1:]
    return {name: value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}
