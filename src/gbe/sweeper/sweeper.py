"""Looks at every task whose deadline has passed, and does what its worker or its signal should have done.

- A *pending* task should have been claimed by now. If its signal is gone from the queue it is published again.
- A *running* task's lease, step or whole time is over: its worker is dead, cut off, or stuck. It is retried at once,
  or has failed if its budget is spent.
- A task that has *ended* should have been announced by now: whoever ended it died, or could not publish. Its outcome
  is published, perhaps for the second time, with the same id.

All that is done is conditional on what was seen, so that two sweepers at a time, which a stopped one that wakes may
bring about, do nothing twice but signal. One at a time is enough, and a lease sees to it.
"""

import asyncio
import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from gbe.clock import Clock, SystemClock
from gbe.errors import ConfigError, ObjectError, StateError, TaskError, TransportError
from gbe.ids import new_ulid, process_name
from gbe.lifecycle import history, moves
from gbe.lifecycle.letters import letter_of
from gbe.lifecycle.moves import Move
from gbe.lifecycle.names import Priority, TaskNames
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.registered import Registered, Settings, compose
from gbe.lifecycle.transitions import TaskState
from gbe.lifecycle.types import TaskType
from gbe.objects.claims import ClaimChecks
from gbe.schemas import deadletter, system, tasks
from gbe.schemas.system import Fault, SweepReport
from gbe.state.base import KEEP, MAX_DUE, Record, StateStore
from gbe.state.leading import lead
from gbe.state.lease import Lease
from gbe.sweeper.config import SweeperConfig
from gbe.sweeper.observer import NoObserver, SweepObserver
from gbe.sweeper.retention import Retention
from gbe.transport.base import Lag, Transport

logger = logging.getLogger(__name__)

INDEX: Final = "timeout_at"
_AT_ONCE: Final = 64
_CLOCK_SLACK_MS: Final = 1_000
_LONGEST_PATIENCE_MS: Final = 60_000
"""A task whose signal waits in a long queue is looked at so seldom, and one in a lost queue is found so late."""
_PAUSE: Final = 1.0


@dataclass(slots=True)
class _Tally:
    signalled: int = 0
    waiting: int = 0
    retried: int = 0
    failed: int = 0
    contended: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.signalled or self.waiting or self.retried or self.failed or self.contended)


class Sweeper:
    """One candidate for the one active sweeper of a deployment.

    Args:
        configured: the ``tasks:`` section, by type.
        clock: whose moments count as now.
        claims: large values beside the records; those whose record is gone are removed.
        observer: is told what happens to tasks.
        retention: of the streams; without it, what the engine does not remove stays.
    """

    def __init__(
        self,
        transport: Transport,
        state: StateStore,
        names: TaskNames,
        configured: Mapping[str, Settings] | None = None,
        config: SweeperConfig | None = None,
        clock: Clock | None = None,
        claims: ClaimChecks | None = None,
        observer: SweepObserver | None = None,
        retention: Retention | None = None,
    ) -> None:
        self._transport, self._state, self._names, self._claims = transport, state, names, claims
        self._configured: Mapping[str, Settings] = {} if configured is None else configured
        self._retention = retention
        self.config = config or SweeperConfig()
        self._clock = clock or SystemClock()
        self._observer = observer or NoObserver()
        self.name = process_name()
        self._lease = Lease(state, names.sweeper_lease, term=self.config.term, holder=self.name)
        self._numbers = itertools.count(1)
        self._reported = float("-inf")

    @property
    def is_active(self) -> bool:
        """Whether this is the one that sweeps."""
        return self._lease.is_held

    async def run(self) -> None:
        """Wait for the lease, then sweep until cancelled. An engine that goes away is waited for."""
        await lead(self._lease, "sweeper", self._work)

    async def _work(self) -> None:
        """Sweep, prune and retain beside each other, until the lease is lost."""
        beside = (
            asyncio.create_task(self._prune_forever(), name="gbe.sweeper.prune"),
            asyncio.create_task(self._retain_forever(), name="gbe.sweeper.retain"),
        )
        try:
            while True:
                await self._sweep_safely()
                await asyncio.sleep(self.config.interval)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _retain_forever(self) -> None:
        """Apply the limits of streams. Nothing here must end it."""
        while self._retention is not None:
            try:
                await self._retention.sweep()
            except Exception:
                logger.exception("retention not applied")
            await asyncio.sleep(self.config.retain_every)

    async def _prune_forever(self) -> None:
        """Large values go with their records: expired, replaced, or never written because somebody crashed."""
        while self._claims is not None:
            try:
                await self._claims.prune(self._state, min_age=self.config.prune_age)
            except (StateError, ObjectError) as exc:
                logger.warning("objects not pruned: %s", exc)
            except Exception:
                logger.exception("objects not pruned")
            await asyncio.sleep(self.config.prune_every)

    async def _sweep_safely(self) -> None:
        try:
            await self.sweep()
        except (StateError, TransportError) as exc:
            logger.warning("sweep not finished: %s", exc)

    async def sweep(self) -> SweepReport:
        """Look at all that is due now.

        Raises:
            StateUnavailableError: the store did not answer; what is left is found by the next sweep.
        """
        started, tally = self._clock.monotonic(), _Tally()
        look = _Look(self._transport, self._state, self._names, self._configured, self._clock.now_ms())
        seen: set[tuple[str, bytes]] = set()
        limit = self.config.page
        while len(seen) < self.config.most:
            page = await self._state.due(INDEX, look.now, limit=limit)
            fresh = [record for record in page if (record.key, record.fields[INDEX]) not in seen]
            if not fresh and (len(page) < limit or limit == MAX_DUE):
                break
            if not fresh:  # a page of what is not ours, or could not be moved: look behind it
                limit = min(2 * limit, MAX_DUE)
            seen.update((record.key, record.fields[INDEX]) for record in fresh)
            for some in _chunks(fresh, _AT_ONCE):
                await asyncio.gather(*(self._look_at(record, look, tally) for record in some))
        return await self._report(tally, started)

    async def _look_at(self, found: Record, look: "_Look", tally: _Tally) -> None:
        if not found.key.startswith(f"{self._names.state_prefix}."):
            return
        try:
            record = TaskRecord.from_fields(found.fields)
        except TaskError as exc:
            logger.warning("record skipped: %s", exc, extra={"key": found.key})
            return
        settings = await look.settings(record.task_type)
        if record.state is TaskState.PENDING:
            await self._pending(found.key, record, settings, look, tally)
        elif not record.state.is_terminal:
            await self._held(found.key, record, settings, look.now, tally)
        elif await self._announce(found.key, record):
            logger.info("outcome published for whoever could not", extra=_ids(record))

    async def _pending(self, key: str, record: TaskRecord, settings: TaskType, look: "_Look", tally: _Tally) -> None:
        now = look.now
        if record.deadline is not None and record.deadline <= now:
            error = "timeout: not started within its whole time"
            await self._end(
                key, record, moves.expire(record, now=now, error=error, retention=settings.retention), tally
            )
            return
        age = now - max(record.created_at, record.run_at or 0)
        look_at = now + min(max(age, moves.SIGNAL_PATIENCE_MS), _LONGEST_PATIENCE_MS)
        if settings.paused or await look.is_queued(record):
            move = moves.resignal(record, now=record.signalled_at or record.created_at, look_at=look_at)
            tally.waiting += await self._apply(key, move, tally)
            return
        move = moves.resignal(record, now=now, look_at=look_at)
        if await self._apply(key, move, tally):
            await self._signal(record, now)
            tally.signalled += 1

    async def _held(self, key: str, record: TaskRecord, settings: TaskType, now: int, tally: _Tally) -> None:
        most = settings.max_retries if record.max_retries is None else record.max_retries
        error = f"its worker {record.worker} gave no sign of life, or a step took too long"
        move = moves.lose(record, now=now, error=error, retention=settings.retention, max_retries=most)
        move = history.of_record(move, record, now=now)
        after = moves.after(record, move)
        if after.state.is_terminal:
            await self._end(key, record, move, tally)
        elif await self._apply(key, move, tally):
            tally.retried += 1
            self._observer.returned(record.task_type)
            logger.warning("task returned to its queue: %s", error, extra=_ids(record))
            await self._signal(after, now)

    async def _apply(self, key: str, move: Move, tally: _Tally) -> bool:
        ttl = KEEP if move.ttl is None else move.ttl
        applied = await self._state.update_if(key, move.expected, move.changes, ttl=ttl)
        tally.contended += not applied
        return applied

    async def _end(self, key: str, record: TaskRecord, move: Move, tally: _Tally) -> None:
        if not await self._apply(key, move, tally):
            return
        tally.failed += 1
        self._observer.failed(record.task_type)
        ended = moves.after(record, move)
        logger.warning("task failed: %s", ended.error, extra=_ids(ended))
        await self._announce(key, ended)
        fault = Fault(
            ts=self._clock.now_ms(),
            id=new_ulid(),
            source="sweeper",
            error=ended.error or "",
            task_type=ended.task_type,
            task_id=ended.task_id,
        )
        await self._publish(self._names.errors, system.encode(fault))

    async def _announce(self, key: str, ended: TaskRecord) -> bool:
        """Publish the outcome of a task that has ended; whether that is done. If not, the record stays due."""
        end = moves.outcome_of(ended)
        outcome = tasks.encode(end)
        if ended.reply_to is not None and self._names.is_reply(ended.reply_to):
            await self._publish(ended.reply_to, outcome, durable=False)
        if not await self._publish(self._names.terminal(ended.task_type), outcome, traceparent=ended.traceparent):
            return False
        if ended.state is TaskState.FAILED and not await self._bury(letter_of(self._names, end)):
            return False
        if ended.timeout_at is not None:
            move = moves.announced(ended.state, ended.attempt, ended.timeout_at)
            await self._state.update_if(key, move.expected, move.changes)
        return True

    async def _bury(self, letter: deadletter.DeadLetter) -> bool:
        return await self._publish(
            self._names.dead_letters, deadletter.encode(letter), idempotency_key=letter.storage_key()
        )

    async def _signal(self, record: TaskRecord, now: int) -> None:
        payload = tasks.encode(moves.signal_for(record, now))
        await self._publish(
            self._names.queue(record.task_type, record.priority), payload, traceparent=record.traceparent
        )

    async def _publish(
        self,
        subject: str,
        payload: bytes,
        *,
        durable: bool = True,
        traceparent: str | None = None,
        idempotency_key: str | None = None,
    ) -> bool:
        try:
            await self._transport.publish(
                subject, payload, durable=durable, traceparent=traceparent, idempotency_key=idempotency_key
            )
        except TransportError as exc:  # a task is looked at again
            logger.warning("not published: %s", exc, extra={"subject": subject})
            return False
        return True

    async def _report(self, tally: _Tally, started: float) -> SweepReport:
        now = self._clock.monotonic()
        report = SweepReport(
            ts=self._clock.now_ms(),
            id=f"{self.name}.{next(self._numbers)}",
            sweeper=self.name,
            signalled=tally.signalled,
            waiting=tally.waiting,
            retried=tally.retried,
            failed=tally.failed,
            contended=tally.contended,
            took_ms=round(1000 * (now - started)),
        )
        if not tally.is_empty or now - self._reported >= self.config.report_every:
            self._reported = now
            await self._publish(self._names.sweep_reports, system.encode(report))
        if not tally.is_empty:
            logger.info("swept", extra=msgspec.structs.asdict(report))
        return report


class _Look:
    """What one sweep has found out: settings and queues, each asked for once."""

    def __init__(
        self,
        transport: Transport,
        state: StateStore,
        names: TaskNames,
        configured: Mapping[str, Settings],
        now: int,
    ) -> None:
        self._transport, self._state, self._names = transport, state, names
        self._configured, self.now = configured, now
        self._settings: dict[str, asyncio.Task[TaskType]] = {}
        self._lags: dict[tuple[str, Priority], asyncio.Task[Lag]] = {}

    async def settings(self, task_type: str) -> TaskType:
        """The settings of a type that count."""
        task = self._settings.get(task_type)
        if task is None:
            task = self._settings[task_type] = asyncio.create_task(self._ask_settings(task_type))
        return await task

    async def _ask_settings(self, task_type: str) -> TaskType:
        fields = await self._state.get(self._names.type(task_type))
        registered = None if fields is None else Registered.from_fields(fields)
        try:
            return compose(task_type, self._configured.get(task_type, {}), registered)
        except ConfigError as exc:  # a worker with this file does not start; one without it may run the type
            logger.warning("configuration left alone: %s", exc, extra={"task_type": task_type})
            return compose(task_type, {}, registered)

    async def is_queued(self, record: TaskRecord) -> bool:
        """Whether a task's signal may still lie in its queue: something there is as old."""
        queue = (record.task_type, record.priority)
        task = self._lags.get(queue)
        if task is None:
            task = self._lags[queue] = asyncio.create_task(
                self._transport.lag(self._names.queue(*queue), self._names.group(record.task_type))
            )
        try:
            lag = await task
        except TransportError:
            return False
        if not lag.pending and not lag.unacknowledged:
            return False
        oldest = self.now - round(1000 * (lag.oldest_age or 0.0)) - _CLOCK_SLACK_MS
        return max(record.signalled_at or record.created_at, record.run_at or 0) >= oldest


def _ids(record: TaskRecord) -> dict[str, object]:
    return {
        "task_type": record.task_type,
        "task_id": record.task_id,
        "attempt": record.attempt,
        "job_id": record.job_id,
        "worker": record.worker,
    }


def _chunks(items: Sequence[Record], size: int) -> "list[Sequence[Record]]":
    return [items[start : start + size] for start in range(0, len(items), size)]
