"""Schedules that go by events: a consumer group each, whose every event starts something once.

The engine remembers how far a group has come, so events that are published while no scheduler is at work are dealt
with later. An event that comes twice has the same key, and starts nothing more.

Loops: what a trigger starts publishes events itself (``gbe.tasks.{type}.terminal``, for one). Each start carries how
many triggers led to it; an event of a task that this trigger started is passed over, and so is one behind a chain of
more than ``MOST_HOPS`` triggers.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from gbe.clock import Clock
from gbe.errors import (
    GbeError,
    StateError,
    StateUnavailableError,
)
from gbe.schedules.client import differences, readable, unchanged
from gbe.schedules.mapping import content_of, event_id, params_of
from gbe.schedules.names import ScheduleNames
from gbe.schedules.observer import ScheduleObserver
from gbe.schedules.record import ScheduleRecord
from gbe.schedules.starter import ENGINE_ERRORS, Started, Starter
from gbe.state.base import Changed, StateStore
from gbe.transport.base import ConsumeOptions, Delivery, FromTime, Transport

logger = logging.getLogger(__name__)

MOST_HOPS: Final = 8
_MAX_KEY: Final = 200
_CONCURRENCY: Final = 8
_TRIES: Final = 20
_PAUSE: Final = 2.0
_MAX_DELIVER: Final = 1000
"""Deliveries of an event: each that fails for the engine's sake waits ``_PAUSE``, so half an hour of outages."""


class _LoopError(Exception):
    """An event that this trigger, or a chain of triggers, has brought about itself."""


class EventTriggers:
    """Listens for the events of all triggers while ``run`` runs."""

    def __init__(
        self,
        transport: Transport,
        state: StateStore,
        names: ScheduleNames,
        starter: Starter,
        observer: ScheduleObserver,
        clock: Clock,
    ) -> None:
        self._transport, self._state, self._names = transport, state, names
        self._starter, self._observer, self._clock = starter, observer, clock
        self._listening: dict[str, tuple[ScheduleRecord, asyncio.Task[None]]] = {}

    @property
    def listening(self) -> frozenset[str]:
        """The names of those that are listened for."""
        return frozenset(self._listening)

    async def run(self) -> None:
        """Follow the schedules, and listen for the events of those that have one, until cancelled."""
        try:
            while True:
                try:
                    await self._follow()
                except StateError as exc:
                    logger.warning("event triggers are not followed: %s", exc)
                except Exception:
                    logger.exception("event triggers are not followed")
                await asyncio.sleep(_PAUSE)
        finally:
            await self._end(list(self._listening))

    async def _follow(self) -> None:
        async with self._state.watch(self._names.prefix) as changes:
            await self._read_all()
            async for event in changes:
                if isinstance(event, Changed):
                    name = self._names.name_of(event.key)
                    if name is not None:
                        await self._learn(name, self._record(event.key, event.fields))
                else:
                    await self._read_all()

    async def _read_all(self) -> None:
        gone = set(self._listening)
        async for found in self._state.scan(self._names.prefix):
            record = self._record(found.key, found.fields)
            if record is not None:
                gone.discard(record.name)
                await self._learn(record.name, record)
        await self._end(list(gone))

    def _record(self, key: str, fields: Mapping[str, bytes] | None) -> ScheduleRecord | None:
        """The trigger that a record is, if it is an event's and not paused."""
        record = None if fields is None else readable(self._names, key, fields)
        return None if record is None or record.definition.event is None or record.is_paused else record

    async def _learn(self, name: str, record: ScheduleRecord | None) -> None:
        known = self._listening.get(name)
        if record is not None and known is not None and _is_same(record, known[0]):
            return
        await self._end([name])
        if record is not None:
            task = asyncio.create_task(self._listen(record), name=f"gbe.trigger.{name}")
            self._listening[name] = (record, task)

    async def _end(self, names: list[str]) -> None:
        tasks = {name: self._listening[name][1] for name in names if name in self._listening}
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        for name in tasks:  # not before: what is being closed still listens
            self._listening.pop(name, None)

    async def _listen(self, record: ScheduleRecord) -> None:
        pattern = self._names.pattern(record.definition.event or "")
        options = ConsumeOptions(start=FromTime(record.cursor), max_deliver=_MAX_DELIVER)

        async def handle(delivery: Delivery) -> None:
            await self._handle(record, delivery)

        while True:
            try:
                async with self._transport.consume(pattern, self._names.group(record.name), options) as deliveries:
                    await deliveries.run(handle, concurrency=_CONCURRENCY)
                return
            except* GbeError as group:
                error = "; ".join(str(exc) for exc in group.exceptions)
                logger.warning("trigger does not listen: %s", error, extra={"schedule": record.name})
                await self._note_safely(record.name, error)
            await asyncio.sleep(_PAUSE)

    # -- one event

    async def _handle(self, record: ScheduleRecord, delivery: Delivery) -> None:
        envelope = delivery.envelope
        if envelope.timestamp < record.cursor:
            return  # published before the trigger began, or while it was paused
        try:
            started = await self._start(record, delivery)
        except _LoopError as exc:
            self._observer.fired("event", "looped", 0.0)
            logger.info("event passed over: %s", exc, extra={"schedule": record.name, "message_id": envelope.id})
        except ENGINE_ERRORS as exc:
            logger.warning("event waits: %s", exc, extra={"schedule": record.name, "message_id": envelope.id})
            await delivery.nak(_PAUSE)
        except (GbeError, ValueError) as exc:
            self._observer.fired("event", "refused", 0.0)
            logger.error("event refused: %s", exc, extra={"schedule": record.name, "message_id": envelope.id})  # noqa: TRY400
            await delivery.dead_letter(f"schedule {record.name}: {exc}")
            await self._note_safely(record.name, str(exc))
        else:
            self._observer.fired("event", "started", 0.0)
            await self._note_safely(record.name, started)

    async def _start(self, record: ScheduleRecord, delivery: Delivery) -> Started:
        definition, envelope = record.definition, delivery.envelope
        content = content_of(envelope.payload)
        hops = await self._hops(record.name, content)
        params: dict[str, Any] = {**definition.params, **params_of(envelope, content, definition.event_params)}
        key = event_key(record.name, hops, event_id(envelope, content))
        return await self._starter.start(definition.target, msgspec.json.encode(params), key=key)

    async def _hops(self, name: str, content: object) -> int:
        """How many triggers led to an event, this one included. Raises ``_LoopError``."""
        origin = _origin_of(content)
        key = None if origin is None else await self._starter.key_of(*origin)
        parts = (key or "").split(":", 3)
        if len(parts) != 4 or parts[0] != "schedule" or not parts[2].isdigit():
            return 1
        if parts[1] == name:
            raise _LoopError(f"its {origin and origin[0]} was started by this very trigger")
        hops = int(parts[2]) + 1
        if hops > MOST_HOPS:
            raise _LoopError(f"a chain of more than {MOST_HOPS} triggers led to it")
        return hops

    async def _note_safely(self, name: str, what: Started | str) -> None:
        """Write down what came of an event; a note that is lost costs no start."""
        try:
            await self._note(name, what)
        except StateUnavailableError as exc:
            logger.debug("not noted: %s", exc, extra={"schedule": name})

    async def _note(self, name: str, what: Started | str) -> None:
        key = self._names.record(name)
        for _ in range(_TRIES):
            fields = await self._state.get(key)
            record = None if fields is None else readable(self._names, key, fields)
            if record is None:
                return
            after = _noted(record, what, self._clock.now_ms())
            expected = unchanged(record) | {"fires": b"%d" % record.fires, "refusals": b"%d" % record.refusals}
            if await self._state.update_if(key, expected, differences(record, after)):
                return


def event_key(name: str, hops: int, event: str) -> str:
    """What is started by an event. A key that would be too long is shortened in a way that keeps it one event's."""
    key = f"schedule:{name}:{hops}:{event}"
    if len(key) <= _MAX_KEY:
        return key
    return f"schedule:{name}:{hops}:{hashlib.blake2b(event.encode(), digest_size=16).hexdigest()}"


def _is_same(one: ScheduleRecord, other: ScheduleRecord) -> bool:
    return one.definition == other.definition and one.cursor == other.cursor


def _origin_of(content: object) -> tuple[Any, str, str] | None:
    """The task or job that an event of gbe's own is about."""
    if not isinstance(content, Mapping):
        return None
    for kind in ("job", "task"):
        name, id_ = content.get(f"{kind}_type"), content.get(f"{kind}_id")
        if isinstance(name, str) and isinstance(id_, str):
            return kind, name, id_
    return None


def _noted(record: ScheduleRecord, what: Started | str, now: int) -> ScheduleRecord:
    if isinstance(what, str):
        return replace(record, refusals=record.refusals + 1, last_refused_at=now, last_error=what[:1000])
    return replace(record, fires=record.fires + 1, last_fired_at=now, last_kind=what.kind, last_id=what.id)
