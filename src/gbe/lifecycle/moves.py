"""The transitions as writes: what a record must still be, and what becomes of it.

A move is applied with one ``update_if``. Its ``expected`` fields hold the fence: a worker that was presumed dead
carries an old ``attempt`` and cannot overwrite its successor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from gbe.lifecycle.record import MAX_ERROR_CHARACTERS, TaskRecord
from gbe.lifecycle.transitions import TaskEvent, TaskState, end_state, next_state
from gbe.schemas.documents import fits_inside
from gbe.schemas.tasks import VERSION, TaskOutcome, TaskSignal

SIGNAL_PATIENCE_MS: Final = 5_000
"""How long a signal may go unanswered before the sweeper looks whether it still exists."""

ANNOUNCE_PATIENCE_MS: Final = 5_000
"""How long whoever ends a task may take to publish its outcome before the sweeper does."""

INLINE_LIMIT: Final = 16 * 1024
"""Parameters up to so many bytes travel with the signal, results with the reply; larger ones are looked up."""

Fields = Mapping[str, bytes | None]

_STATES: Final = {state: state.value.encode() for state in TaskState}
_RUNNING: Final = _STATES[next_state(next_state(TaskState.PENDING, TaskEvent.CLAIM), TaskEvent.START)]
_PENDING: Final = _STATES[TaskState.PENDING]


@dataclass(frozen=True, slots=True)
class Move:
    """One transition; ``ttl`` in seconds is set by those that end a task."""

    expected: Fields
    changes: Fields
    ttl: float | None = None


def signal_for(record: TaskRecord, now: int) -> TaskSignal:
    """The signal of a pending task; large parameters stay where they are, as do those that would break it."""
    params = record.params
    travels = params is not None and len(params) <= INLINE_LIMIT and fits_inside(params)
    return TaskSignal(
        v=VERSION,
        ts=now,
        id=f"{record.task_id}.{record.attempt}",
        task_id=record.task_id,
        attempt=record.attempt,
        created_at=record.created_at,
        retry_count=record.retry_count,
        max_retries=record.max_retries,
        step_timeout=None if record.step_timeout_ms is None else record.step_timeout_ms / 1000,
        deadline=record.deadline,
        key=record.key,
        reply_to=record.reply_to,
        job_id=record.job_id,
        attempt_trace=record.attempt_trace,
        params=msgspec.Raw(params) if params is not None and travels else msgspec.UNSET,
    )


def outcome_of(record: TaskRecord) -> TaskOutcome:
    """The outcome of a task that has ended; the same, whoever asks and how often."""
    started, now = record.started_at, record.finished_at or 0
    return TaskOutcome(
        v=VERSION,
        ts=now,
        id=f"{record.task_id}.{record.attempt}",
        task_id=record.task_id,
        task_type=record.task_type,
        state=end_state(record.state),
        attempt=record.attempt,
        retry_count=record.retry_count,
        error=record.error,
        worker=record.worker,
        run_ms=None if started is None else max(0, now - started),
        job_id=record.job_id,
    )


def claim(
    attempt: int, *, worker: bytes, now: int, timeout_at: int, max_retries: int = 0, trace: str | None = None
) -> Move:
    """A worker takes a pending task and starts it: claim and start in one write.

    It writes down the budget that counts, so that whoever finds the task lost knows it.

    Args:
        trace: the trace context of this attempt, if it is the first that has one: later ones link to it.
    """
    moment = b"%d" % now
    traced = {} if trace is None else {"attempt_trace": trace.encode()}
    return Move(
        {"state": _PENDING, "attempt": b"%d" % attempt},
        {
            "state": _RUNNING,
            "attempt": b"%d" % (attempt + 1),
            "worker": worker,
            "updated_at": moment,
            "started_at": moment,
            "timeout_at": b"%d" % timeout_at,
            "max_retries": b"%d" % max_retries,
            **traced,
        },
    )


def renew(attempt: int, *, now: int, timeout_at: int, progress: Fields) -> Move:
    """The worker lives, and holds the task a while longer."""
    changes = {"timeout_at": b"%d" % timeout_at, "updated_at": b"%d" % now, **progress}
    return Move(_held(attempt, TaskEvent.RENEW), changes)


def complete(attempt: int, *, now: int, result: Fields, retention: float, announce_at: int | None = None) -> Move:
    """The task is done.

    Args:
        announce_at: when the sweeper is to publish the outcome, unless somebody has (``announced``); ``None`` if the
            task's signal is held until then, and so would come back.
    """
    state = next_state(TaskState.RUNNING, TaskEvent.COMPLETE)
    changes = {**_ended(state, now, announce_at), "error": None, **result}
    return Move(_held(attempt, TaskEvent.COMPLETE), changes, retention)


def fail(
    attempt: int, *, now: int, retry_count: int, error: str, retention: float, announce_at: int | None = None
) -> Move:
    """The task has failed for good; ``announce_at`` as for ``complete``."""
    ended = _ended(TaskState.FAILED, now, announce_at)
    changes = {**ended, "error": _error(error), "retry_count": b"%d" % retry_count}
    return Move(_held(attempt, TaskEvent.FAIL), changes, retention)


def retry(attempt: int, *, now: int, run_at: int, retry_count: int, error: str) -> Move:
    """The attempt has failed, and another one follows."""
    changes = {**_waiting(now, run_at), "error": _error(error), "retry_count": b"%d" % retry_count}
    return Move(_held(attempt, TaskEvent.RETRY), changes)


def hand_back(attempt: int, *, now: int) -> Move:
    """The worker stops: the task goes on elsewhere, and nothing is counted."""
    return Move(_held(attempt, TaskEvent.HAND_BACK), _waiting(now, now))


def resignal(record: TaskRecord, *, now: int, look_at: int) -> Move:
    """A pending task is signalled once more, or looked at again later."""
    next_state(record.state, TaskEvent.SIGNAL)
    return Move(_as_seen(record), {"timeout_at": b"%d" % look_at, "signalled_at": b"%d" % now})


def lose(record: TaskRecord, *, now: int, error: str, retention: float, max_retries: int) -> Move:
    """The time of a task's holder is over: another attempt, or the end."""
    if record.deadline is not None and record.deadline <= now:
        return expire(record, now=now, error=f"timeout: not done within its time; {error}", retention=retention)
    count = record.retry_count + 1
    if count > max_retries:
        return expire(record, now=now, error=error, retention=retention, retry_count=record.retry_count)
    next_state(record.state, TaskEvent.RETRY)
    changes = {**_waiting(now, now), "error": _error(error), "retry_count": b"%d" % count}
    return Move(_as_seen(record), changes)


def expire(record: TaskRecord, *, now: int, error: str, retention: float, retry_count: int | None = None) -> Move:
    """Fail a task for somebody else's reasons: nobody holds it any more."""
    state = next_state(record.state, TaskEvent.FAIL)
    count = record.retry_count if retry_count is None else retry_count
    ended = _ended(state, now, now + ANNOUNCE_PATIENCE_MS)
    return Move(_as_seen(record), {**ended, "error": _error(error), "retry_count": b"%d" % count}, retention)


def cancel(record: TaskRecord, *, now: int, reason: str, retention: float) -> Move:
    """Cancel a task, pending or running.

    Raises:
        IllegalTransitionError: it has ended.
    """
    state = next_state(record.state, TaskEvent.CANCEL)
    # not as seen to the letter: the lease may be renewed meanwhile
    expected = {"state": _STATES[record.state], "attempt": b"%d" % record.attempt}
    ended = _ended(state, now, now + ANNOUNCE_PATIENCE_MS)
    return Move(expected, {**ended, "error": _error(reason)}, retention)


def announced(state: TaskState, attempt: int, announce_at: int) -> Move:
    """The outcome of a task that has ended is published: nobody needs to look at it any more."""
    moment = b"%d" % announce_at
    return Move({"state": _STATES[state], "attempt": b"%d" % attempt, "timeout_at": moment}, {"timeout_at": None})


def after(record: TaskRecord, move: Move) -> TaskRecord:
    """The record once the move is applied."""
    fields = {**record.to_fields(), **move.changes}
    return TaskRecord.from_fields({name: value for name, value in fields.items() if value is not None})


def _held(attempt: int, event: TaskEvent) -> Fields:
    next_state(TaskState.RUNNING, event)
    return {"state": _RUNNING, "attempt": b"%d" % attempt}


def _as_seen(record: TaskRecord) -> Fields:
    """Nobody has moved the task, nor renewed its lease, since it was read."""
    deadline = None if record.timeout_at is None else b"%d" % record.timeout_at
    return {"state": _STATES[record.state], "attempt": b"%d" % record.attempt, "timeout_at": deadline}


def _waiting(now: int, run_at: int) -> dict[str, bytes | None]:
    return {
        "state": _PENDING,
        "worker": None,
        "updated_at": b"%d" % now,
        "run_at": b"%d" % run_at,
        "signalled_at": b"%d" % now,
        "timeout_at": b"%d" % (max(now, run_at) + SIGNAL_PATIENCE_MS),
        "current_step": None,
        "step_count": None,
        "note": None,
    }


def _ended(state: TaskState, now: int, announce_at: int | None) -> dict[str, bytes | None]:
    moment = b"%d" % now
    look_at = None if announce_at is None else b"%d" % announce_at
    return {"state": _STATES[state], "updated_at": moment, "finished_at": moment, "timeout_at": look_at}


def _error(text: str) -> bytes:
    return text[:MAX_ERROR_CHARACTERS].encode(errors="replace")
