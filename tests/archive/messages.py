"""Batches for tests, without an engine."""

from collections.abc import Sequence

from gbe.archive.batch import Archived, Batch, day_of
from gbe.envelope import Envelope
from gbe.ids import encode_ulid
from gbe.transport.base import Position

DAY_MS = 86_400_000
SUBJECT = "gbe.events.audit.change"


def batch(first: int, count: int, *, timestamp: int = DAY_MS * 20_000, payloads: Sequence[bytes] = ()) -> Batch:
    """``count`` messages from position ``first + 1`` on; the same arguments make the same batch."""
    messages = tuple(
        Archived(
            Position(number + 1),
            Envelope(
                encode_ulid(timestamp, number),
                SUBJECT,
                timestamp,
                payloads[number - first] if payloads else b'{"n": %d}' % number,
            ),
        )
        for number in range(first, first + count)
    )
    return Batch(SUBJECT, day_of(timestamp), messages)
