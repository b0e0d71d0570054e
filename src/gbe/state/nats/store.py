"""``NatsStateStore``: the contract of ``gbe.state.base`` on a JetStream KV bucket."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, Self

import msgspec
from nats.aio.msg import Msg

from gbe.errors import InvalidKeyError, StateClosedError, StateUnavailableError, UnsupportedEngineError
from gbe.state.base import Record, ScanPage, StateConfig, StateStore, Ttl, Watch, matches
from gbe.state.nats.errors import as_state
from gbe.state.nats.index import DeadlineIndex
from gbe.state.nats.requests import DEDUP_WINDOW, Message, Requests, record_message
from gbe.state.nats.watch import NatsWatch
from gbe.state.nats.wire import NOTHING, SEQUENCE, SUBJECT, TOMBSTONE_SECONDS, Names, Stored
from gbe.state.nats.wire import stored as read_stored
from gbe.transport.nats.config import NatsConfig
from gbe.transport.nats.connection import NatsConnection
from gbe.transport.nats.errors import (
    NO_MESSAGE_FOUND,
    STREAM_NAME_IN_USE,
    ApiError,
    NoRespondersError,
    NotPermittedError,
)

logger = logging.getLogger(__name__)

MINIMUM_VERSION: Final = (2, 12, 0)
_SECOND: Final = 1_000_000_000
_PAGE: Final = 500
_PAGE_BYTES: Final = 4 * 1024 * 1024
_ROOM: Final = 4 * 1024  # headers, which the engine counts in, and what MessagePack adds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05  # after losing a compare-and-set to somebody else
_MOST_KNOWN: Final = 4096
_MOST_KNOWN_BYTES: Final = 4 * 1024
_LAGGING_REPLICA: Final = 0.02
_CURSOR_DIGITS: Final = 19

Decide = Callable[[dict[str, bytes] | None], dict[str, bytes] | None]
"""From a record's fields (``None``: not there) to those to be written, empty to remove it; ``None`` writes nothing."""


class _Config(msgspec.Struct):
    config: dict[str, Any]


def bucket_config(names: Names, replicas: int) -> dict[str, Any]:
    """The bucket in the JetStream API's words. Exact: the API refuses unknown fields since 2.12."""
    return {
        "name": names.stream,
        "subjects": names.subjects,
        "retention": "limits",
        "storage": "file",
        "num_replicas": replicas,
        "max_msgs_per_subject": 1,  # also: without it, short TTLs are raised to that of the markers
        "max_age": 0,
        "max_bytes": -1,
        "max_msgs": -1,
        "max_consumers": -1,
        "discard": "new",  # a full disk refuses writes, and removes nothing
        "duplicate_window": DEDUP_WINDOW * _SECOND,
        "allow_direct": True,
        "allow_atomic": True,
        "allow_msg_ttl": True,
        "allow_rollup_hdrs": True,  # wanted by the next one
        "subject_delete_marker_ttl": TOMBSTONE_SECONDS * _SECOND,  # a record's end is a message, which watchers see
    }


class NatsStateStore(StateStore):
    """A state store on a NATS server or cluster; open it with ``await NatsStateStore.open(…)``."""

    def __init__(self, nats: NatsConfig, config: StateConfig | None = None) -> None:
        super().__init__(config or StateConfig())
        self._names = Names(self.config.bucket)
        self._connection = NatsConnection(nats)
        self._requests = Requests(self._connection, self._names)
        self._index = DeadlineIndex(self._connection, self._requests, self._names)
        self._watches: set[NatsWatch] = set()
        self._known: dict[str, Stored] = {}  # our own latest writes
        self._is_closed = False

    @classmethod
    async def open(cls, nats: NatsConfig, config: StateConfig | None = None, *, replicas: int = 1) -> Self:
        """Connect, check the engine, and make the bucket if it is not there.

        Raises:
            StateUnavailableError: no server answered in time, or it refused the credentials.
            UnsupportedEngineError: the server is too old, runs without JetStream, or takes only smaller messages.
            StateError: the engine refuses the bucket; the text carries its reason.
        """
        store = cls(nats, config)
        try:
            with as_state("state store"):
                await store._connection.open()
            await store._check_engine()
            await store._ensure_bucket(replicas)
        except BaseException:
            await store.close()
            raise
        return store

    async def _check_engine(self) -> None:
        version = self._connection.server_version
        if version < MINIMUM_VERSION:
            found, floor = (".".join(map(str, v)) for v in (version, MINIMUM_VERSION))
            raise UnsupportedEngineError(f"NATS server {found} is too old: gbe needs {floor} or newer")
        room, needed = self._connection.server_max_payload, self.config.max_record_size + _ROOM
        if room < needed:
            raise UnsupportedEngineError(
                f"the NATS server takes {room} bytes a message; a record of {self.config.max_record_size} needs "
                f"{needed}: raise the server's max_payload or lower state.max_record_size"
            )

    async def _ensure_bucket(self, replicas: int) -> None:
        wanted = bucket_config(self._names, replicas)
        with as_state(f"bucket {self.config.bucket}"):
            try:
                try:
                    await self._connection.api(f"STREAM.CREATE.{self._names.stream}", wanted)
                except ApiError as exc:
                    if exc.err_code != STREAM_NAME_IN_USE:
                        raise
                    await self._update_bucket(wanted)
            except NotPermittedError as exc:
                raise UnsupportedEngineError(f"the NATS server has no JetStream for this account: {exc}") from exc
            except NoRespondersError as exc:
                raise UnsupportedEngineError("the NATS server runs without JetStream: switch it on") from exc

    async def _update_bucket(self, wanted: Mapping[str, Any]) -> None:
        data = await self._connection.api(f"STREAM.INFO.{self._names.stream}")
        current = msgspec.json.decode(data, type=_Config).config
        changed = {key: value for key, value in wanted.items() if current.get(key) != value}
        if changed:
            await self._connection.api(f"STREAM.UPDATE.{self._names.stream}", wanted)
            logger.info("state bucket updated: %s", self.config.bucket, extra={"changed": sorted(changed)})

    # -- one record

    async def _get(self, key: str) -> dict[str, bytes] | None:
        self._check_open()
        return (await self._requests.last(key)).fields

    async def _put(self, key: str, fields: dict[str, bytes], ttl: float | None) -> None:
        self._check_open()
        if not self._deadlines(fields):
            await self._store(key, None, fields, ttl, self._requests.deadline())
        # with an index entry it goes on condition (see wire); most records that are put are new
        elif not await self._store(key, NOTHING, fields, ttl, self._requests.deadline()):
            await self._modify(key, lambda _: fields, ttl)

    async def _set_fields(self, key: str, changes: dict[str, bytes | None], ttl: Ttl) -> None:
        await self._modify(key, lambda fields: self._changed(fields or {}, changes), ttl)

    async def _update_if(
        self, key: str, expected: dict[str, bytes | None], changes: dict[str, bytes | None], ttl: Ttl
    ) -> bool:
        def decide(fields: dict[str, bytes] | None) -> dict[str, bytes] | None:
            return self._changed(fields or {}, changes) if matches(fields or {}, expected) else None

        return await self._modify(key, decide, ttl)

    async def _delete(self, key: str) -> bool:
        return await self._modify(key, lambda fields: None if fields is None else {}, None)

    async def _modify(self, key: str, decide: Decide, ttl: Ttl) -> bool:
        """Read, decide, and write if nobody wrote meanwhile; else again, until the operation's deadline."""
        self._check_open()
        deadline, pause = self._requests.deadline(), _FIRST_PAUSE
        while True:
            # what we wrote last is likely to be the last still. If it is not, the engine says so and stores nothing
            known = self._known.pop(key, None)
            current = await self._requests.last(key) if known is None else known
            after = decide(current.fields)
            if known is not None and after is None:
                continue
            if after is None:
                return False
            if not after and current.fields is None:
                return True  # nothing is there, and nothing is to be there
            if await self._store(key, current, after, ttl, deadline):
                return True
            if known is not None:
                continue
            if asyncio.get_running_loop().time() >= deadline:
                raise StateUnavailableError(f"{key}: too many writers at once; nothing was written")
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - spreads competitors, hides nothing
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _store(
        self, key: str, current: Stored | None, fields: dict[str, bytes], ttl: Ttl, deadline: float
    ) -> bool:
        """Write a record, with the index entries that it needs; ``current`` of ``None`` overwrites anything."""
        self._check_open()
        record = record_message(self._names.record(key), fields, ttl, current)
        before = {} if current is None else self._deadlines_of(current.fields)
        entries = [
            Message(self._names.entry(index, moment, key))
            for index, moment in self._deadlines(fields).items()
            if index not in before or moment < before[index]
        ]
        self._known.pop(key, None)
        sequence = await self._requests.write(record, None if current is None else current.sequence, deadline, entries)
        if sequence and fields and not record.headers and len(record.body) <= _MOST_KNOWN_BYTES:
            if len(self._known) >= _MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[key] = Stored(sequence, dict(fields))
        return sequence is not None

    def _deadlines_of(self, fields: dict[str, bytes] | None) -> dict[str, int]:
        try:
            return self._deadlines(fields or {})
        except ValueError:  # somebody else's writing: no entry can be relied on
            return {}

    # -- many records

    async def _scan(self, prefix: str) -> AsyncIterator[Record]:
        self._check_open()
        fields = await self._get(prefix)
        if fields is not None:
            yield Record(prefix, fields)
        begin: int | None = 1
        while begin is not None:
            page, begin = await self._page(prefix, begin, _PAGE)
            for msg in page:
                record = self._record_of(msg)
                if record is not None:
                    yield record

    async def _scan_page(self, prefix: str, cursor: str | None, limit: int, until: str | None) -> ScanPage:
        """A cursor is the sequence that the next page begins with."""
        begin = 1 if cursor is None else _sequence(cursor)
        end = None if until is None else _sequence(until)
        self._check_open()
        own = await self._get(prefix) if cursor is None else None
        page, go_on = await self._page(prefix, begin, limit)
        if end is not None:
            page = [msg for msg in page if int((msg.headers or {})[SEQUENCE]) < end]
            go_on = None if go_on is None or go_on >= end else go_on
        found = [record for msg in page if (record := self._record_of(msg)) is not None]
        records = found if own is None else [Record(prefix, own), *found]
        return ScanPage(records, None if go_on is None else str(go_on), len(page))

    async def _page(self, prefix: str, begin: int, limit: int) -> tuple[list[Msg], int | None]:
        """Messages of records from a sequence on, and the sequence to go on with; ``None``: there are no more."""
        pattern, deadline = f"{self._names.record(prefix)}.>", self._requests.deadline()
        body = {"seq": begin, "next_by_subj": pattern, "batch": limit, "max_bytes": _PAGE_BYTES}
        while True:
            self._check_open()
            page = (await self._requests.many(body))[:-1]
            if page:
                last = page[-1].headers or {}
                go_on = int(last[SEQUENCE]) + 1
                if last.get("Nats-Num-Pending") != "0" or await self._has_more(pattern, go_on):
                    return page, go_on
                return page, None
            if not await self._has_more(pattern, begin):
                return [], None
            if asyncio.get_running_loop().time() >= deadline:
                raise StateUnavailableError("scan: the replicas of the bucket lag behind")
            await asyncio.sleep(_LAGGING_REPLICA)

    async def _has_more(self, pattern: str, begin: int) -> bool:
        """Where a page sees the end: any replica of a cluster answers it, and may lag, so the leader is asked too."""
        return self._connection.is_clustered and await self._leader_has_more(pattern, begin)

    def _record_of(self, msg: Msg) -> Record | None:
        headers = msg.headers or {}
        fields = read_stored(msg.data, headers, 0).fields
        return None if fields is None else Record(self._names.key(headers[SUBJECT]), fields)

    async def _leader_has_more(self, pattern: str, begin: int) -> bool:
        with as_state("scan"):
            try:
                body = {"seq": begin, "next_by_subj": pattern, "no_hdr": True}
                await self._connection.api(f"STREAM.MSG.GET.{self._names.stream}", body)
            except ApiError as exc:
                if exc.err_code == NO_MESSAGE_FOUND:
                    return False
                raise
        return True

    async def _due(self, index: str, before: int, limit: int) -> list[Record]:
        self._check_open()
        return await self._index.due(index, before, limit)

    def _watch(self, prefix: str) -> Watch:
        self._check_open()
        watch = NatsWatch(self._connection, self._names, prefix, self._watches.discard)
        self._watches.add(watch)
        return watch

    # -- life

    async def ping(self) -> float:
        self._check_open()
        started = time.perf_counter()
        with as_state("ping"):
            await self._connection.flush()
        return time.perf_counter() - started

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for watch in list(self._watches):
            await watch.close()
        self._requests.close()
        await self._connection.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise StateClosedError("the state store is closed")


def _sequence(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < _CURSOR_DIGITS and int(cursor)):
        raise InvalidKeyError(cursor, "not a cursor of this store", what="cursor")
    return int(cursor)
