"""Limits that all workers share: how many tasks run at a time, and how many start in a time.

A concurrency limit is a record whose fields are the tasks that hold a place, each with the moment until which it does;
a worker renews the places of its tasks with their leases, so that those of a dead worker come free by themselves. A
rate limit is the moment before which the next start is early (the generic cell rate algorithm).
"""

import asyncio
import math
import random
from dataclasses import dataclass
from typing import Final

from gbe.clock import Clock
from gbe.lifecycle.names import TaskNames
from gbe.lifecycle.types import Rate, TaskType
from gbe.state.base import StateStore

PLACE_MS: Final = 10_000
"""How long a place is held without a renewal."""
_RECORD_TTL: Final = 3600.0
_TRIES: Final = 20
_BUSY: Final = 0.25
_VERSION, _EARLIEST = "version", "earliest"


@dataclass(frozen=True, slots=True)
class Place:
    """One place that a task holds in one concurrency limit."""

    record: str
    holder: str


class Limits:
    """Asks for the limits of types, and gives places back."""

    def __init__(self, state: StateStore, names: TaskNames, clock: Clock) -> None:
        self._state, self._names, self._clock = state, names, clock

    async def admit(self, name: str, task_type: TaskType, key: str | None, holder: str) -> "list[Place] | float":
        """The places that a task holds from now on, or how many seconds to wait before asking again."""
        wanted: list[tuple[str, int]] = []
        if task_type.concurrency is not None:
            wanted.append((self._names.limit("running", name), task_type.concurrency))
        if task_type.concurrency_per_key is not None and key is not None:
            wanted.append((self._names.limit("running", name, key), task_type.concurrency_per_key))
        places: list[Place] = []
        for record, most in wanted:
            if not await self._enter(record, most, holder):
                await self.leave(places)
                return _BUSY * random.uniform(0.5, 1.5)  # noqa: S311  no secret
            places.append(Place(record, holder))
        rates: list[tuple[str, Rate]] = []
        if task_type.rate_limit_per_key is not None and key is not None:
            rates.append((self._names.limit("rate", name, key), task_type.rate_limit_per_key))
        if task_type.rate_limit is not None:
            rates.append((self._names.limit("rate", name), task_type.rate_limit))
        for record, rate in rates:
            wait = await self._start(record, rate)
            if wait > 0:
                await self.leave(places)
                return wait
        return places

    async def renew(self, places: list[Place]) -> None:
        """Hold places a while longer."""
        ends = b"%d" % (self._clock.now_ms() + PLACE_MS)
        await asyncio.gather(
            *(self._state.set_fields(place.record, {place.holder: ends}, ttl=_RECORD_TTL) for place in places)
        )

    async def leave(self, places: list[Place]) -> None:
        """Give places back."""
        await asyncio.gather(*(self._state.set_fields(place.record, {place.holder: None}) for place in places))

    async def _enter(self, record: str, most: int, holder: str) -> bool:
        for _ in range(_TRIES):
            fields = await self._state.get(record) or {}
            now = self._clock.now_ms()
            version = fields.pop(_VERSION, None)
            gone = {name: None for name, ends in fields.items() if int(ends) <= now}
            if len(fields) - len(gone) >= most and holder not in fields:
                return False
            changes: dict[str, bytes | None] = {**gone, holder: b"%d" % (now + PLACE_MS)}
            changes[_VERSION] = b"%d" % (int(version or b"0") + 1)
            if await self._state.update_if(record, {_VERSION: version}, changes, ttl=_RECORD_TTL):
                return True
        return False

    async def _start(self, record: str, rate: Rate) -> float:
        """0 for a start that may be now, else how long it is early."""
        for _ in range(_TRIES):
            fields = await self._state.get(record) or {}
            stored = fields.get(_EARLIEST)
            now = self._clock.now_ms() / 1000
            earliest = max(now, float(stored or b"0"))
            early = earliest - now - (rate.burst - rate.interval)
            if early > 0:
                return early
            after = b"%.6f" % (earliest + rate.interval)
            ttl = max(2.0, math.ceil(earliest + rate.interval - now) + 60.0)
            if await self._state.update_if(record, {_EARLIEST: stored}, {_EARLIEST: after}, ttl=ttl):
                return 0.0
        return _BUSY
