"""Limits of visitors that all processes of a deployment count together (``notify.visitor_limits: shared``).

Each process decides by itself, at once, and tells the others through the state store: what a visitor has used is added
to the visitor's record, and what the record then says is what the process goes on with. That happens as soon as a
visitor shows up, and every second while it is active. So a visitor that goes to many nodes at once may have a second's
worth too much, which it then owes: no request waits for the store, and none fails when the store is away.

A record of a visitor: ``b0``, ``b1``, … are the unix milliseconds at which a bucket is full again (the generic cell
rate algorithm), ``day``, ``messages`` and ``bytes`` count the day, and ``s-PROCESS`` are the open streams of a process,
with the unix second until which its word counts.
"""

import asyncio
import hashlib
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from gbe.errors import StateError
from gbe.ids import new_ulid
from gbe.notify.ledger import MAX_VISITORS, Bucket, Ledger, LocalLedger
from gbe.state.base import StateStore

logger = logging.getLogger(__name__)

PAUSE: Final = 1.0
"""Seconds between two rounds."""

_LIFE: Final = 25 * 3600.0  # of a record: longer than anything in it counts
_STREAMS_LIFE: Final = 90  # seconds for which a process's word on its streams counts
_REPEAT: Final = 30.0  # seconds after which it is said again
_FRESH: Final = 5.0  # seconds after which a visitor that comes back is asked about at once
_AT_ONCE: Final = 16
_MOST: Final = 2_000  # visitors a round
_TRIES: Final = 20


class _Pending:
    """What the store has not been told of a visitor."""

    __slots__ = ("day", "messages", "size", "taken")

    def __init__(self) -> None:
        self.taken = [0] * len(Bucket)
        self.day = self.messages = self.size = 0

    def turn_to(self, day: int) -> None:
        if self.day != day:
            self.day, self.messages, self.size = day, 0, 0


class SharedLimits(Ledger):
    """A ledger of one process that others add to."""

    def __init__(self, store: StateStore, namespace: str, size: int = MAX_VISITORS) -> None:
        self._store, self._prefix = store, f"{namespace}.state.notify.visitors"
        self._local = LocalLedger(size)
        self._process = new_ulid()
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._size = size
        self._told: OrderedDict[str, float] = OrderedDict()  # visitor → when its record was last read
        self._others: dict[str, int] = {}  # streams that a visitor has open in other processes
        self._streams: dict[str, int] = {}
        self._replenish = [1.0] * len(Bucket)
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._local)

    def take(self, key: str, bucket: Bucket, *, burst: int, replenish: float) -> bool:
        self._replenish[bucket] = replenish
        taken = self._local.take(key, bucket, burst=burst, replenish=replenish)
        self._changed(key).taken[bucket] += taken
        return taken

    def left(self, key: str, bucket: Bucket, *, burst: int, replenish: float) -> int:
        self._replenish[bucket] = replenish
        self._changed(key)  # who is asked about is one whose use elsewhere matters here
        return self._local.left(key, bucket, burst=burst, replenish=replenish)

    def give_back(self, key: str, bucket: Bucket, *, replenish: float) -> None:
        self._local.give_back(key, bucket, replenish=replenish)
        self._changed(key).taken[bucket] -= 1

    def take_message(self, key: str, *, day: int, limit: int) -> bool:
        taken = self._local.take_message(key, day=day, limit=limit)
        pending = self._changed(key)
        pending.turn_to(day)
        pending.messages += taken
        return taken

    def take_bytes(self, key: str, count: int, *, day: int, limit: int) -> bool:
        taken = self._local.take_bytes(key, count, day=day, limit=limit)
        pending = self._changed(key)
        pending.turn_to(day)
        pending.size += count if taken else 0
        return taken

    def bytes_spent(self, key: str, *, day: int) -> int:
        return self._local.bytes_spent(key, day=day)

    def messages_spent(self, key: str, *, day: int) -> int:
        return self._local.messages_spent(key, day=day)

    def open_stream(self, key: str, *, limit: int) -> bool:
        self._changed(key)
        if not self._local.open_stream(key, limit=limit - self._others.get(key, 0)):
            return False
        self._streams[key] = self._streams.get(key, 0) + 1
        return True

    def close_stream(self, key: str) -> None:
        self._local.close_stream(key)
        self._streams[key] -= 1
        if not self._streams[key]:
            del self._streams[key]
        self._changed(key)

    def _changed(self, key: str) -> _Pending:
        pending = self._pending.get(key)
        if pending is None:
            pending = self._pending[key] = _Pending()
            if len(self._pending) > self._size:
                self._pending.popitem(last=False)
            if time.monotonic() > self._told.get(key, 0.0) + _FRESH:
                self._wake.set()
        return pending

    # -- together with the others

    async def run(self) -> None:
        """Exchange with the store until cancelled."""
        is_reachable = True
        while True:
            try:
                await self.exchange()
                is_reachable = True
            except StateError as exc:
                if is_reachable:
                    logger.warning("limits of visitors count for this process alone for now: %s", exc)
                is_reachable = False
                await asyncio.sleep(PAUSE)
            try:
                await asyncio.wait_for(self._wake.wait(), PAUSE)
            except TimeoutError:
                continue
            finally:
                self._wake.clear()

    async def exchange(self) -> None:
        """One round; raises ``StateError``, and what was not told then is told next time."""
        now = time.monotonic()
        silent = [key for key in self._streams if now > self._told.get(key, 0.0) + _REPEAT]
        keys = list(dict.fromkeys([*self._pending, *silent]))[:_MOST]
        for begin in range(0, len(keys), _AT_ONCE):
            results = await asyncio.gather(*map(self._merge, keys[begin : begin + _AT_ONCE]), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result

    async def _merge(self, key: str) -> None:
        pending = self._pending.pop(key, None) or _Pending()
        name = f"{self._prefix}.{hashlib.blake2s(key.encode(), digest_size=16).hexdigest()}"
        is_told = False
        try:
            for _ in range(_TRIES):
                record = await self._store.get(name) or {}
                changes = self._sum(key, record, pending)
                expected = {field: record.get(field) for field in changes if not field.startswith("s-")}
                is_told = await self._store.update_if(name, expected, changes, ttl=_LIFE)
                if is_told:
                    self._adopt(key, {**record, **{f: v for f, v in changes.items() if v is not None}})
                    return
                await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311 - so that two do not meet again
        finally:
            if not is_told:
                self._keep(key, pending)

    def _sum(self, key: str, record: Mapping[str, bytes], pending: _Pending) -> dict[str, bytes | None]:
        now_ms = time.time_ns() // 1_000_000
        changes: dict[str, bytes | None] = {}
        for bucket, taken in enumerate(pending.taken):
            if taken:
                full = max(_number(record, f"b{bucket}"), now_ms) + round(taken * self._replenish[bucket] * 1000)
                changes[f"b{bucket}"] = b"%d" % full
        if pending.day and pending.day >= _number(record, "day"):
            is_same = pending.day == _number(record, "day")
            changes["day"] = b"%d" % pending.day
            changes["messages"] = b"%d" % (pending.messages + is_same * _number(record, "messages"))
            changes["bytes"] = b"%d" % (pending.size + is_same * _number(record, "bytes"))
        streams, own = self._streams.get(key, 0), f"s-{self._process}"
        changes[own] = b"%d %d" % (streams, now_ms // 1000 + _STREAMS_LIFE) if streams else None
        for field, value in record.items():
            if field.startswith("s-") and field != own and int(value.split()[1]) * 1000 < now_ms:
                changes[field] = None
        return changes

    def _adopt(self, key: str, record: Mapping[str, bytes]) -> None:
        """Go on with what the record says, and what came here meanwhile."""
        now_ms, now = time.time_ns() // 1_000_000, time.monotonic()
        meanwhile = self._pending.get(key) or _Pending()
        full = [
            now + (_number(record, f"b{bucket}") - now_ms) / 1000 + meanwhile.taken[bucket] * self._replenish[bucket]
            for bucket in Bucket
        ]
        day, messages, size = (_number(record, field) for field in ("day", "messages", "bytes"))
        is_same = meanwhile.day == day
        self._local.set(key, full, day, messages + is_same * meanwhile.messages, size + is_same * meanwhile.size)
        own = f"s-{self._process}"
        others = sum(
            int(value.split()[0])
            for field, value in record.items()
            if field.startswith("s-") and field != own and int(value.split()[1]) * 1000 >= now_ms
        )
        if others:
            self._others[key] = others
        else:
            self._others.pop(key, None)
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > self._size:
            forgotten, _ = self._told.popitem(last=False)
            self._others.pop(forgotten, None)

    def _keep(self, key: str, pending: _Pending) -> None:
        """What could not be told is told next time, with what has come since."""
        newer = self._changed(key)
        newer.taken = [old + new for old, new in zip(pending.taken, newer.taken, strict=True)]
        if newer.day in (0, pending.day):
            newer.day, newer.messages, newer.size = (
                pending.day,
                newer.messages + pending.messages,
                newer.size + pending.size,
            )


def _number(record: Mapping[str, bytes], field: str) -> int:
    return int(record.get(field, b"0"))
