"""Payloads of ``gbe.tasks.…`` (system.md section 3): JSON, each with ``v``, ``ts`` and ``id``.

A signal says that a task waits; what it carries of the task spares the worker a look into the state store, and is
true as long as the claim that names its ``attempt`` succeeds.
"""

from typing import Final, TypeVar

import msgspec

from gbe.errors import InvalidEnvelopeError

VERSION: Final = 1


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

    v: int
    ts: int
    id: str
    task_id: str
    attempt: int
    created_at: int
    retry_count: int = 0
    max_retries: int | None = None
    step_timeout: float | None = None
    deadline: int | None = None
    key: str | None = None
    reply_to: str | None = None
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    job_id: str | None = None
    attempt_trace: str | None = None


class TaskProgress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A running task has come so far."""

    v: int
    ts: int
    id: str
    task_id: str
    task_type: str
    attempt: int
    worker: str
    done: int
    total: int | None = None
    note: str = ""


class TaskOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task has ended.

    Attributes:
        state: ``completed``, ``failed`` or ``cancelled``.
        run_ms: how long its last attempt ran.
        result: as JSON, in replies only, and only if it is not large.
    """

    v: int
    ts: int
    id: str
    task_id: str
    task_type: str
    state: str
    attempt: int
    retry_count: int = 0
    error: str | None = None
    worker: str | None = None
    run_ms: int | None = None
    job_id: str | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_T = TypeVar("_T", TaskSignal, TaskProgress, TaskOutcome)

_encoder: Final = msgspec.json.Encoder()
_signals: Final = msgspec.json.Decoder(TaskSignal)
_progress: Final = msgspec.json.Decoder(TaskProgress)
_outcomes: Final = msgspec.json.Decoder(TaskOutcome)


def encode(payload: TaskSignal | TaskProgress | TaskOutcome) -> bytes:
    """The payload as JSON."""
    return _encoder.encode(payload)


def decode_signal(payload: bytes) -> TaskSignal:
    """Read a signal; raises ``InvalidEnvelopeError``."""
    return _decode(_signals, payload, "signal")


def decode_progress(payload: bytes) -> TaskProgress:
    """Read progress; raises ``InvalidEnvelopeError``."""
    return _decode(_progress, payload, "progress")


def decode_outcome(payload: bytes) -> TaskOutcome:
    """Read an outcome; raises ``InvalidEnvelopeError``."""
    return _decode(_outcomes, payload, "outcome")


def _decode(decoder: "msgspec.json.Decoder[_T]", payload: bytes, what: str) -> _T:
    try:
        return decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise InvalidEnvelopeError(f"not a task {what}: {exc}") from exc
