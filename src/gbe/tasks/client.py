"""What programs, the command line and HTTP do with tasks: submit, wait, look, cancel, retry, pause."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gbe.errors import (
    IllegalTransitionError,
    InvalidTaskError,
    StateUnavailableError,
    TaskCancelledError,
    TaskFailedError,
    TaskNotFoundError,
)
from gbe.ids import new_ulid
from gbe.lifecycle import history, moves
from gbe.lifecycle.names import Priority, check_limit_key, id_of_key
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.transitions import TaskState
from gbe.schemas.tasks import TaskOutcome
from gbe.tasks import listing
from gbe.tasks.backend import Backend
from gbe.tasks.registry import TypeRegistry
from gbe.tasks.replies import Replies
from gbe.tracing import current_traceparent

logger = logging.getLogger(__name__)

MAX_PARAMS: Final = 32 * 1024 * 1024
MOST_LISTED: Final = 1000
_LOOK_AGAIN: Final = 2.0  # into the state store, while no reply comes
_TRIES: Final = 10
_MOST_DELAY: Final = 366 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """How one task is to be run, beyond what its type says. Durations in seconds.

    Attributes:
        delay, run_at: run it later: seconds from now, or at a moment (unix milliseconds); one of them at most.
        priority: ``high``, ``normal`` or ``low``.
        idempotency_key: a second submit of the type with the same key gives the first task, as long as that is kept.
        key: what the limits per key go by.
        max_retries, step_timeout, timeout: in place of the type's.
        job_id: the job that the task is part of.
    """

    delay: float | None = None
    run_at: int | None = None
    priority: Priority | str = Priority.NORMAL
    idempotency_key: str | None = None
    key: str | None = None
    max_retries: int | None = None
    step_timeout: float | None = None
    timeout: float | None = None
    job_id: str | None = None

    def __post_init__(self) -> None:
        if self.delay is not None and self.run_at is not None:
            raise InvalidTaskError("task", "delay", "give a delay or run_at, not both")
        for name in ("idempotency_key", "key", "job_id"):
            value = getattr(self, name)
            if value is not None:
                check_limit_key(name, value)
        if self.delay is not None and not 0 <= self.delay <= _MOST_DELAY:
            raise InvalidTaskError("task", "delay", f"{self.delay:g} s; expected 0 to 366 days")
        if self.run_at is not None and not 0 <= self.run_at < 10**13:
            raise InvalidTaskError("task", "run_at", f"{self.run_at}; expected unix milliseconds")
        if self.max_retries is not None and not 0 <= self.max_retries <= 10_000:
            raise InvalidTaskError("task", "max_retries", f"{self.max_retries}; expected 0 to 10000")
        for name in ("step_timeout", "timeout"):
            value = getattr(self, name)
            if value is not None and not 0.01 <= value <= _MOST_DELAY:
                raise InvalidTaskError("task", name, f"{value:g} s; expected 10 ms to 366 days")


NO_OPTIONS: Final = SubmitOptions()


@dataclass(frozen=True, slots=True)
class Page:
    """Some tasks, the newest first, and the cursor behind them; ``None`` at the end."""

    tasks: list[TaskRecord]
    cursor: str | None


class TaskClient:
    """Works on tasks of one deployment. ``close`` it when done.

    Attributes:
        on_submit: called with the type of each task that is stored.
        on_cancel: called with the type of each task that is cancelled.
    """

    def __init__(self, backend: Backend, types: TypeRegistry) -> None:
        self.backend, self.types = backend, types
        self.store = backend.store()
        self._names, self._clock = backend.names, backend.clock
        self._replies = Replies(backend.transport, backend.names)
        self.on_submit: Callable[[str], None] = lambda _task_type: None
        self.on_cancel: Callable[[str], None] = lambda _task_type: None

    async def close(self) -> None:
        """Hear of no more ends."""
        await self._replies.close()

    # -- submit

    async def submit(
        self, task_type: str, params: bytes, options: SubmitOptions = NO_OPTIONS, *, retry_of: str | None = None
    ) -> TaskRecord:
        """Store a task, then signal it; once this returns, the task will run.

        Args:
            task_type: one that is known.
            params: a JSON object, checked already (``TypeRegistry.check_params``).
            options: see there.
            retry_of: the failed task that this one repeats.

        Returns:
            The task as it is stored: with an ``idempotency_key`` maybe one that was submitted before.

        Raises:
            UnknownTaskTypeError, InvalidTaskError: nothing was written.
            ObjectError: large parameters could not be stored; nothing was written.
            StateUnavailableError: no answer; the task may be stored. With an ``idempotency_key`` a repetition is safe.
        """
        settings = await self.types.look_up(task_type)
        if len(params) > MAX_PARAMS:
            raise InvalidTaskError(f"task {task_type}", "", f"parameters of {len(params)} bytes, over {MAX_PARAMS}")
        key = options.idempotency_key
        task_id = new_ulid() if key is None else id_of_key(task_type, key)
        now = self._clock.now_ms()
        run_at = options.run_at if options.delay is None else now + round(options.delay * 1000)
        starts = now if run_at is None else max(now, run_at)
        whole = settings.timeout if options.timeout is None else options.timeout
        record_key = self._names.task(task_type, task_id)
        stored = await self.backend.fields_for(record_key, "params", params)
        record = TaskRecord(
            task_type=task_type,
            task_id=task_id,
            state=TaskState.PENDING,
            created_at=now,
            updated_at=now,
            priority=Priority.parse(options.priority),
            max_retries=options.max_retries,
            step_timeout_ms=None if options.step_timeout is None else round(options.step_timeout * 1000),
            timeout_at=min(starts + moves.SIGNAL_PATIENCE_MS, 10**13 - 1),
            run_at=run_at,
            signalled_at=now,
            deadline=None if whole is None else starts + round(whole * 1000),
            job_id=options.job_id,
            key=options.key,
            idempotency_key=key,
            retry_of=retry_of,
            reply_to=self._replies.subject if self._replies.is_open else None,
            traceparent=current_traceparent(),
            params=stored.get("params"),
            params_ref=stored.get("params_ref"),
        )
        fields = record.to_fields()
        if key is None:
            await self.backend.state.put(record_key, fields)
        elif not await self.backend.state.update_if(record_key, {"state": None}, fields):
            return await self.store.get(task_type, task_id)
        self.on_submit(task_type)
        await self.backend.signal(record)
        return record

    async def listen(self) -> None:
        """Let workers tell of the ends of tasks that are submitted from now on."""
        await self._replies.open()

    # -- wait

    async def wait(self, task_type: str, task_id: str, timeout: float | None = None) -> TaskOutcome:
        """The end of a task, with its result if that is not large.

        Raises:
            TimeoutError: it has not ended within ``timeout`` seconds.
            TaskNotFoundError: there is none, or it was kept no longer.
        """
        future = self._replies.expect(task_id)
        try:
            async with asyncio.timeout(timeout):
                await self._replies.open()
                is_first = True
                while True:
                    # a reply may be under way to us, or the task may have been submitted before we listened
                    patience = 0.05 if is_first else _LOOK_AGAIN
                    is_first = False
                    done, _ = await asyncio.wait({future}, timeout=patience)
                    if done:
                        return future.result()
                    outcome = await self._ended(task_type, task_id)
                    if outcome is not None:
                        return outcome
        except TimeoutError:
            raise TimeoutError(f"task {task_id} has not ended within {timeout:g} s") from None
        finally:
            self._replies.forget(task_id, future)

    async def _ended(self, task_type: str, task_id: str) -> TaskOutcome | None:
        try:
            record = await self.store.get(task_type, task_id)
        except StateUnavailableError as exc:
            logger.warning("waiting for a task: %s", exc, extra={"task_id": task_id})
            return None
        return moves.outcome_of(record) if record.state.is_terminal else None

    async def result(self, task_type: str, task_id: str, timeout: float | None = None) -> bytes:
        """The result of a task as JSON, once it has one.

        Raises:
            TaskFailedError, TaskCancelledError: it ended otherwise.
            TimeoutError, TaskNotFoundError: as ``wait``.
        """
        outcome = await self.wait(task_type, task_id, timeout)
        if outcome.state == TaskState.CANCELLED.value:
            raise TaskCancelledError(task_id)
        if outcome.state == TaskState.FAILED.value:
            raise TaskFailedError(task_id, outcome.error or "")
        if isinstance(outcome.result, msgspec.Raw):
            return bytes(outcome.result)
        return await self.result_of(await self.store.get(task_type, task_id))

    async def result_of(self, record: TaskRecord) -> bytes:
        """The result in a record, or behind it."""
        return await self.backend.value_of(record.to_fields(), "result") or b"null"

    async def params_of(self, record: TaskRecord) -> bytes:
        """The parameters in a record, or behind it."""
        return await self.backend.value_of(record.to_fields(), "params") or b"{}"

    # -- look

    async def get(self, task_id: str, task_type: str | None = None) -> TaskRecord:
        """A task; without its type, that of every known type is tried. Raises ``TaskNotFoundError``."""
        if task_type is not None:
            return await self.store.get(task_type, task_id)
        return await self.store.find(task_id, await self.types.refresh_all())

    async def list(
        self,
        *,
        task_type: str | None = None,
        state: TaskState | None = None,
        key: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page:
        """Some tasks, the newest first.

        Args:
            task_type, state, key: only those.
            limit: 1 to 1,000.
            cursor: of the page before, with the same filters.

        A page looks at a bounded number of records, ``STRETCH`` of them. As long as there are no more, pages are the
        newest first from the first to the last. Of more than that each page shows the newest of one stretch, in the
        order of ``StateStore.scan_page``, until nothing is left of it, then of the next: a page may be short, or
        empty, and still have a cursor. Every task that is there throughout is on a page; one that changes meanwhile
        may be on two.

        Raises:
            InvalidTaskError: not a limit, not a cursor.
        """
        if not 1 <= limit <= MOST_LISTED:
            raise InvalidTaskError("list", "limit", f"{limit}; expected 1 to {MOST_LISTED}")
        place = listing.Place() if cursor is None else listing.Place.parse(cursor)

        def is_meant(record: TaskRecord) -> bool:
            return (state is None or record.state is state) and (key is None or record.key == key)

        found, end = await listing.stretch(self.store, task_type, place, is_meant, limit + 1)
        page = found[:limit]
        return Page(page, place.behind(page[-1] if len(found) > limit else None, end))

    async def queues(self) -> dict[str, tuple[int, float]]:
        """Of each type how many signals wait or are in hands, and the age of the oldest in seconds."""
        names = await self.types.refresh_all()
        keys = [(name, priority) for name in names for priority in Priority]
        transport = self.backend.transport
        lags = await asyncio.gather(
            *(transport.lag(self._names.queue(*key), self._names.group(key[0])) for key in keys)
        )
        found = dict.fromkeys(names, (0, 0.0))
        for (name, _), lag in zip(keys, lags, strict=True):
            depth, oldest = found[name]
            found[name] = (depth + lag.pending + lag.unacknowledged, max(oldest, lag.oldest_age or 0.0))
        return found

    # -- change

    async def cancel(self, task_id: str, task_type: str | None = None, reason: str = "cancelled") -> TaskRecord:
        """Cancel a task. A running one stops at the next renewal of its lease.

        Raises:
            TaskNotFoundError: there is none.
            IllegalTransitionError: it has ended; the error says how.
        """
        record = await self.get(task_id, task_type)
        for _ in range(_TRIES):
            retention = self.types.effective(record.task_type).retention
            try:
                now = self._clock.now_ms()
                move = moves.cancel(record, now=now, reason=reason, retention=retention)
                move = history.of_record(move, record, now=now)
            except IllegalTransitionError as exc:
                raise IllegalTransitionError(exc.state, exc.event, task_id) from None
            if await self.store.apply(self._names.task(record.task_type, task_id), move):
                record = moves.after(record, move)
                self.on_cancel(record.task_type)
                await self.backend.announce_end(record)
                return record
            record = await self.store.get(record.task_type, task_id)
        raise StateUnavailableError(f"task {task_id} changes too fast to be cancelled; try again")

    async def retry(
        self, task_id: str, task_type: str | None = None, *, idempotency_key: str | None = None
    ) -> TaskRecord:
        """Submit a failed or cancelled task once more, as a task of its own: what has ended stays as it is.

        Args:
            task_id, task_type: quicker with its type.
            idempotency_key: a second retry with the same key gives the first one's task.

        Raises:
            TaskNotFoundError: there is none.
            IllegalTransitionError: it has not failed.
        """
        record = await self.get(task_id, task_type)
        if record.state not in (TaskState.FAILED, TaskState.CANCELLED):
            raise IllegalTransitionError(record.state.value, "retry", task_id)
        options = SubmitOptions(
            priority=record.priority,
            key=record.key,
            max_retries=record.max_retries,
            step_timeout=None if record.step_timeout_ms is None else record.step_timeout_ms / 1000,
            job_id=record.job_id,
            idempotency_key=idempotency_key,
        )
        return await self.submit(record.task_type, await self.params_of(record), options, retry_of=task_id)


def as_document(record: TaskRecord, **values: bytes) -> dict[str, Any]:
    """A task as JSON shows it; ``values`` are JSON texts (``params``, ``result``)."""
    document: dict[str, Any] = {"id": record.task_id, "type": record.task_type, "state": record.state.value}
    shown: Mapping[str, Any] = {
        "priority": record.priority.word,
        "attempt": record.attempt,
        "retry_count": record.retry_count,
        "max_retries": record.max_retries,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "run_at": record.run_at,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "timeout_at": None if record.state.is_terminal else record.timeout_at,
        "deadline": record.deadline,
        "worker": record.worker,
        "job_id": record.job_id,
        "key": record.key,
        "idempotency_key": record.idempotency_key,
        "retry_of": record.retry_of,
        "step": record.current_step,
        "steps": record.step_count,
        "note": record.note,
        "error": record.error,
        "traceparent": record.traceparent,
    }
    document |= {name: value for name, value in shown.items() if value is not None}
    document |= {name: msgspec.Raw(value) for name, value in values.items()}
    return document


__all__ = ["NO_OPTIONS", "Page", "SubmitOptions", "TaskClient", "TaskNotFoundError", "as_document"]
