"""What visitors have used: requests, messages and bytes of the day, open streams and more (section 8.3).

``LocalLedger`` counts for one process, ``SharedLedger`` for all worker processes of a server. Both are bounded:
beyond their size the visitor idle for longest is forgotten.
"""

import hashlib
import math
import mmap
import struct
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from enum import IntEnum
from pathlib import Path
from typing import Final

MAX_VISITORS: Final = 100_000


class Bucket(IntEnum):
    """What is granted in a burst, and then again bit by bit."""

    REQUESTS = 0
    EMAILS = 1
    TOPICS = 2
    AUTH_FAILURES = 3
    SIGN_UPS = 4


class Ledger(ABC):
    """Counts what each visitor uses; a visitor is a text key."""

    @abstractmethod
    def take(self, key: str, bucket: Bucket, *, burst: int, replenish: float) -> bool:
        """Spend one of a bucket of ``burst`` that gets one back each ``replenish`` seconds, if one is left."""

    @abstractmethod
    def left(self, key: str, bucket: Bucket, *, burst: int, replenish: float) -> int:
        """How many are left in such a bucket."""

    @abstractmethod
    def give_back(self, key: str, bucket: Bucket, *, replenish: float) -> None:
        """Undo a ``take``."""

    @abstractmethod
    def take_message(self, key: str, *, day: int, limit: int) -> bool:
        """Spend one of ``limit`` messages of a day (any number that changes with the day), if one is left."""

    @abstractmethod
    def take_bytes(self, key: str, count: int, *, day: int, limit: int) -> bool:
        """Spend so many of ``limit`` bytes of a day, if they are left."""

    @abstractmethod
    def bytes_spent(self, key: str, *, day: int) -> int:
        """How many bytes of that day are spent."""

    @abstractmethod
    def messages_spent(self, key: str, *, day: int) -> int:
        """Messages of that day that are spent."""

    @abstractmethod
    def open_stream(self, key: str, *, limit: int) -> bool:
        """Occupy one of ``limit`` streams until ``close_stream``, if one is free."""

    @abstractmethod
    def close_stream(self, key: str) -> None:
        """Free a stream."""

    @abstractmethod
    def __len__(self) -> int:
        """Visitors remembered, of this process."""


_ROUNDING: Final = 1e-6  # (now + x) - now is not quite x


def _refilled(refilled_at: float, now: float, burst: int, replenish: float) -> float | None:
    """When the bucket will be full again after one more request, or ``None`` if it has none left.

    The generic cell rate algorithm: one number instead of a count and a time.
    """
    refilled_at = max(refilled_at, now) + replenish
    return refilled_at if refilled_at - now <= burst * replenish + _ROUNDING else None


def _left(refilled_at: float, now: float, burst: int, replenish: float) -> int:
    """How many more requests a bucket has."""
    owed = max(refilled_at - now, 0.0)
    return max(0, math.floor(burst - (owed - _ROUNDING) / replenish)) if owed else burst


class _Record:
    __slots__ = ("day", "messages", "refilled_at", "size", "streams")

    def __init__(self) -> None:
        self.refilled_at = [0.0] * len(Bucket)
        self.day = self.messages = self.size = self.streams = 0

    def turn_to(self, day: int) -> None:
        """What is counted by the day starts again with each."""
        if self.day != day:
            self.day, self.messages, self.size = day, 0, 0


class _Entry(_Record):
    """What a slot of the shared table holds."""

    __slots__ = ("identity", "seen")

    def __init__(self) -> None:
        super().__init__()
        self.identity, self.seen = 0, 0.0


class LocalLedger(Ledger):
    """The ledger of a server with one process."""

    def __init__(self, size: int = MAX_VISITORS) -> None:
        self._size = size
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def take(self, key: str, bucket: Bucket, *, burst: int, replenish: float) -> bool:
        record = self._record(key)
        refilled_at = _refilled(record.refilled_at[bucket], time.monotonic(), burst, replenish)
        if refilled_at is None:
            return False
        record.refilled_at[bucket] = refilled_at
        return True

    def left(self, key: str, bucket: Bucket, *, burst: int, replenish: float) -> int:
        record = self._records.get(key)
        return burst if record is None else _left(record.refilled_at[bucket], time.monotonic(), burst, replenish)

    def give_back(self, key: str, bucket: Bucket, *, replenish: float) -> None:
        record = self._records.get(key)
        if record is not None:
            record.refilled_at[bucket] -= replenish

    def take_message(self, key: str, *, day: int, limit: int) -> bool:
        record = self._record(key)
        record.turn_to(day)
        if record.messages >= limit:
            return False
        record.messages += 1
        return True

    def take_bytes(self, key: str, count: int, *, day: int, limit: int) -> bool:
        record = self._record(key)
        record.turn_to(day)
        if record.size + count > limit:
            return False
        record.size += count
        return True

    def bytes_spent(self, key: str, *, day: int) -> int:
        record = self._record(key)
        record.turn_to(day)
        return record.size

    def set(self, key: str, refilled_at: list[float], day: int, messages: int, size: int) -> None:
        """What somebody else knows better: when each bucket is full again, and what is counted by the day."""
        record = self._record(key)
        record.refilled_at = refilled_at
        if day >= record.day:
            record.day, record.messages, record.size = day, messages, size

    def messages_spent(self, key: str, *, day: int) -> int:
        record = self._records.get(key)
        return record.messages if record is not None and record.day == day else 0

    def open_stream(self, key: str, *, limit: int) -> bool:
        record = self._record(key)
        if record.streams >= limit:
            return False
        record.streams += 1
        return True

    def close_stream(self, key: str) -> None:
        self._record(key).streams -= 1

    def _record(self, key: str) -> _Record:
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = _Record()
            self._forget()
        else:
            self._records.move_to_end(key)
        return record

    def _forget(self) -> None:
        """Make room; a visitor with an open stream is not idle, so it goes to the end of the queue once."""
        for _ in range(2):
            if len(self._records) <= self._size:
                return
            key, oldest = next(iter(self._records.items()))
            if not oldest.streams:
                del self._records[key]
                return
            self._records.move_to_end(key)


# hash of the key, time of the last look, when each bucket is full again, day, messages of that day, bytes of that day
_SLOT: Final = struct.Struct(f"=Qd{len(Bucket)}dIIQ")
_STREAMS: Final = struct.Struct("=H")
_SLOTS: Final = 65_536
_PROBES: Final = 8


class SharedLedger(Ledger):
    """The ledger of all workers of a server: a table in a file that all of them map into memory.

    There are no locks. Two workers that serve the same visitor in the same microsecond may both write, and one write
    is lost: the visitor gets a request more than its due. Each worker counts open streams in a part of its own, so
    that those of a worker that died can be struck out by its successor.
    """

    def __init__(self, path: Path, *, worker: int, workers: int) -> None:
        """Map the table, made by ``create``; the streams of a predecessor with this number are struck out.

        Args:
            worker: this process's number, from 0.
            workers: how many there are.
        """
        with path.open("r+b") as file:
            self._table = mmap.mmap(file.fileno(), _file_size(workers))
        self._workers = workers
        self._own = _SLOT.size * _SLOTS + worker * _STREAMS.size * _SLOTS
        self._table[self._own : self._own + _STREAMS.size * _SLOTS] = bytes(_STREAMS.size * _SLOTS)
        self._open: dict[str, int] = {}  # slots of visitors with streams here: they must not move

    @staticmethod
    def create(path: Path, *, workers: int) -> None:
        """Make an empty table; the file is sparse until it is used."""
        with path.open("xb") as file:
            file.truncate(_file_size(workers))

    def __len__(self) -> int:
        with memoryview(self._table) as table, table[: _SLOT.size * _SLOTS].cast("Q") as words:
            return _SLOTS - words[:: _SLOT.size // 8].tolist().count(0)

    def take(self, key: str, bucket: Bucket, *, burst: int, replenish: float) -> bool:
        slot, entry = self._find(key)
        now = time.monotonic()  # one clock for all processes of a machine
        next_refill = _refilled(entry.refilled_at[bucket], now, burst, replenish)
        if next_refill is None:
            return False
        entry.refilled_at[bucket] = next_refill
        self._write(slot, entry)
        return True

    def left(self, key: str, bucket: Bucket, *, burst: int, replenish: float) -> int:
        _, entry = self._find(key)
        return _left(entry.refilled_at[bucket], time.monotonic(), burst, replenish)

    def give_back(self, key: str, bucket: Bucket, *, replenish: float) -> None:
        slot, entry = self._find(key)
        entry.refilled_at[bucket] -= replenish
        self._write(slot, entry)

    def take_message(self, key: str, *, day: int, limit: int) -> bool:
        slot, entry = self._find(key)
        entry.turn_to(day)
        if entry.messages >= limit:
            return False
        entry.messages += 1
        self._write(slot, entry)
        return True

    def take_bytes(self, key: str, count: int, *, day: int, limit: int) -> bool:
        slot, entry = self._find(key)
        entry.turn_to(day)
        if entry.size + count > limit:
            return False
        entry.size += count
        self._write(slot, entry)
        return True

    def bytes_spent(self, key: str, *, day: int) -> int:
        _, entry = self._find(key)
        entry.turn_to(day)
        return entry.size

    def messages_spent(self, key: str, *, day: int) -> int:
        _, entry = self._find(key)
        entry.turn_to(day)
        return entry.messages

    def open_stream(self, key: str, *, limit: int) -> bool:
        slot, _ = self._find(key)
        if sum(self._streams(slot)) >= limit:
            return False
        self._open[key] = slot
        self._count_stream(slot, 1)
        return True

    def close_stream(self, key: str) -> None:
        slot = self._open[key]
        if not self._count_stream(slot, -1):
            del self._open[key]

    # -- the table

    def _find(self, key: str) -> tuple[int, _Entry]:
        """The slot of a visitor; a free one, or that of the longest idle neighbour, for a new visitor."""
        identity = int.from_bytes(hashlib.blake2s(key.encode(), digest_size=8).digest()) or 1
        oldest, oldest_slot = float("inf"), -1
        for probe in range(_PROBES):
            slot = (identity + probe) % _SLOTS
            record = self._read(slot)
            if record.identity == identity:
                return slot, record
            if record.seen < oldest and not any(self._streams(slot)):
                oldest, oldest_slot = record.seen, slot
        if oldest_slot < 0:  # all neighbours have streams open: share a slot rather than go uncounted
            oldest_slot = identity % _SLOTS
            return oldest_slot, self._read(oldest_slot)
        entry = _Entry()
        entry.identity = identity
        self._write(oldest_slot, entry)
        return oldest_slot, entry

    def _read(self, slot: int) -> _Entry:
        entry = _Entry()
        entry.identity, entry.seen, *rest = _SLOT.unpack_from(self._table, slot * _SLOT.size)
        *entry.refilled_at, entry.day, entry.messages, entry.size = rest
        return entry

    def _write(self, slot: int, entry: _Entry) -> None:
        _SLOT.pack_into(
            self._table,
            slot * _SLOT.size,
            entry.identity,
            time.monotonic(),
            *entry.refilled_at,
            entry.day,
            entry.messages,
            entry.size,
        )

    def _streams(self, slot: int) -> list[int]:
        """Open streams of the visitor in a slot, worker by worker."""
        start = _SLOT.size * _SLOTS + slot * _STREAMS.size
        step = _STREAMS.size * _SLOTS
        return [_STREAMS.unpack_from(self._table, start + worker * step)[0] for worker in range(self._workers)]

    def _count_stream(self, slot: int, change: int) -> int:
        place = self._own + slot * _STREAMS.size
        count: int = _STREAMS.unpack_from(self._table, place)[0] + change
        _STREAMS.pack_into(self._table, place, max(0, min(count, 65_535)))
        return count


def _file_size(workers: int) -> int:
    return _SLOT.size * _SLOTS + workers * _STREAMS.size * _SLOTS
