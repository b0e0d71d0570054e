"""Payloads of ``gbe.events.system.sweep`` and ``…error``: JSON, each with ``v``, ``ts`` and ``id``."""

from typing import Final

import msgspec

from gbe.schemas.fields import Count, Moment, PayloadId, Version

VERSION: Final = 1


class SweepReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one sweep did.

    Attributes:
        ts, id: when it ended (unix ms), and which sweep it was.
        sweeper: who swept.
        signalled: pending tasks whose signal was published again.
        waiting: pending tasks whose signal still lies in its queue, or whose type is paused.
        retried: tasks whose holder was gone, and which wait for another one.
        failed: tasks whose time or budget was spent.
        contended: tasks that somebody else moved meanwhile.
        took_ms: how long it took.
    """

    v: Version = VERSION
    ts: Moment
    id: PayloadId
    sweeper: str
    signalled: Count = 0
    waiting: Count = 0
    retried: Count = 0
    failed: Count = 0
    contended: Count = 0
    took_ms: Count = 0


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that an operator should know of."""

    v: Version = VERSION
    ts: Moment
    id: PayloadId
    source: str
    error: str
    task_type: str | None = None
    task_id: str | None = None


_encoder: Final = msgspec.json.Encoder()


def encode(payload: SweepReport | Fault) -> bytes:
    """The payload as JSON."""
    return _encoder.encode(payload)
