"""The state store within one process: for tests and examples, with the whole contract.

Several stores may share one ``MemoryRecords``, as several processes share a server.
"""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator
from typing import Final, Self

from gbe.clock import Clock, SystemClock
from gbe.errors import InvalidKeyError, StateClosedError
from gbe.state.base import (
    Event,
    Keep,
    Record,
    ScanPage,
    StateConfig,
    StateStore,
    Ttl,
    Watch,
    check_key,
    covers,
    matches,
)
from gbe.state.feed import DirtyKeys

_PAGE: Final = 1000


class _Deadlines:
    """One index: a heap of (deadline, key) in which outdated entries are left until they surface."""

    def __init__(self) -> None:
        self._current: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def move(self, key: str, deadline: int | None) -> None:
        """The record's deadline is this now; ``None``: it has none."""
        if deadline is None:
            self._current.pop(key, None)
        elif self._current.get(key) != deadline:
            self._current[key] = deadline
            heapq.heappush(self._heap, (deadline, key))
        if len(self._heap) > 2 * len(self._current) + 64:
            self._heap = [(deadline, key) for key, deadline in self._current.items()]
            heapq.heapify(self._heap)

    def due(self, before: int, limit: int) -> list[str]:
        """The keys of the earliest, in order."""
        found: dict[str, tuple[int, str]] = {}
        while self._heap and self._heap[0][0] <= before and len(found) < limit:
            entry = heapq.heappop(self._heap)
            if self._current.get(entry[1]) == entry[0]:
                found[entry[1]] = entry
        for entry in found.values():
            heapq.heappush(self._heap, entry)
        return list(found)


class MemoryRecords:
    """The records behind one or more ``MemoryStateStore``."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._records: dict[str, tuple[dict[str, bytes], float | None]] = {}
        self._expiries: list[tuple[float, str]] = []
        self._indexes: dict[str, _Deadlines] = {}
        self._watchers: dict[DirtyKeys, str] = {}
        self._alarm: asyncio.TimerHandle | None = None

    def get(self, key: str) -> dict[str, bytes] | None:
        """The record's own fields, not a copy."""
        self._expire()
        entry = self._records.get(key)
        return None if entry is None else entry[0]

    def write(self, key: str, fields: dict[str, bytes], ttl: Ttl, indexes: tuple[str, ...]) -> None:
        """Replace a record; one without fields is removed."""
        if isinstance(ttl, Keep):
            ends = self._records[key][1] if key in self._records else None
        else:
            ends = None if ttl is None else self._clock.monotonic() + ttl
        if not fields:
            self._remove(key)
            return
        self._records[key] = (fields, ends)
        if ends is not None:
            heapq.heappush(self._expiries, (ends, key))
        for name in {*indexes, *self._indexes}:
            value = fields.get(name)
            self._indexes.setdefault(name, _Deadlines()).move(key, None if value is None else int(value))
        self._tell(key)

    def _remove(self, key: str) -> None:
        if self._records.pop(key, None) is None:
            return
        for index in self._indexes.values():
            index.move(key, None)
        self._tell(key)

    def keys(self) -> list[str]:
        """Of all records, as they are at this moment."""
        self._expire()
        return list(self._records)

    def due(self, index: str, before: int, limit: int) -> list[str]:
        """See ``StateStore.due``."""
        self._expire()
        return self._indexes.setdefault(index, _Deadlines()).due(before, limit)

    def watch(self, prefix: str, watcher: DirtyKeys) -> None:
        """Tell a watcher of every change from now on."""
        self._watchers[watcher] = prefix
        self._set_alarm()

    def unwatch(self, watcher: DirtyKeys) -> None:
        """Tell it no more."""
        self._watchers.pop(watcher, None)
        if not self._watchers and self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _tell(self, key: str) -> None:
        for watcher, prefix in self._watchers.items():
            if covers(prefix, key):
                watcher.add(key)

    def _expire(self) -> None:
        now = self._clock.monotonic()
        while self._expiries and self._expiries[0][0] <= now:
            ends, key = heapq.heappop(self._expiries)
            entry = self._records.get(key)
            if entry is not None and entry[1] == ends:
                self._remove(key)

    def _set_alarm(self) -> None:
        """While somebody watches, ends are noticed by themselves."""
        self._expire()
        if self._watchers:
            self._alarm = asyncio.get_running_loop().call_later(0.5, self._set_alarm)


class MemoryStateStore(StateStore):
    """A state store in this process; nothing outlives its ``MemoryRecords``."""

    def __init__(self, records: MemoryRecords | None = None, config: StateConfig | None = None) -> None:
        super().__init__(config or StateConfig())
        self._records = MemoryRecords() if records is None else records
        self._watches: set[_MemoryWatch] = set()
        self._is_closed = False

    async def _get(self, key: str) -> dict[str, bytes] | None:
        self._check_open()
        fields = self._records.get(key)
        return None if fields is None else dict(fields)

    async def _put(self, key: str, fields: dict[str, bytes], ttl: float | None) -> None:
        self._check_open()
        self._records.write(key, fields, ttl, self.config.indexes)

    async def _set_fields(self, key: str, changes: dict[str, bytes | None], ttl: Ttl) -> None:
        await self._update_if(key, {}, changes, ttl)

    async def _update_if(
        self, key: str, expected: dict[str, bytes | None], changes: dict[str, bytes | None], ttl: Ttl
    ) -> bool:
        self._check_open()
        fields = self._records.get(key) or {}
        if not matches(fields, expected):
            return False
        self._records.write(key, self._changed(fields, changes), ttl, self.config.indexes)
        return True

    async def _delete(self, key: str) -> bool:
        self._check_open()
        if self._records.get(key) is None:
            return False
        self._records.write(key, {}, None, self.config.indexes)
        return True

    async def _scan(self, prefix: str) -> AsyncIterator[Record]:
        self._check_open()
        for number, key in enumerate(self._records.keys()):
            if number % _PAGE == _PAGE - 1:
                await asyncio.sleep(0)
            self._check_open()
            if covers(prefix, key) and (fields := self._records.get(key)) is not None:
                yield Record(key, dict(fields))

    async def _scan_page(self, prefix: str, cursor: str | None, limit: int, until: str | None) -> ScanPage:
        """A cursor is the last key of its page."""
        self._check_open()
        for given in (cursor, until):
            if given is not None and not covers(prefix, check_key(given, what="cursor")):
                raise InvalidKeyError(given, "of a scan of another prefix", what="cursor")
        keys = [key for key in self._records.keys() if covers(prefix, key) and key > (cursor or "")]  # noqa: SIM118
        if until is not None:
            keys = [key for key in keys if key <= until]
        some = heapq.nsmallest(limit, keys)
        records = [Record(key, dict(self._records.get(key) or {})) for key in some]
        return ScanPage(records, some[-1] if len(keys) > limit else None, len(some))

    async def _due(self, index: str, before: int, limit: int) -> list[Record]:
        self._check_open()
        return [Record(key, dict(self._records.get(key) or {})) for key in self._records.due(index, before, limit)]

    def _watch(self, prefix: str) -> Watch:
        self._check_open()
        return _MemoryWatch(self, self._records, prefix, self._watches)

    async def ping(self) -> float:
        self._check_open()
        started = time.perf_counter()
        await asyncio.sleep(0)
        return time.perf_counter() - started

    async def close(self) -> None:
        self._is_closed = True
        for watch in list(self._watches):
            await watch.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise StateClosedError("the state store is closed")


class _MemoryWatch(Watch):
    def __init__(
        self, store: MemoryStateStore, records: MemoryRecords, prefix: str, watches: "set[_MemoryWatch]"
    ) -> None:
        self._store, self._records, self._prefix, self._watches = store, records, prefix, watches
        self._dirty = DirtyKeys()

    async def __aenter__(self) -> Self:
        self._watches.add(self)
        self._records.watch(self._prefix, self._dirty)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        self._watches.discard(self)
        self._records.unwatch(self._dirty)
        self._dirty.close()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._dirty.events(self._store.get)
