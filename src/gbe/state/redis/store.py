"""``RedisStateStore``: the contract of ``gbe.state.base`` on Redis, single or cluster, Valkey and MemoryDB."""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Sequence
from math import ceil
from typing import Any, Final, Self

from gbe.errors import (
    InvalidKeyError,
    InvalidRecordError,
    RecordTooLargeError,
    StateClosedError,
    UnsupportedEngineError,
)
from gbe.redis.client import RedisClient
from gbe.redis.config import RedisConfig
from gbe.redis.protocol import Argument
from gbe.redis.scripts import Script
from gbe.state.base import MAX_FIELDS, Keep, Record, ScanPage, StateConfig, StateStore, Ttl, Watch, check_key, covers
from gbe.state.redis import scripts
from gbe.state.redis.changes import ChangeFeed, RedisWatch
from gbe.state.redis.errors import as_state
from gbe.state.redis.keys import BUCKETS, Bucket, Buckets

_LAYOUT: Final = f"gbe state 1, {BUCKETS} buckets"
_PAGE: Final = 200
_PAGE_BYTES: Final = 512 * 1024
_BUCKETS_AT_ONCE: Final = 8
_READS_AT_ONCE: Final = 256
_LEAST_PER_BUCKET: Final = 16
_CURSOR_DIGITS: Final = 4


class RedisStateStore(StateStore):
    """A state store on Redis; open it with ``await RedisStateStore.open(…)``."""

    def __init__(self, client: RedisClient, config: StateConfig | None = None) -> None:
        super().__init__(config or StateConfig())
        self._client = client
        self._buckets = Buckets(self.config.bucket)
        self._indexes = " ".join(self.config.indexes)
        self._feed = ChangeFeed(client, self._buckets, self._indexes)
        self._watches: set[RedisWatch] = set()
        self._write_prefix = f"{os.getpid():x}{time.time_ns():x}{os.urandom(4).hex()}"
        self._write_ids = itertools.count(1)
        # no repetition of a write comes after its deadline; a stalled link may hold one back for a while more
        self._mark_ms = ceil(1000 * (2 * client.config.request_timeout + client.config.stall_timeout))
        self._is_closed = False

    @classmethod
    async def open(cls, redis: RedisConfig, config: StateConfig | None = None) -> Self:
        """Connect and check the server.

        Raises:
            StateUnavailableError: nobody answered in time.
            UnsupportedEngineError: wrong credentials, an old version, a cluster where a single server was named or the
                other way round, or a store of another layout.
        """
        with as_state("state store", opening=True):
            store = cls(await RedisClient.open(redis), config)
        try:
            await store._check_layout()
        except BaseException:
            await store.close()
            raise
        return store

    async def _check_layout(self) -> None:
        with as_state("state store", opening=True):
            found = await self._client.call("SET", self._buckets.mark, _LAYOUT, "NX", "GET")
        if found is not None and found != _LAYOUT.encode():
            raise UnsupportedEngineError(
                f"state store {self.config.bucket} was made with another layout: {found[:80]!r}, not {_LAYOUT!r}"
            )

    # -- one record

    async def _get(self, key: str) -> dict[str, bytes] | None:
        self._check_open()
        with as_state("get"):
            flat = await self._client.call("HGETALL", self._buckets.of(key).record(key))
        return _fields(flat) or None

    async def _get_field(self, key: str, field: str) -> bytes | None:
        self._check_open()
        with as_state("get_field"):
            value: bytes | None = await self._client.call("HGET", self._buckets.of(key).record(key), field)
        return value

    async def _put(self, key: str, fields: dict[str, bytes], ttl: float | None) -> None:
        await self._write(key, "put", {}, fields, ttl)

    async def _set_fields(self, key: str, changes: dict[str, bytes | None], ttl: Ttl) -> None:
        await self._write(key, "set", {}, changes, ttl)

    async def _update_if(
        self, key: str, expected: dict[str, bytes | None], changes: dict[str, bytes | None], ttl: Ttl
    ) -> bool:
        return await self._write(key, "set", expected, changes, ttl)

    async def _write(
        self,
        key: str,
        kind: str,
        expected: dict[str, bytes | None],
        changes: dict[str, bytes] | dict[str, bytes | None],
        ttl: Ttl,
    ) -> bool:
        self._check_open()
        bucket = self._buckets.of(key)
        life = -1 if isinstance(ttl, Keep) else 0 if ttl is None else ceil(ttl * 1000)
        arguments: list[Argument] = [bucket.tag, key, self._indexes, kind, life, self._mark_ms]
        arguments += [MAX_FIELDS, self.config.max_record_size, len(expected), len(changes)]
        for field, value in (*expected.items(), *changes.items()):
            arguments += [field, 0 if value is None else 1, value or b""]
        result = await self._run(scripts.WRITE, bucket, key, arguments)
        if isinstance(result, list):
            what, count = result
            if what == b"bytes":
                raise RecordTooLargeError(count, self.config.max_record_size)
            raise InvalidRecordError(f"{count} fields; a record has at most {MAX_FIELDS}")
        return bool(result)

    async def _delete(self, key: str) -> bool:
        self._check_open()
        bucket = self._buckets.of(key)
        arguments: list[Argument] = [bucket.tag, key, self._indexes, self._mark_ms]
        return bool(await self._run(scripts.DELETE, bucket, key, arguments))

    async def _run(self, script: Script, bucket: Bucket, key: str, arguments: Sequence[Argument]) -> Any:
        """A write: sent again while the connection fails, applied once."""
        mark = bucket.named(f"w:{self._write_prefix}-{next(self._write_ids)}")
        config = self._client.config
        deadline = asyncio.get_running_loop().time() + config.request_timeout
        with as_state("write"):
            call = self._client.begin(script, [bucket.record(key), mark], arguments, bucket.slot, config.wait_replicas)
            return await call.result(deadline)

    # -- many records

    async def _scan(self, prefix: str) -> AsyncIterator[Record]:
        self._check_open()
        fields = await self._get(prefix)
        if fields is not None:
            yield Record(prefix, fields)
        for start in range(0, BUCKETS, _BUCKETS_AT_ONCE):
            some = self._buckets.all[start : start + _BUCKETS_AT_ONCE]
            begin = f"[{prefix}."
            firsts = await asyncio.gather(*(self._page(bucket, prefix, begin) for bucket in some))
            for bucket, (page, go_on) in zip(some, firsts, strict=True):
                for record in page:
                    yield record
                while go_on:
                    page, go_on = await self._page(bucket, prefix, go_on)
                    for record in page:
                        yield record

    async def _scan_page(self, prefix: str, cursor: str | None, limit: int, until: str | None) -> ScanPage:
        """Bucket after bucket. A cursor is the bucket and the key behind which to go on."""
        number, behind = (0, "") if cursor is None else _place(cursor, prefix)
        last, end = (BUCKETS, "") if until is None else _place(until, prefix)
        own = await self._get(prefix) if cursor is None else None
        records = [] if own is None else [Record(prefix, own)]
        looked = 0
        while number < last or (number == last and end):
            if looked >= limit:
                return ScanPage(records, f"{number}:{behind}", looked)
            begin, most = f"({behind}" if behind else f"[{prefix}.", min(_PAGE, limit - looked)
            border = f"[{end}" if number == last else None
            page, go_on = await self._page(self._buckets.all[number], prefix, begin, most, border)
            records += page
            looked += len(page) or (most if go_on else 0)
            number, behind = (number, go_on[1:]) if go_on else (number + 1, "")
        return ScanPage(records, None, looked)

    async def _page(
        self, bucket: Bucket, prefix: str, begin: str, most: int = _PAGE, end: str | None = None
    ) -> tuple[list[Record], str]:
        self._check_open()
        end = end or f"({prefix}/"  # the slash follows the dot
        with as_state("scan"):
            go_on, *found = await self._client.run(
                scripts.SCAN, [bucket.named("keys")], [bucket.tag, begin, end, most, _PAGE_BYTES]
            )
        records = [Record(key.decode(), _fields(flat)) for key, flat in zip(found[::2], found[1::2], strict=True)]
        return records, go_on.decode()

    async def _due(self, index: str, before: int, limit: int) -> list[Record]:
        self._check_open()
        most = {bucket: max(_LEAST_PER_BUCKET, 2 * limit // BUCKETS) for bucket in self._buckets.all}
        found: dict[Bucket, list[tuple[int, str]]] = {}
        asking: Sequence[Bucket] = self._buckets.all
        while asking:
            answers = await asyncio.gather(*(self._due_in(bucket, index, before, most[bucket]) for bucket in asking))
            found.update(zip(asking, answers, strict=True))
            if sum(map(len, found.values())) >= limit:
                break
            asking = [bucket for bucket in asking if len(found[bucket]) >= most[bucket]]
            for bucket in asking:
                most[bucket] = min(limit, 4 * most[bucket])
            asking = [bucket for bucket in asking if len(found[bucket]) < most[bucket]]
        earliest = sorted(entry for entries in found.values() for entry in entries)[:limit]
        records: list[Record] = []
        for start in range(0, len(earliest), _READS_AT_ONCE):
            keys = [key for _, key in earliest[start : start + _READS_AT_ONCE]]
            for key, fields in zip(keys, await asyncio.gather(*map(self._get, keys)), strict=True):
                if fields is not None and int(fields.get(index, before + 1)) <= before:
                    records.append(Record(key, fields))
        return records

    async def _due_in(self, bucket: Bucket, index: str, before: int, most: int) -> list[tuple[int, str]]:
        with as_state("due"):
            flat = await self._client.run(
                scripts.DUE, [bucket.named(f"due:{index}")], [bucket.tag, self._indexes, before, most]
            )
        return [(int(score), key.decode()) for key, score in zip(flat[::2], flat[1::2], strict=True)]

    def _watch(self, prefix: str) -> Watch:
        self._check_open()
        watch = RedisWatch(self._feed, prefix, self._get, self._watches.discard)
        self._watches.add(watch)
        return watch

    # -- life

    async def ping(self) -> float:
        self._check_open()
        started = time.perf_counter()
        with as_state("ping"):
            await self._client.call_anywhere("PING")
        return time.perf_counter() - started

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for watch in list(self._watches):
            watch.close()
        await self._feed.close()
        await self._client.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise StateClosedError("the state store is closed")


def _fields(flat: Sequence[bytes]) -> dict[str, bytes]:
    return {field.decode(): value for field, value in zip(flat[::2], flat[1::2], strict=True)}


def _place(cursor: str, prefix: str) -> tuple[int, str]:
    """Bucket and key of a cursor."""
    number, colon, key = cursor.partition(":")
    if not (colon and number.isascii() and number.isdigit() and len(number) < _CURSOR_DIGITS):
        raise InvalidKeyError(cursor, "not a cursor of this store", what="cursor")
    if key and not covers(prefix, check_key(key, what="cursor")):
        raise InvalidKeyError(cursor, "of a scan of another prefix", what="cursor")
    if int(number) >= BUCKETS:
        raise InvalidKeyError(cursor, "not a cursor of this store", what="cursor")
    return int(number), key
