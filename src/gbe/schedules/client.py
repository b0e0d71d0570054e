"""What programs, the command line and HTTP do with schedules: make, look, change, pause, run, delete."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from gbe.clock import Clock, SystemClock
from gbe.errors import (
    InvalidScheduleError,
    ScheduleConflictError,
    ScheduleNotFoundError,
    StateUnavailableError,
)
from gbe.ids import new_ulid
from gbe.schedules.definition import TIMES, Definition, check_keys
from gbe.schedules.names import ScheduleNames, check_name
from gbe.schedules.observer import NoObserver, ScheduleObserver
from gbe.schedules.record import ScheduleRecord
from gbe.schedules.rules import show_moment
from gbe.schedules.starter import KINDS, Started, Starter
from gbe.state.base import StateStore

logger = logging.getLogger(__name__)

MOST_LISTED: Final = 1000
_TRIES: Final = 20
_MAX_KEY: Final = 100

Change = Callable[[ScheduleRecord], ScheduleRecord]


@dataclass(frozen=True, slots=True)
class SchedulePage:
    """Some schedules by name, and the cursor behind them; ``None`` at the end."""

    schedules: list[ScheduleRecord]
    cursor: str | None


class ScheduleClient:
    """Works on the schedules of one deployment.

    Args:
        state: where they are.
        starter: what they start things with.
    """

    def __init__(
        self,
        state: StateStore,
        names: ScheduleNames,
        starter: Starter,
        clock: Clock | None = None,
        observer: ScheduleObserver | None = None,
    ) -> None:
        self._state, self._names, self._starter = state, names, starter
        self._clock, self._observer = clock or SystemClock(), observer or NoObserver()

    # -- look

    async def get(self, name: str) -> ScheduleRecord:
        """A schedule. Raises ``ScheduleNotFoundError``."""
        record = await self._find(name)
        if record is None:
            raise ScheduleNotFoundError(name)
        return record

    async def list(self, *, limit: int = 100, cursor: str | None = None) -> SchedulePage:
        """Some schedules, by name.

        Args:
            limit: 1 to 1,000.
            cursor: of the page before.

        Raises:
            InvalidScheduleError: not a limit, not a cursor.
        """
        if not 1 <= limit <= MOST_LISTED:
            raise InvalidScheduleError("", "limit", f"{limit}; expected 1 to {MOST_LISTED}")
        found: dict[str, ScheduleRecord] = {}
        async for record in self.scan():
            if cursor is None or record.name > cursor:
                found[record.name] = record
            if len(found) > 4 * limit + 100:
                found = dict(sorted(found.items())[: limit + 1])
        first = [record for _, record in sorted(found.items())[: limit + 1]]
        return SchedulePage(first[:limit], first[limit - 1].name if len(first) > limit else None)

    async def scan(self) -> AsyncIterator[ScheduleRecord]:
        """Every schedule that can be read, in no order."""
        async for found in self._state.scan(self._names.prefix):
            record = readable(self._names, found.key, found.fields)
            if record is not None:
                yield record

    # -- change

    async def create(self, name: str, settings: Mapping[str, object]) -> ScheduleRecord:
        """Make a schedule.

        Raises:
            InvalidScheduleError, TaskError, …: a setting or the target cannot be; nothing was written.
            ScheduleConflictError: there is one of that name.
        """
        definition = Definition.parse(name, settings)
        await self._check(definition)
        now = self._clock.now_ms()
        record = ScheduleRecord(name=name, changed=_plain(settings), rev=1, created_at=now, updated_at=now).begun(now)
        _check_is_ahead(name, definition, record)
        if not await self._state.update_if(self._names.record(name), {"rev": None}, record.to_fields(), ttl=None):
            raise ScheduleConflictError(f"there is a schedule {name} already; change it, or delete it first")
        return record

    async def change(self, name: str, settings: Mapping[str, object]) -> ScheduleRecord:
        """Change settings; ``None`` takes one back, to what the file says of it.

        When what starts it changes, it begins anew: due times that have passed are left.

        Raises:
            ScheduleNotFoundError: there is none.
            InvalidScheduleError, …: as for ``create``.
        """
        known = await self.get(name)
        check_keys(name, settings)
        await self._check(_changed(known, settings).definition)
        now = self._clock.now_ms()

        def change(record: ScheduleRecord) -> ScheduleRecord:
            changed = replace(_changed(record, settings), updated_at=now)
            if changed.definition.trigger == record.definition.trigger and changed.is_paused == record.is_paused:
                return changed
            begun = changed.begun(now)
            _check_is_ahead(name, changed.definition, begun)
            return begun

        return await self._write(name, change)

    async def pause(self, name: str, *, paused: bool) -> ScheduleRecord:
        """Start nothing until it is resumed; what is due meanwhile is left. Raises ``ScheduleNotFoundError``."""
        now = self._clock.now_ms()

        def change(record: ScheduleRecord) -> ScheduleRecord:
            if record.is_paused == paused:
                return record
            return replace(record, paused=paused, updated_at=now).begun(now)

        return await self._write(name, change)

    async def delete(self, name: str) -> None:
        """Remove a schedule; what it has started goes on.

        Raises:
            ScheduleNotFoundError: there is none.
            ScheduleConflictError: the file defines it.
        """
        record = await self.get(name)
        if record.configured is not None:
            raise ScheduleConflictError(
                f"schedule {name} is defined in the configuration file: remove it there, or pause it"
            )
        await self._state.delete(self._names.record(name))

    # -- run

    async def run(
        self, name: str, params: Mapping[str, object] | None = None, *, idempotency_key: str | None = None
    ) -> Started:
        """Start what a schedule starts, now, whether it is paused or not; its due times stay as they are.

        Args:
            params: beside its own, and in their place.
            idempotency_key: a second call with the same key starts nothing more, as long as what was started is kept.

        Raises:
            ScheduleNotFoundError: there is none.
            InvalidScheduleError, TaskError, …: it cannot be started so; nothing was.
        """
        record = await self.get(name)
        key = idempotency_key or new_ulid()
        if len(key) > _MAX_KEY or not key.isprintable():
            raise InvalidScheduleError(name, "idempotency_key", f"expected 1 to {_MAX_KEY} printable characters")
        definition = record.definition
        merged = _plain({**definition.params, **(params or {})})
        now = self._clock.now_ms()
        started = await self._starter.start(definition.target, msgspec.json.encode(merged), key=call_key(name, key))
        self._observer.fired("call", "started", 0.0)

        def note(record: ScheduleRecord) -> ScheduleRecord:
            return replace(
                record, fires=record.fires + 1, last_fired_at=now, last_kind=started.kind, last_id=started.id
            )

        try:
            await self._write(name, note)
        except (StateUnavailableError, ScheduleNotFoundError) as exc:  # what was started is started
            logger.warning("call not noted: %s", exc, extra={"schedule": name})
        return started

    # -- inside

    async def _find(self, name: str) -> ScheduleRecord | None:
        key = self._names.record(check_name(name))
        fields = await self._state.get(key)
        if fields is None:
            return None
        try:
            return ScheduleRecord.from_fields(name, fields)
        except (ValueError, TypeError, msgspec.MsgspecError) as exc:
            raise ScheduleConflictError(f"schedule {name} cannot be read: {exc}; delete its record {key}") from exc

    async def _write(self, name: str, change: Change) -> ScheduleRecord:
        for _ in range(_TRIES):
            record = await self.get(name)
            after = change(record)
            if after is record:
                return record
            after = replace(after, rev=record.rev + 1)
            if await self._state.update_if(self._names.record(name), unchanged(record), differences(record, after)):
                return after
        raise StateUnavailableError(f"schedule {name} changes too fast; try again")

    async def _check(self, definition: Definition) -> None:
        """Whether the target can be started so; parameters from an event are not known yet."""
        params = None if definition.event is not None else msgspec.json.encode(definition.params)
        await self._starter.check(definition.target, params)


def readable(names: ScheduleNames, key: str, fields: Mapping[str, bytes]) -> ScheduleRecord | None:
    """The schedule of a record; ``None`` for what cannot be read: it is of another version."""
    name = names.name_of(key)
    if name is None:
        return None
    try:
        record = ScheduleRecord.from_fields(name, fields)
        _ = record.definition
    except (ValueError, TypeError, msgspec.MsgspecError):
        return None
    return record


def unchanged(record: ScheduleRecord) -> dict[str, bytes | None]:
    """What a record is recognised by: nobody has changed or fired it since."""
    due = record.fire_at
    return {"rev": b"%d" % record.rev, "fire_at": None if due is None else b"%d" % due}


def call_key(name: str, key: str) -> str:
    """What is started by a call."""
    return f"schedule:{name}:0:call-{key}"


def differences(before: ScheduleRecord, after: ScheduleRecord) -> dict[str, bytes | None]:
    """The fields that are to be written."""
    old = before.to_fields()
    return {key: value for key, value in after.to_fields().items() if old[key] != value}


def _changed(record: ScheduleRecord, settings: Mapping[str, object]) -> ScheduleRecord:
    given = {key.replace("-", "_"): value for key, value in _plain(settings).items()}
    rivals = _without_rivals(given)
    changed = {key: value for key, value in {**record.changed, **rivals}.items() if value is not None}
    return replace(record, changed=changed, paused=None if "paused" in given else record.paused)


def _without_rivals(settings: Mapping[str, object]) -> dict[str, object]:
    """The settings, and what they take the place of as ``None``: a new ``every`` ends a ``cron``."""
    given = {key.replace("-", "_"): value for key, value in settings.items()}
    found: dict[str, object] = {}
    for group in (TIMES, KINDS):
        if any(given.get(key) is not None for key in group):
            found |= dict.fromkeys(group)
    return found | given


def _plain(settings: Mapping[str, object]) -> dict[str, Any]:
    """As it is stored."""
    try:
        found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(settings))
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise InvalidScheduleError("", "", f"a value that cannot be written as JSON: {exc}") from None
    return found


def _check_is_ahead(name: str, definition: Definition, record: ScheduleRecord) -> None:
    if definition.at is not None and definition.at <= record.cursor:
        raise InvalidScheduleError(name, "at", f"{show_moment(definition.at)} has passed; name a moment to come")
    if definition.cron is not None and record.fire_at is None and not record.is_paused:
        raise InvalidScheduleError(name, "cron", f"{definition.cron!r} never comes")
