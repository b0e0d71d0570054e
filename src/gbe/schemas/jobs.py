"""Payloads of ``gbe.jobs.{job_type}.{created|completed|failed|cancelled}``: JSON with ``v``, ``ts`` and ``id``."""

from typing import Annotated, Final, Literal

import msgspec

from gbe.schemas.decoding import decoded
from gbe.schemas.fields import Moment, PayloadId, TypeName, Ulid, Version

VERSION: Final = 1

JobWord = Literal["created", "completed", "failed", "cancelled"]
Run = Annotated[int, msgspec.Meta(ge=1, le=255)]


class JobEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job was started, or has ended.

    Attributes:
        v, ts, id: version, when (unix ms), and ``{job_id}.{run}.{state}``.
        job_id, job_type: which job.
        state: ``created``, ``completed``, ``failed`` or ``cancelled``.
        run: 1, and one more for each retry.
        error: why it failed.
    """

    v: Version
    ts: Moment
    id: PayloadId
    job_id: Ulid
    job_type: TypeName
    state: JobWord
    run: Run = 1
    error: str | None = None


_encoder: Final = msgspec.json.Encoder()
_events: Final = msgspec.json.Decoder(JobEvent)


def encode(event: JobEvent) -> bytes:
    """The payload as JSON."""
    return _encoder.encode(event)


def decode_event(payload: bytes) -> JobEvent:
    """Read an event; raises ``InvalidEnvelopeError``."""
    return decoded(_events, payload, "a job event")
