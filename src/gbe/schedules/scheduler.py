"""Looks at every schedule that has come due, and starts what it says.

One scheduler is active at a time, by a lease. That alone would not do: one that was stopped for a while may act once
more when it wakes. So every start carries a key made of the schedule's name and the due time, and starting is
idempotent by it. The order of writes makes a crash harmless wherever it comes:

1. If there is more to decide than one punctual due time (a downtime has passed), the decision is written down first.
2. What was decided is started; a repetition after a crash has the same keys.
3. The record moves on to its next due time, on condition that nobody else has moved it.

A due time that was dealt with never comes again, whatever clocks do: the next one is later than it, and later than the
look that dealt with it.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from gbe.clock import Clock, SystemClock
from gbe.errors import (
    GbeError,
)
from gbe.ids import new_ulid, process_name
from gbe.schedules.catchup import plan
from gbe.schedules.client import differences, readable, unchanged
from gbe.schedules.config import SchedulerConfig
from gbe.schedules.file import merge
from gbe.schedules.names import FIRE_AT, ScheduleNames
from gbe.schedules.observer import NoObserver, ScheduleObserver
from gbe.schedules.record import DONE_TTL, ScheduleRecord
from gbe.schedules.starter import ENGINE_ERRORS, Started, Starter
from gbe.schedules.triggers import EventTriggers
from gbe.schemas import system
from gbe.schemas.system import Fault
from gbe.state.base import KEEP, MAX_DUE, Record, StateStore
from gbe.state.leading import lead
from gbe.state.lease import Lease
from gbe.transport.base import Transport

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 64
_PAUSE: Final = 1.0
_TRIES: Final = 5


class Scheduler:
    """One candidate for the one active scheduler of a deployment.

    Args:
        starter: what starts tasks and jobs.
        configured: the ``schedules:`` section, by name, as JSON would hold it.
        clock: whose moments count as now; its monotonic time is that of the lease.

    Attributes:
        lease: which of the candidates is active.
        triggers: the schedules that go by events.
    """

    def __init__(
        self,
        transport: Transport,
        state: StateStore,
        names: ScheduleNames,
        starter: Starter,
        configured: Mapping[str, Mapping[str, Any]] | None = None,
        config: SchedulerConfig | None = None,
        clock: Clock | None = None,
        observer: ScheduleObserver | None = None,
    ) -> None:
        self._transport, self._state, self._names, self._starter = transport, state, names, starter
        self._configured = configured or {}
        self.config = config or SchedulerConfig()
        self._clock, self._observer = clock or SystemClock(), observer or NoObserver()
        self.name = process_name()
        self.lease = Lease(state, names.lease, term=self.config.term, holder=self.name, clock=self._clock)
        self.triggers = EventTriggers(transport, state, names, starter, self._observer, self._clock)

    @property
    def is_active(self) -> bool:
        """Whether this is the one that starts things."""
        return self.lease.is_held

    async def run(self) -> None:
        """Wait for the lease, then work until cancelled. An engine that goes away is waited for."""
        await lead(self.lease, "scheduler", self._work)

    async def _work(self) -> None:
        await self.merge()
        listening = asyncio.create_task(self.triggers.run(), name="gbe.scheduler.triggers")
        try:
            while True:
                await self._look_safely()
                await asyncio.sleep(self._until_next_look())
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    def _until_next_look(self) -> float:
        """Due times are whole seconds: a look right after one finds what is due without delay."""
        step = round(self.config.interval * 1000)
        return (step - self._clock.now_ms() % step + 1) / 1000

    async def merge(self) -> None:
        """Bring the store to what the file says. Raises ``StateUnavailableError``."""
        await merge(self._state, self._names, self._configured, self._clock)

    async def _look_safely(self) -> None:
        try:
            await self.look()
        except ENGINE_ERRORS as exc:
            logger.warning("schedules not all looked at: %s", exc)

    # -- due times

    async def look(self) -> int:
        """Fire all that is due now; returns how many schedules were due.

        Raises:
            LeaseLostError: this is not the active scheduler, or no longer.
            StateUnavailableError: the store did not answer; what is left is found by the next look.
        """
        now = self._clock.now_ms()
        seen: set[str] = set()
        limit = self.config.page
        while True:
            page = await self._state.due(FIRE_AT, now, limit=limit)
            fresh = [found for found in page if found.key not in seen]
            if not fresh and (len(page) < limit or limit == MAX_DUE):
                return len(seen)
            if not fresh:  # a page of what could not be started: look behind it
                limit = min(2 * limit, MAX_DUE)
            seen.update(found.key for found in fresh)
            for start in range(0, len(fresh), _AT_ONCE):
                await asyncio.gather(*(self._look_at(found, now) for found in fresh[start : start + _AT_ONCE]))

    async def _look_at(self, found: Record, now: int) -> None:
        _ = self.lease.fence
        record = readable(self._names, found.key, found.fields)
        if record is None:
            logger.warning("schedule cannot be read, it is left alone", extra={"key": found.key})
            return
        try:
            await self.fire(record, now)
        except ENGINE_ERRORS as exc:
            logger.warning("schedule not fired yet: %s", exc, extra={"schedule": record.name})

    async def fire(self, record: ScheduleRecord, now: int) -> None:
        """Deal with all due times of one schedule up to ``now``, as its policy says.

        Raises:
            StateError, TransportError, ObjectUnavailableError: it is still due; the same call may succeed later.
        """
        rule, due = record.rule, record.fire_at
        if rule is None or due is None:
            await self._advance(record, replace(record, fire_at=None))
            return
        decided = record.firing or plan(rule, due, now, record.policy(self.config.grace))
        if record.firing is None and not decided.is_plain:
            noted = replace(record, firing=decided)
            if not await self._state.update_if(
                self._names.record(record.name), unchanged(record), differences(record, noted)
            ):
                return  # somebody else has changed or fired it: it is looked at again
            record = noted
        after = record
        for moment in decided.fire:
            _ = self.lease.fence
            after = await self._start(after, moment)
        if decided.missed:
            self._observer.missed(decided.missed)
            logger.warning(
                "due times missed: %d", decided.missed, extra={"schedule": record.name, "since": due, "until": now}
            )
        after = replace(
            after,
            firing=None,
            fire_at=decided.next,
            misses=record.misses + decided.missed,
            cursor=max(record.cursor, due, *decided.fire),
        )
        await self._advance(record, after)

    async def _start(self, record: ScheduleRecord, due: int) -> ScheduleRecord:
        """Start what is due; a target that refuses is noted, and the schedule goes on."""
        definition = record.definition
        late = (self._clock.now_ms() - due) / 1000
        key = f"schedule:{record.name}:0:{due}"
        try:
            started = await self._starter.start(definition.target, msgspec.json.encode(definition.params), key=key)
        except ENGINE_ERRORS:
            raise
        except GbeError as exc:
            return await self._refused(record, due, str(exc), late)
        except Exception as exc:
            logger.exception("schedule not fired", extra={"schedule": record.name})
            return await self._refused(record, due, f"{type(exc).__name__}: {exc}", late)
        self._observer.fired("time", "started", late)
        logger.info("schedule fired", extra={"schedule": record.name, "due": due, "id": started.id})
        return _fired(record, due, started, self._clock.now_ms())

    async def _refused(self, record: ScheduleRecord, due: int, error: str, late: float) -> ScheduleRecord:
        self._observer.fired("time", "refused", late)
        logger.error("schedule not fired: %s", error, extra={"schedule": record.name, "due": due})
        now = self._clock.now_ms()
        text = f"schedule {record.name}: {record.definition.target} could not be started: {error}"
        fault = Fault(ts=now, id=new_ulid(), source="scheduler", error=text[:1000])
        try:
            await self._transport.publish(self._names.errors, system.encode(fault))
        except GbeError as exc:
            logger.warning("fault not published: %s", exc)
        return replace(record, refusals=record.refusals + 1, last_due=due, last_refused_at=now, last_error=error[:1000])

    async def _advance(self, before: ScheduleRecord, after: ScheduleRecord) -> None:
        """Write what has happened, unless somebody else has moved the schedule on. Counts of calls are kept."""
        key = self._names.record(before.name)
        for _ in range(_TRIES):
            is_done = after.fire_at is None and after.definition.at is not None and after.configured is None
            ttl = DONE_TTL if is_done else KEEP
            if await self._state.update_if(key, unchanged(before), differences(before, after), ttl=ttl):
                return
            fields = await self._state.get(key)
            now = None if fields is None else readable(self._names, key, fields)
            if now is None or now.fire_at != before.fire_at or now.definition.trigger != before.definition.trigger:
                return
            more = {name: getattr(now, name) + getattr(after, name) - getattr(before, name) for name in _COUNTS}
            moved = {name: getattr(after, name) for name in ("firing", "fire_at", "cursor", "last_due", "last_error")}
            before, after = now, replace(now, **more, **moved)


_COUNTS: Final = ("fires", "misses", "refusals")


def _fired(record: ScheduleRecord, due: int, started: Started, now: int) -> ScheduleRecord:
    return replace(
        record,
        fires=record.fires + 1,
        last_due=due,
        last_fired_at=now,
        last_kind=started.kind,
        last_id=started.id,
    )
