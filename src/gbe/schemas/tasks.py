"""Payloads of ``gbe.tasks.…`` (system.md section 3): JSON, each with ``v``, ``ts`` and ``id``.

A signal says that a task waits; what it carries of the task spares the worker a look into the state store, and is
true as long as the claim that names its ``attempt`` succeeds.
"""

from typing import Annotated, Final, Literal

import msgspec

from gbe.schemas.decoding import decoded
from gbe.schemas.fields import Count, Moment, PayloadId, Subject, TypeName, Ulid, Version

VERSION: Final = 1

EndState = Literal["completed", "failed", "cancelled"]
StepSeconds = Annotated[float, msgspec.Meta(ge=0)]


class TaskSignal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task waits in its queue.

    Attributes:
        v, ts, id: version, when it was signalled (unix ms), and ``{task_id}.{attempt}``.
        task_id: the task.
        attempt: claims before this signal; the next one is ``attempt + 1``.
        retry_count: attempts that have failed.
        created_at: when it was submitted, unix milliseconds.
        max_retries, step_timeout: of this task, where they differ from those of its type.
        deadline: end of its whole time, unix milliseconds.
        key: what its limits per key go by.
        reply_to: the subject where its submitter listens.
        params: as JSON; absent: they are in the record.
        job_id: the job it is part of.
        attempt_trace: the trace context of the first attempt, which later ones link to.
    """

    v: Version
    ts: Moment
    id: PayloadId
    task_id: Ulid
    attempt: Count
    created_at: Moment
    retry_count: Count = 0
    max_retries: Count | None = None
    step_timeout: StepSeconds | None = None
    deadline: Moment | None = None
    key: str | None = None
    reply_to: Subject | None = None
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    job_id: Ulid | None = None
    attempt_trace: str | None = None


class TaskProgress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A running task has come so far."""

    v: Version
    ts: Moment
    id: PayloadId
    task_id: Ulid
    task_type: TypeName
    attempt: Count
    worker: str
    done: Count
    total: Count | None = None
    note: str = ""


class TaskOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task has ended.

    Attributes:
        state: ``completed``, ``failed`` or ``cancelled``.
        run_ms: how long its last attempt ran.
        result: as JSON, in replies only, and only if it is not large.
    """

    v: Version
    ts: Moment
    id: PayloadId
    task_id: Ulid
    task_type: TypeName
    state: EndState
    attempt: Count
    retry_count: Count = 0
    error: str | None = None
    worker: str | None = None
    run_ms: Count | None = None
    job_id: Ulid | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_encoder: Final = msgspec.json.Encoder()
_signals: Final = msgspec.json.Decoder(TaskSignal)
_progress: Final = msgspec.json.Decoder(TaskProgress)
_outcomes: Final = msgspec.json.Decoder(TaskOutcome)


def encode(payload: TaskSignal | TaskProgress | TaskOutcome) -> bytes:
    """The payload as JSON."""
    return _encoder.encode(payload)


def decode_signal(payload: bytes) -> TaskSignal:
    """Read a signal; raises ``InvalidEnvelopeError``."""
    return decoded(_signals, payload, "a task signal")


def decode_progress(payload: bytes) -> TaskProgress:
    """Read progress; raises ``InvalidEnvelopeError``."""
    return decoded(_progress, payload, "task progress")


def decode_outcome(payload: bytes) -> TaskOutcome:
    """Read an outcome; raises ``InvalidEnvelopeError``."""
    return decoded(_outcomes, payload, "a task outcome")
