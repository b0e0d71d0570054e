"""Payloads of ``gbe.jobs.{job_type}.{created|completed|failed|cancelled}``: JSON with ``v``, ``ts`` and ``id``."""

from typing import Final

import msgspec

from gbe.errors import InvalidEnvelopeError

VERSION: Final = 1


class JobEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job was started, or has ended.

    Attributes:
        v, ts, id: version, when (unix ms), and ``{job_id}.{run}.{state}``.
        job_id, job_type: which job.
        state: ``created``, ``completed``, ``failed`` or ``cancelled``.
        run: 1, and one more for each retry.
        error: why it failed.
    """

    v: int
    ts: int
    id: str
    job_id: str
    job_type: str
    state: str
    run: int = 1
    error: str | None = None


_encoder: Final = msgspec.json.Encoder()
_events: Final = msgspec.json.Decoder(JobEvent)


def encode(event: JobEvent) -> bytes:
    """The payload as JSON."""
    return _encoder.encode(event)


def decode_event(payload: bytes) -> JobEvent:
    """Read an event; raises ``InvalidEnvelopeError``."""
    try:
        return _events.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise InvalidEnvelopeError(f"not a job event: {exc}") from exc
