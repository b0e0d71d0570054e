"""Looking up deadlines; ``wire`` says how they lie, and the rule that keeps the index true."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from gbe.state.base import KEEP, Record
from gbe.state.nats.errors import as_state
from gbe.state.nats.requests import Message, Requests, record_message
from gbe.state.nats.wire import NOTHING, SEQUENCE, SUBJECT, Names, Stored, stored
from gbe.transport.nats.connection import NatsConnection
from gbe.transport.nats.errors import ApiError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PATTERNS_AT_ONCE: Final = 8
_CROWD: Final = 2000  # entries in a listing
_ENTRIES_AT_ONCE: Final = 256  # with their records 512 subjects; the engine takes 1,024 a request
_REPAIRS_AT_ONCE: Final = 64


class _State(msgspec.Struct):
    subjects: dict[str, int] | None = None


class _Info(msgspec.Struct):
    state: _State


_info_decoder: Final = msgspec.json.Decoder(_Info)


@dataclass(frozen=True, slots=True)
class _Entry:
    subject: str
    deadline: int
    key: str


class DeadlineIndex:
    """The indexes of one bucket."""

    def __init__(self, connection: NatsConnection, requests: Requests, names: Names) -> None:
        self._connection, self._requests, self._names = connection, requests, names
        self._crowded: set[str] = set()  # indexes in which very much was due the last time

    async def due(self, index: str, before: int, limit: int) -> list[Record]:
        """See ``StateStore.due``.

        Usually little is due: then the leader lists the entries, from its subject tree alone. A listing has no page
        size, so where very much is due, entries are read a page at a time instead, in the order they were written.
        """
        found: dict[str, tuple[int, Record]] = {}
        is_crowded = index in self._crowded
        patterns = list(self._names.due_patterns(index, before))  # in the order of time
        for group in _chunks(patterns, _PATTERNS_AT_ONCE):
            listings = [] if is_crowded else await asyncio.gather(*map(self._subjects, group))
            is_crowded = is_crowded or any(len(listing) > _CROWD for listing in listings)
            pages = self._read(index, group) if is_crowded else self._listed(index, listings)
            async for entries in pages:
                for deadline, record in await self._verify(index, before, entries):
                    found[record.key] = (deadline, record)
                if len(found) >= limit:
                    break
            if len(found) >= limit:  # what comes later is not needed
                break
        if is_crowded and len(found) >= limit:
            self._crowded.add(index)
        else:
            self._crowded.discard(index)
        earliest = sorted(found.values(), key=lambda pair: pair[0])
        return [record for _, record in earliest[:limit]]

    async def _listed(self, index: str, listings: Sequence[Collection[str]]) -> AsyncIterator[list[_Entry]]:
        subjects = [subject for listing in listings for subject in sorted(listing)]  # by name, and so by time
        for some in _chunks(subjects, _ENTRIES_AT_ONCE):
            yield [_Entry(subject, *self._names.entry_of(index, subject)) for subject in some]

    async def _read(self, index: str, patterns: Sequence[str]) -> AsyncIterator[list[_Entry]]:
        for pattern in patterns:
            begin = 1
            while True:
                page = (await self._requests.many({"seq": begin, "next_by_subj": pattern, "batch": _ENTRIES_AT_ONCE}))[
                    :-1
                ]
                if not page:
                    break
                begin = int((page[-1].headers or {})[SEQUENCE]) + 1
                subjects = [(msg.headers or {})[SUBJECT] for msg in page]
                yield [_Entry(subject, *self._names.entry_of(index, subject)) for subject in subjects]

    async def _subjects(self, pattern: str) -> Collection[str]:
        body = json.dumps({"subjects_filter": pattern}).encode()
        replies = await self._requests.ask("due", f"$JS.API.STREAM.INFO.{self._names.stream}", body)
        # an old leader may answer beside the new one: what either knows is looked at, and the records tell what is true
        return {name for reply in replies for name in _info_decoder.decode(reply.data).state.subjects or {}}

    async def _verify(self, index: str, before: int, entries: Sequence[_Entry]) -> list[tuple[int, Record]]:
        """The records among entries that are due; lapsed entries are put right.

        Entries and records are read in one snapshot. What happens after it is safe: who sets a deadline where there
        was none, or moves one forward, writes an entry of a higher sequence, and that one is not deleted here.
        """
        keys = dict.fromkeys(entry.key for entry in entries)
        wanted = [*(entry.subject for entry in entries), *map(self._names.record, keys)]
        replies = await self._requests.many({"multi_last": wanted})
        messages: dict[str, Stored] = {}
        for msg in replies[:-1]:
            headers = msg.headers or {}
            messages[headers[SUBJECT]] = stored(msg.data, headers, int(headers[SEQUENCE]))
        due: list[tuple[int, Record]] = []
        lapsed: list[tuple[_Entry, int, Stored]] = []
        for entry in entries:
            record = messages.get(self._names.record(entry.key), NOTHING)
            deadline = _deadline(record, index)
            if record.fields is not None and deadline is not None and deadline <= before:
                due.append((deadline, Record(entry.key, record.fields)))
            elif entry.subject in messages:
                lapsed.append((entry, messages[entry.subject].sequence, record))
        for some in _chunks(lapsed, _REPAIRS_AT_ONCE):
            await asyncio.gather(*(self._repair(index, *one) for one in some))
        return due

    async def _repair(self, index: str, entry: _Entry, sequence: int, record: Stored) -> None:
        """Store the entry where the deadline is now, then delete the lapsed one."""
        if record.sequence < sequence and not await self._overtake(entry.key, record):
            return  # the record was written at this moment: the next look-up sees it
        deadline = _deadline(record, index)
        if deadline is not None:
            subject = self._names.entry(index, deadline, entry.key)
            await self._requests.write(Message(subject), None, self._requests.deadline())
        with as_state("due"):
            try:
                body = {"seq": sequence, "no_erase": True}
                await self._connection.api(f"STREAM.MSG.DELETE.{self._names.stream}", body)
            except ApiError as exc:  # gone already: another sweep was here
                logger.debug("lapsed index entry not deleted: %s", exc)

    async def _overtake(self, key: str, record: Stored) -> bool:
        """Write a record as it is, so that no write that was prepared before this can succeed after it."""
        message = record_message(self._names.record(key), record.fields or {}, KEEP, record)
        return await self._requests.write(message, record.sequence, self._requests.deadline()) is not None


def _deadline(record: Stored, index: str) -> int | None:
    value = None if record.fields is None else record.fields.get(index)
    return int(value) if value is not None and value.isdigit() else None


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
