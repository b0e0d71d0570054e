"""Payloads of ``gbe.events.system.sweep`` and ``…error``: JSON, each with ``v``, ``ts`` and ``id``."""

from typing import Final

import msgspec

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

    v: int = VERSION
    ts: int
    id: str
    sweeper: str
    signalled: int = 0
    waiting: int = 0
    retried: int = 0
    failed: int = 0
    contended: int = 0
    took_ms: int = 0


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something that an operator should know of."""

    v: int = VERSION
    ts: int
    id: str
    source: str
    error: str
    task_type: str | None = None
    task_id: str | None = None


_encoder: Final = msgspec.json.Encoder()


def encode(payload: SweepReport | Fault) -> bytes:
    """The payload as JSON."""
    return _encoder.encode(payload)
