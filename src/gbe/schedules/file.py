"""The ``schedules:`` section of ``gbe.yaml`` in the state store: what is new there, what has changed, what is gone."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gbe.clock import Clock
from gbe.schedules.client import readable, unchanged
from gbe.schedules.names import ScheduleNames
from gbe.schedules.record import ScheduleRecord
from gbe.state.base import StateStore

logger = logging.getLogger(__name__)


async def merge(
    state: StateStore, names: ScheduleNames, configured: Mapping[str, Mapping[str, Any]], clock: Clock
) -> None:
    """Bring the store to what the file says; what was changed at run time stays.

    Every write is conditional on what was read: of two that merge at once, one has the last word on each schedule.

    Args:
        configured: settings by name, as JSON would hold them, checked already.

    Raises:
        StateUnavailableError: the store did not answer; what is left is done by the next call.
    """
    left = dict(configured)
    async for found in state.scan(names.prefix):
        record = readable(names, found.key, found.fields)
        if record is None:
            logger.warning("schedule cannot be read, it does nothing", extra={"key": found.key})
            continue
        await _bring(state, names, record, left.pop(record.name, None), clock.now_ms())
    for name, settings in left.items():
        now = clock.now_ms()
        record = ScheduleRecord(name=name, configured=settings, rev=1, created_at=now, updated_at=now).begun(now)
        if record.definition.at is not None and record.fire_at is None and not record.is_paused:
            logger.warning("schedule is of a moment that has passed: it does nothing", extra={"schedule": name})
        await state.update_if(names.record(name), {"rev": None}, record.to_fields())


async def _bring(
    state: StateStore, names: ScheduleNames, record: ScheduleRecord, settings: Mapping[str, Any] | None, now: int
) -> None:
    if settings == record.configured:
        return
    key = names.record(record.name)
    if settings is None and not record.changed:
        await state.delete(key)
        return
    after = replace(record, configured=settings, rev=record.rev + 1, updated_at=now)
    try:
        definition = after.definition
    except ValueError as exc:  # what was changed at run time does not go with the file any more: the file counts
        logger.warning("schedule: what was changed at run time is dropped: %s", exc, extra={"schedule": record.name})
        after = replace(after, changed={})
        if settings is None:
            await state.delete(key)
            return
        definition = after.definition
    if definition.trigger != record.definition.trigger or after.is_paused != record.is_paused:
        after = after.begun(now)
    await state.update_if(key, unchanged(record), after.to_fields(), ttl=None)
