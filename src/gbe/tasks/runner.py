"""Runs one attempt: the function, and what becomes of its task."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from gbe.errors import BrokenRecordError, GbeError, InvalidTaskError, StateError, StateUnavailableError, TaskError
from gbe.lifecycle import history, moves
from gbe.lifecycle.moves import Move
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.transitions import TaskState, end_state
from gbe.schemas.tasks import VERSION, TaskOutcome
from gbe.tasks.attempt import Attempt, Ending, holder_of
from gbe.tasks.backend import Backend
from gbe.tasks.functions import Runnable
from gbe.tasks.observer import TaskObserver
from gbe.tasks.threads import Threads
from gbe.transport.base import Delivery

logger = logging.getLogger(__name__)

_REASONS: Final[Mapping[Ending, str]] = {
    Ending.STEP_TIMEOUT: "step timeout: no progress within {step:g} s",
    Ending.DEADLINE: "timeout: not done within its whole time",
}


class DoNotRetryError(TaskError):
    """Raised by a task's function: the task has failed for good, whatever its budget."""


class Runner:
    """Runs attempts for one worker.

    Args:
        publish: takes what is to be published in the background.
        is_wanted: whether the worker still tries to write when the engine is away.
    """

    def __init__(
        self,
        backend: Backend,
        worker: str,
        threads: Threads,
        observer: TaskObserver,
        publish: Callable[[Any], None],
        is_wanted: Callable[[], bool],
    ) -> None:
        self._backend, self._store = backend, backend.store()
        self._worker, self._threads, self._observer = worker, threads, observer
        self._publish, self._is_wanted = publish, is_wanted
        self._clock = backend.clock

    async def run(self, function: Runnable, attempt: Attempt) -> None:
        """Run a claimed task to its end, its retry or its hand-back."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  it is one
        result: bytes | None = None
        failure: BaseException | None = None
        attempt.begin(task)
        try:
            result = await self._call(function, attempt)
        except asyncio.CancelledError as exc:
            if task.cancelling() and attempt.ending is None:
                raise
            if attempt.ending is not None:
                task.uncancel()
            failure = exc  # or of its own making: it has awaited something that was cancelled
        except (Exception, SystemExit) as exc:  # noqa: BLE001  whatever a task raises is its failure
            failure = exc
        attempt.end()
        if attempt.ending is not None:
            await self._stopped(attempt)
        elif failure is not None:
            final = isinstance(failure, DoNotRetryError | InvalidTaskError | BrokenRecordError)
            text = _said(failure)
            if not isinstance(failure, GbeError):
                logger.info("task raised", exc_info=failure, extra=self._log(attempt))
            await self._failed(attempt, text, final=final)
        else:
            await self._completed(attempt, b"null" if result is None else result)

    async def _call(self, function: Runnable, attempt: Attempt) -> bytes:
        if attempt.span is None:
            return await self._compute(function, attempt)
        with attempt.span.current():
            return await self._compute(function, attempt)

    async def _compute(self, function: Runnable, attempt: Attempt) -> bytes:
        arguments = function.decode_params(await self._params(attempt))
        result = await self._invoke(function, attempt, arguments)
        try:
            return function.encode_result(result)
        except (TypeError, ValueError, OverflowError, RecursionError) as exc:
            raise DoNotRetryError(f"the result cannot be serialised: {exc}") from exc

    async def _invoke(self, function: Runnable, attempt: Attempt, arguments: dict[str, Any]) -> Any:
        positional = (attempt.context,) if function.takes_context else ()
        if function.is_async:
            return await function.function(*positional, **arguments)
        call = partial(function.function, *positional, **arguments)
        return await self._threads.run(holder_of(attempt.signal), call)

    async def _params(self, attempt: Attempt) -> bytes:
        params = attempt.signal.params
        if isinstance(params, msgspec.Raw):
            return bytes(params)
        fields = await self._backend.state.get(attempt.key) or {}
        return await self._backend.value_of(fields, "params") or b"{}"

    # -- what becomes of it

    async def _completed(self, attempt: Attempt, result: bytes) -> None:
        try:
            fields = await self._backend.fields_for(attempt.key, "result", result)
        except InvalidTaskError as exc:  # too large for anything
            await self._failed(attempt, f"the result cannot be stored: {exc}", final=True)
            return
        except GbeError as exc:
            await self._failed(attempt, f"the result cannot be stored: {exc}", final=False)
            return
        now = self._clock.now_ms()
        last = {**fields, **attempt.progress_fields()}
        announce_at = attempt.end_at(now)
        move = moves.complete(
            attempt.number, now=now, result=last, retention=attempt.type.retention, announce_at=announce_at
        )
        if await self._write(attempt, move):
            self._tell(attempt, TaskState.COMPLETED, None, attempt.signal.retry_count, result)

    async def _failed(self, attempt: Attempt, error: str, *, final: bool) -> None:
        now, count = self._clock.now_ms(), attempt.signal.retry_count
        pause = attempt.type.backoff.delay(count + 1)
        run_at = now + round(1000 * pause)
        deadline = attempt.signal.deadline
        if final or count >= attempt.max_retries or (deadline is not None and run_at >= deadline):
            announce_at = attempt.end_at(now)
            move = moves.fail(
                attempt.number,
                now=now,
                retry_count=count,
                error=error,
                retention=attempt.type.retention,
                announce_at=announce_at,
            )
            if await self._write(attempt, move):
                logger.warning("task failed: %s", error, extra=self._log(attempt))
                self._tell(attempt, TaskState.FAILED, error, count, None)
            return
        move = moves.retry(attempt.number, now=now, run_at=run_at, retry_count=count + 1, error=error)
        if await self._write(attempt, move):
            logger.info("task is retried in %.1f s: %s", pause, error, extra=self._log(attempt))
            self._observed(attempt, "retried")
            await self._signal_again(attempt)

    async def _stopped(self, attempt: Attempt) -> None:
        match attempt.ending:
            case Ending.LOST:
                logger.warning("task is no longer ours, its result is dropped", extra=self._log(attempt))
                self._observed(attempt, "lost")
            case Ending.SHUTDOWN:
                if await self._write(attempt, moves.hand_back(attempt.number, now=self._clock.now_ms())):
                    logger.info("task handed back", extra=self._log(attempt))
                    self._observed(attempt, "handed_back")
                    await self._signal_again(attempt)
            case Ending.STEP_TIMEOUT | Ending.DEADLINE as ending:
                reason = _REASONS[ending].format(step=attempt.step_timeout)
                await self._failed(attempt, reason, final=ending is Ending.DEADLINE)
            case None:
                pass

    async def _write(self, attempt: Attempt, move: Move) -> bool:
        """Whether it is ours to write. The engine may be away for long: what was done is not done in vain."""
        if attempt.signal.job_id is not None:
            move = history.ended(move, attempt.number, now=self._clock.now_ms())
        try:
            written = await self._store.settle(attempt.key, move, self._is_wanted)
        except StateUnavailableError as exc:
            logger.error("state not written, the task runs again: %s", exc, extra=self._log(attempt))  # noqa: TRY400
            return False
        except StateError as exc:
            logger.error("state not written: %s", exc, extra=self._log(attempt))  # noqa: TRY400
            return False
        if not written:
            logger.warning("late write refused, the task is no longer ours", extra=self._log(attempt))
            self._observed(attempt, "lost")
        return written

    async def _signal_again(self, attempt: Attempt) -> None:
        fields = await self._backend.state.get(attempt.key)
        record = None if fields is None else TaskRecord.from_fields(fields)
        if record is not None and record.state is TaskState.PENDING:
            await self._backend.signal(record)

    def _tell(self, attempt: Attempt, state: TaskState, error: str | None, count: int, result: bytes | None) -> None:
        now = attempt.ended_ms
        self._observed(attempt, state.value)
        outcome = TaskOutcome(
            v=VERSION,
            ts=now,
            id=f"{attempt.signal.task_id}.{attempt.number}",
            task_id=attempt.signal.task_id,
            task_type=attempt.task_type,
            state=end_state(state),
            attempt=attempt.number,
            retry_count=count,
            error=error,
            worker=self._worker,
            run_ms=max(0, now - attempt.started_ms),
            job_id=attempt.signal.job_id,
        )
        self._publish(self._announce(attempt, outcome, result, attempt.take_signal()))

    async def _announce(
        self, attempt: Attempt, outcome: TaskOutcome, result: bytes | None, held: Delivery | None
    ) -> None:
        """Publish an outcome, and only then let go of what would bring somebody else to do it."""
        backend = self._backend
        if not await backend.publish_end(outcome, attempt.signal.reply_to, result, attempt.traceparent):
            return  # the signal comes back, or the sweeper looks
        if held is not None:
            await held.ack()
        if attempt.announce_at is not None:
            await backend.note_announced(outcome, attempt.announce_at)

    def _observed(self, attempt: Attempt, outcome: str) -> None:
        seconds = max(0, self._clock.now_ms() - attempt.started_ms) / 1000
        self._observer.ended(attempt.task_type, outcome, seconds)

    def _log(self, attempt: Attempt) -> dict[str, object]:
        context = attempt.context
        ids: dict[str, object] = {} if context is None else context.log_context()
        return ids | {"worker": self._worker}


def _said(failure: BaseException) -> str:
    """What a function has raised, in words that can be stored."""
    name = type(failure).__name__
    try:
        text = str(failure) if isinstance(failure, GbeError) else f"{name}: {failure}"
    except Exception:  # noqa: BLE001  an error that cannot even say what it is
        text = f"{name}, which cannot be shown as text"
    return text.encode(errors="replace").decode()
