"""The state store contract (system.md section 5).

Messages are signals; state lives here. A *record* is a map of field name to bytes under a dotted key, with an optional
time to live. Every back end passes ``tests/conformance/state``; what a back end cannot do natively it builds.

What all back ends promise:

- **Each operation on one record is atomic, and the operations on it are linearisable**: there is one order of them
  all, in which each takes place between its call and its return. Nothing is promised across records.
- **A write that returned is stored.** A write that raises ``StateUnavailableError`` may or may not have happened: read
  before trying again. The retries inside a back end never apply a change twice, and ``update_if`` never answers
  ``False`` for a change of its own that was applied.
- **Every record with a deadline is found by its deadline.** A crash between two writes never loses one.
- Reconnecting is the back end's business: a caller sees an error only when the operation's own deadline has passed.

Names: a key is dot-separated tokens of ``[A-Za-z0-9_-]``, each at most 128 bytes, together at most 255; a field or an
index is one token of at most 64 bytes. So no key can be a wildcard, a path or a command to any engine.

Deadlines: the store is opened with the names of its *indexes*. A record is in an index while it has a field of that
name, whose value is the deadline: unix milliseconds, written as decimal digits. Records without the field are not in
the index, and ``due`` never pays for them.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self

from gbe.errors import ConfigError, InvalidKeyError, InvalidRecordError, InvalidSubjectError, RecordTooLargeError
from gbe.subjects import check_subject, is_token

MAX_TOKEN_BYTES: Final = 128
MAX_FIELD_BYTES: Final = 64
MAX_FIELDS: Final = 256
MIN_TTL: Final = 1.0  # seconds: what NATS can express
MAX_TTL: Final = 10 * 365 * 86_400.0
MAX_DEADLINE: Final = 10**13 - 1  # unix milliseconds with 13 digits: the year 2286
MAX_DUE: Final = 10_000
MAX_PAGE: Final = 10_000

_DEADLINE: Final = re.compile(rb"[0-9]{1,13}")


class Keep:
    """The type of ``KEEP``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "KEEP"


KEEP: Final = Keep()
"""As a TTL: leave the record's end of life where it is; a new record gets none."""

Ttl = float | Keep | None
Fields = Mapping[str, bytes]
Expected = Mapping[str, bytes | None]
Changes = Mapping[str, bytes | None]


class Record(NamedTuple):
    """A record with its key. ``fields`` belongs to whoever got it: the store keeps no reference."""

    key: str
    fields: dict[str, bytes]


class ScanPage(NamedTuple):
    """A part of a scan, from ``StateStore.scan_page``.

    Attributes:
        records: may be fewer than were asked for, also none, though more follow.
        cursor: where to go on; ``None`` at the end.
        looked: what the page has cost: records, and what is left of those that were removed.
    """

    records: list[Record]
    cursor: str | None
    looked: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A record was written or removed.

    Attributes:
        key: the record's.
        fields: the record as it is after that change or a later one; ``None`` if it is gone.
    """

    key: str
    fields: dict[str, bytes] | None


@dataclass(frozen=True, slots=True)
class Resynchronised:
    """Changes before this moment may have gone unreported, and nobody knows which.

    Whoever keeps a copy reads it anew (``scan``). Every change from now on is reported.
    """


Event = Changed | Resynchronised


@dataclass(frozen=True, slots=True, kw_only=True)
class StateConfig:
    """What every process on one store must agree on.

    Attributes:
        bucket: the store's name in the engine, a token of at most 32 bytes: several stores can share one engine.
        indexes: the fields that are deadlines. To change them, let every process of the store stop first; records
            that were written before are found once they are written again.
        max_record_size: bytes of all field names and values of one record together.
    """

    bucket: str = "gbe-state"
    indexes: tuple[str, ...] = ("timeout_at", "fire_at", "look_at")
    max_record_size: int = 256 * 1024

    def __post_init__(self) -> None:
        if not is_token(self.bucket) or len(self.bucket) > 32:
            raise ConfigError(f"state.bucket is {self.bucket!r}; expected at most 32 letters, digits, _ and -")
        for name in self.indexes:
            if not is_token(name) or len(name) > MAX_FIELD_BYTES:
                raise ConfigError(f"state.indexes: {name!r}; expected letters, digits, _ and -")
        if not 1024 <= self.max_record_size <= 512 * 1024:
            raise ConfigError(f"state.max_record_size is {self.max_record_size}; expected 1 KiB to 512 KiB")


class Watch(AbstractAsyncContextManager["Watch"], ABC):
    """A reader of changes, from ``StateStore.watch``: enter it, then iterate."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[Event]: ...


class StateStore(ABC):
    """Holds records; see the module's docstring for the promises.

    Use it as ``async with``. All methods may be called from many tasks at once, of the loop that opened it. Back ends
    write the methods that begin with an underscore; arguments are checked before those are called.

    Every method that talks to the engine raises ``StateUnavailableError`` when it does not answer in time, and
    ``StateClosedError`` after ``close``; every method raises ``InvalidKeyError`` for a key, prefix, field or index
    that cannot be one, before anything is sent.
    """

    def __init__(self, config: StateConfig) -> None:
        self.config = config

    # -- one record

    async def get(self, key: str) -> dict[str, bytes] | None:
        """The record's fields, as every write that has returned left them; ``None`` if there is no such record."""
        return await self._get(check_key(key))

    async def get_field(self, key: str, field: str) -> bytes | None:
        """One field of a record; ``None`` if the record or the field is not there."""
        return await self._get_field(check_key(key), check_field(field))

    async def put(self, key: str, fields: Fields, *, ttl: float | None = None) -> None:
        """Write a whole record; whatever was there is replaced, its end of life too.

        Args:
            key: e.g. ``gbe.state.tasks.email.01J9ZK3V0000000000000000ZZ``.
            fields: at least one.
            ttl: seconds until the record ends by itself, at least 1; ``None`` keeps it until it is deleted. A record
                is never gone earlier, and at most two seconds later.

        Raises:
            InvalidRecordError: no field, a value that is not bytes, an index field that is not a deadline, a TTL out
                of range. Nothing was written.
            RecordTooLargeError: do not try again; large values belong into the object store.
            StateUnavailableError: no confirmation in time; repeating this ``put`` is safe only if nobody else writes.
        """
        check_key(key)
        if not fields:
            raise InvalidRecordError(f"record {key} has no field; a record without fields does not exist")
        self._check_changes(fields)
        self._check_size(fields)
        check_ttl(ttl)
        await self._put(key, dict(fields), ttl)

    async def set_fields(self, key: str, changes: Changes, *, ttl: Ttl = KEEP) -> None:
        """Write some fields and leave the others; ``None`` removes a field.

        A record that is not there is made; one that loses its last field is deleted.

        Args:
            key: the record's.
            changes: field to new value, or ``None``.
            ttl: seconds from now; ``KEEP`` leaves the end of life as it is, ``None`` removes it.

        Raises:
            InvalidRecordError, RecordTooLargeError, StateUnavailableError: as for ``put``.
        """
        check_key(key)
        self._check_changes(changes)
        self._check_size(changes)
        check_ttl(ttl)
        await self._set_fields(key, dict(changes), ttl)

    async def update_if(self, key: str, expected: Expected, changes: Changes, *, ttl: Ttl = KEEP) -> bool:
        """Apply all ``changes`` if all ``expected`` fields match, in one step; the basis of every transition.

        Args:
            key: the record's.
            expected: field to the value it must have; ``None`` means that the record has no such field. A record that
                is not there has no fields at all, so ``{"state": None}`` is how a record is created once. Empty:
                always matches.
            changes: as for ``set_fields``. Empty: nothing but the end of life is written.
            ttl: as for ``set_fields``.

        Returns:
            Whether the changes were applied. ``False``: some field did not match, and nothing was written.

        Raises:
            InvalidRecordError, RecordTooLargeError: as for ``put``; nothing was written.
            StateUnavailableError: no confirmation in time; the changes may have been applied, once. Read the record
                before trying again: a transition that names its writer (``worker``, ``attempt``) tells.
        """
        check_key(key)
        for field, value in expected.items():
            check_field(field)
            if value is not None and not isinstance(value, bytes):
                raise InvalidRecordError(f"expected {field} is {type(value).__name__}; a value is bytes")
        self._check_changes(changes)
        self._check_size(changes)
        check_ttl(ttl)
        return await self._update_if(key, dict(expected), dict(changes), ttl)

    async def delete(self, key: str) -> bool:
        """Remove a record and its place in every index. Returns whether it was there."""
        return await self._delete(check_key(key))

    # -- many records

    async def scan(self, prefix: str, where: Expected | None = None) -> AsyncIterator[Record]:
        """Every record whose key is ``prefix`` or begins with ``prefix.``, in no particular order.

        Reads page by page: memory stays bounded however many records there are, and the engine serves others in
        between. A record that exists throughout is yielded; one that is made, removed or moved meanwhile may be; one
        that changes meanwhile may be yielded twice, the later state last.

        Args:
            prefix: whole tokens, without wildcards.
            where: only records whose fields match, as ``update_if``'s ``expected``. It spares the caller's eyes, not
                the engine: all records of the prefix are read.

        Raises:
            StateUnavailableError: also in the middle of the iteration.
        """
        check_key(prefix, what="prefix")
        wanted = dict(where or {})
        for field in wanted:
            check_field(field)
        async for record in self._scan(prefix):
            if matches(record.fields, wanted):
                yield record

    async def scan_page(
        self, prefix: str, *, cursor: str | None = None, limit: int = 1000, until: str | None = None
    ) -> ScanPage:
        """A bounded part of ``scan(prefix)``, to go on from later, in another process too.

        The order is the engine's: by key in memory; on Redis by bucket, then by key; on NATS by the last change, so
        that what changes meanwhile comes once more. A record that exists throughout is on one of the pages at least.

        Args:
            prefix: as for ``scan``, the same for all pages.
            cursor: of the page before; ``None`` begins.
            limit: how many records to look at, 1 to 10,000; large ones end a page earlier.
            until: a cursor of a later page: the part that ends there, and no more.

        Raises:
            InvalidKeyError: not a cursor of this store.
        """
        check_key(prefix, what="prefix")
        if not 1 <= limit <= MAX_PAGE:
            raise ValueError(f"limit is {limit}; expected 1 to {MAX_PAGE}")
        return await self._scan_page(prefix, cursor, limit, until)

    async def due(self, index: str, before: int, limit: int = 100) -> list[Record]:
        """Up to ``limit`` records whose deadline in ``index`` is ``before`` or earlier, the earliest first.

        The cost follows what is due, not what exists. A record stays due until its deadline is moved or removed, so a
        sweep handles a page, and asks again. Where more than ``limit`` are due, the page is drawn from about the
        earliest of them.

        Args:
            index: one of ``config.indexes``.
            before: unix milliseconds.
            limit: 1 to 10,000.
        """
        check_field(index, what="index")
        if index not in self.config.indexes:
            raise InvalidKeyError(index, f"this store has the indexes {', '.join(self.config.indexes)}", what="index")
        if not 1 <= limit <= MAX_DUE:
            raise ValueError(f"limit is {limit}; expected 1 to {MAX_DUE}")
        return await self._due(index, min(max(before, 0), MAX_DEADLINE), limit)

    def watch(self, prefix: str) -> Watch:
        """Report every change of the records that ``scan(prefix)`` covers, from the moment the watch is entered.

        After a change comes an event for its record, which shows the record as it was left or as a later change left
        it: changes that follow one another closely may be reported as one, the last is always reported. The events of
        one record come in order. A record that ends by its TTL is reported too, within some seconds. A watch survives
        reconnects; where it cannot know what it missed meanwhile, it says so with ``Resynchronised``. The same event
        may come twice.

        A watcher that falls behind costs bounded memory: beyond that it is told ``Resynchronised``.

        Raises:
            InvalidKeyError: at once.
            StateUnavailableError: on entering.
        """
        return self._watch(check_key(prefix, what="prefix"))

    # -- life

    @abstractmethod
    async def ping(self) -> float:
        """A round trip to the engine, in seconds; raises ``StateUnavailableError`` if it is not there."""

    @abstractmethod
    async def close(self) -> None:
        """End watches and let go of the engine. Safe to repeat. Later calls raise ``StateClosedError``."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # -- for back ends

    @abstractmethod
    async def _get(self, key: str) -> dict[str, bytes] | None: ...

    async def _get_field(self, key: str, field: str) -> bytes | None:
        fields = await self._get(key)
        return None if fields is None else fields.get(field)

    @abstractmethod
    async def _put(self, key: str, fields: dict[str, bytes], ttl: float | None) -> None: ...

    @abstractmethod
    async def _set_fields(self, key: str, changes: dict[str, bytes | None], ttl: Ttl) -> None: ...

    @abstractmethod
    async def _update_if(
        self, key: str, expected: dict[str, bytes | None], changes: dict[str, bytes | None], ttl: Ttl
    ) -> bool: ...

    @abstractmethod
    async def _delete(self, key: str) -> bool: ...

    @abstractmethod
    def _scan(self, prefix: str) -> AsyncIterator[Record]: ...

    @abstractmethod
    async def _scan_page(self, prefix: str, cursor: str | None, limit: int, until: str | None) -> ScanPage: ...

    @abstractmethod
    async def _due(self, index: str, before: int, limit: int) -> list[Record]: ...

    @abstractmethod
    def _watch(self, prefix: str) -> Watch: ...

    def _check_changes(self, changes: Changes) -> None:
        for field, value in changes.items():
            check_field(field)
            if value is None:
                continue
            if not isinstance(value, bytes):
                raise InvalidRecordError(f"{field} is {type(value).__name__}; a value is bytes")
            if field in self.config.indexes and _DEADLINE.fullmatch(value) is None:
                raise InvalidRecordError(
                    f"{field} is an index; expected unix milliseconds as at most 13 digits, not {value[:40]!r}"
                )

    def _check_size(self, fields: Changes) -> None:
        """Refuse what no record may be; a back end that puts a record together checks the whole once more."""
        if len(fields) > MAX_FIELDS:
            raise InvalidRecordError(f"{len(fields)} fields; a record has at most {MAX_FIELDS}")
        size = size_of(fields)
        if size > self.config.max_record_size:
            raise RecordTooLargeError(size, self.config.max_record_size)

    def _changed(self, fields: Fields, changes: Changes) -> dict[str, bytes]:
        """The record after ``changes``, checked for its size."""
        after = {**fields, **changes}
        record = {field: value for field, value in after.items() if value is not None}
        self._check_size(record)
        return record

    def _deadlines(self, fields: Changes) -> dict[str, int]:
        """The deadlines among fields, by index."""
        return {name: int(value) for name in self.config.indexes if (value := fields.get(name)) is not None}


def check_key(key: str, *, what: Literal["key", "prefix", "cursor"] = "key") -> str:
    """Return ``key`` if it is one; raise ``InvalidKeyError`` otherwise."""
    try:
        check_subject(key)
    except InvalidSubjectError as exc:
        raise InvalidKeyError(key, exc.reason, what=what) from None
    if len(key) > MAX_TOKEN_BYTES and max(map(len, key.split("."))) > MAX_TOKEN_BYTES:
        raise InvalidKeyError(key, f"a token is over the limit of {MAX_TOKEN_BYTES} bytes", what=what)
    return key


@lru_cache(maxsize=4096)
def check_field(field: str, *, what: Literal["field", "index"] = "field") -> str:
    """Return ``field`` if it can name one; raise ``InvalidKeyError`` otherwise."""
    if len(field) > MAX_FIELD_BYTES or not is_token(field):
        raise InvalidKeyError(field, f"expected 1 to {MAX_FIELD_BYTES} of A-Z a-z 0-9 _ -", what=what)
    return field


def check_ttl(ttl: Ttl) -> None:
    """Raise ``InvalidRecordError`` for a time to live that no engine could keep."""
    if not isinstance(ttl, Keep) and ttl is not None and not MIN_TTL <= ttl <= MAX_TTL:
        raise InvalidRecordError(f"ttl is {ttl}; expected {MIN_TTL:g} to {MAX_TTL:g} seconds")


def covers(prefix: str, key: str) -> bool:
    """Whether ``scan(prefix)`` and ``watch(prefix)`` speak of this key."""
    return key.startswith(prefix) and (len(key) == len(prefix) or key[len(prefix)] == ".")


def matches(fields: Fields, expected: Expected) -> bool:
    """Whether all expected fields have their value, or are absent where ``None`` is expected."""
    return all(fields.get(field) == value for field, value in expected.items())


def size_of(fields: Changes) -> int:
    """Bytes of all names and values, as the limit counts them."""
    size = 0
    for field, value in fields.items():
        size += len(field) if value is None else len(field) + len(value)
    return size
