"""What the command line and HTTP do with dead letters: list, group, show, redrive, discard."""

import asyncio
import heapq
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gbe.clock import Clock, SystemClock
from gbe.deadletters.index import Indexer
from gbe.deadletters.names import check_letter_id
from gbe.deadletters.query import Grouping, LetterFilter, LetterGroup, place
from gbe.deadletters.record import LetterRecord, Status
from gbe.deadletters.redrive import Outcome, Redrive
from gbe.errors import DeadLetterError, InvalidLetterQueryError, InvalidSubjectError, LetterNotFoundError
from gbe.schemas.deadletter import OriginalMessage
from gbe.state.base import StateStore
from gbe.subjects import check_subject

MOST_LISTED: Final = 1000
MOST_IDS: Final = 1000
MAX_RATE: Final = 10_000.0
DEFAULT_RATE: Final = 100.0
_AT_ONCE: Final = 20_000  # letters of which a bulk operation knows place and id; the next ones are looked up afterwards
_CURSOR: Final = re.compile(r"([0-9]{1,13})-(.{28,127})\Z")

EVERYTHING: Final = LetterFilter()

_Placed = tuple[tuple[int, str], LetterRecord]


@dataclass(frozen=True, slots=True)
class Page:
    """Some letters, the one that failed last first, and the cursor behind them; ``None`` at the end."""

    letters: list[LetterRecord]
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedriveOptions:
    """How letters are sent again.

    Attributes:
        to: another subject than the original's.
        rate: letters a second at most.
        limit: letters at most.
        actor: who does it, for the audit.
    """

    to: str | None = None
    rate: float = DEFAULT_RATE
    limit: int | None = None
    actor: str = "gbe"

    def __post_init__(self) -> None:
        if self.to is not None:
            try:
                check_subject(self.to)
            except InvalidSubjectError as exc:
                raise InvalidLetterQueryError("to", exc.reason) from None
        if not 0 < self.rate <= MAX_RATE:
            raise InvalidLetterQueryError("rate", f"{self.rate:g}; expected letters a second, up to {MAX_RATE:g}")
        if self.limit is not None and self.limit < 1:
            raise InvalidLetterQueryError("limit", f"{self.limit}; expected at least 1")


class DeadLetters:
    """The dead letters of one namespace.

    Every question first indexes what is not indexed yet, so that an answer leaves nothing out.

    Args:
        on_outcome: called with the domain and the result of each letter that was redriven or discarded.
    """

    def __init__(
        self,
        state: StateStore,
        indexer: Indexer,
        redrive: Redrive,
        *,
        clock: Clock | None = None,
        on_outcome: Callable[[str, str], None] = lambda _domain, _result: None,
    ) -> None:
        self._state, self.indexer, self._redrive = state, indexer, redrive
        self._names, self._clock, self._on_outcome = indexer.names, clock or SystemClock(), on_outcome

    # -- look

    async def get(self, letter_id: str) -> LetterRecord:
        """One letter. Raises ``LetterNotFoundError``."""
        key = self._names.record(check_letter_id(letter_id))
        fields = await self._state.get(key)
        if fields is None:
            await self.indexer.catch_up()
            fields = await self._state.get(key)
        if fields is None:
            raise LetterNotFoundError(letter_id)
        return LetterRecord.from_fields(fields)

    async def original_of(self, record: LetterRecord) -> OriginalMessage:
        """The message of a letter. Raises ``LetterConflictError`` if the letter is no longer stored."""
        return await self._redrive.original_of(record)

    async def page(self, wanted: LetterFilter = EVERYTHING, *, limit: int = 100, cursor: str | None = None) -> Page:
        """Some letters, the one that failed last first.

        Args:
            wanted: which.
            limit: 1 to 1,000.
            cursor: of the page before.

        Raises:
            InvalidLetterQueryError: not a limit, not a cursor.
        """
        if not 1 <= limit <= MOST_LISTED:
            raise InvalidLetterQueryError("limit", f"{limit}; expected 1 to {MOST_LISTED}")
        border: tuple[int, str] | None = None
        if cursor is not None:
            match = _CURSOR.match(cursor)
            if match is None:
                raise InvalidLetterQueryError("cursor", "not one of ours")
            border = int(match[1]), match[2]
        found: list[_Placed] = []
        async for record in self._scan(wanted):
            if border is not None and place(record) >= border:
                continue
            found.append((place(record), record))
            if len(found) > 4 * limit + 100:
                found = _largest(limit + 1, found)
        newest = [record for _, record in _largest(limit + 1, found)]
        page = newest[:limit]
        return Page(page, f"{page[-1].last_failed_at}-{page[-1].id}" if len(newest) > limit else None)

    async def groups(self, wanted: LetterFilter = EVERYTHING) -> list[LetterGroup]:
        """Alike failures put together, the largest group first."""
        grouping = Grouping()
        seen: set[str] = set()
        async for record in self._scan(wanted):
            if record.id not in seen:  # one that changes meanwhile may come twice
                seen.add(record.id)
                grouping.add(record)
        return grouping.largest_first()

    async def count(self, wanted: LetterFilter | Sequence[str] = EVERYTHING) -> int:
        """How many letters a redrive with this filter, or of these ids, would send: what a dry run prints."""
        if not isinstance(wanted, LetterFilter):
            found = [record async for record in self._chosen(wanted, self._is_redrivable)]
            return sum(record.status is not Status.DISCARDED for record in found)
        seen: set[str] = set()
        async for record in self._scan(wanted):
            if self._is_redrivable(record, wanted):
                seen.add(record.id)
        return len(seen)

    # -- change

    async def redrive(self, wanted: LetterFilter | Sequence[str], options: RedriveOptions) -> AsyncIterator[Outcome]:
        """Send letters again, those that failed first first.

        Args:
            wanted: a filter: then only what is open is sent, or what an interrupted redrive has left, unless the
                filter names another status. Ids: then also what was redriven before.
            options: see there.

        Raises:
            LetterNotFoundError: one of the ids; those before it are done.
            StateError, TransportUnavailableError: the engine does not answer. Run it again: what was sent is not
                sent twice.
        """
        pause, last = 1.0 / options.rate, self._clock.monotonic() - 1.0
        done = 0
        async for record in self._chosen(wanted, self._is_redrivable):
            if options.limit is not None and done >= options.limit:
                return
            wait = last + pause - self._clock.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            last = max(last + pause, self._clock.monotonic() - pause)
            outcome = await self._redrive.send(record, options.to, options.actor)
            self._on_outcome(record.domain, outcome.result)
            done += 1
            yield outcome

    async def discard(
        self, wanted: LetterFilter | Sequence[str], *, actor: str = "gbe", limit: int | None = None
    ) -> AsyncIterator[Outcome]:
        """Give letters up for good, those that failed first first; a filter means what is open, as for ``redrive``.

        Raises:
            LetterNotFoundError, StateError, TransportError: as ``redrive``.
        """
        done = 0
        async for record in self._chosen(wanted, self._is_redrivable):
            if limit is not None and done >= limit:
                return
            outcome = await self._redrive.discard(record, actor)
            self._on_outcome(record.domain, outcome.result)
            done += 1
            yield outcome

    def _is_redrivable(self, record: LetterRecord, wanted: LetterFilter) -> bool:
        if wanted.status in (None, Status.OPEN, Status.REDRIVING):
            return self._redrive.may_take(record)
        return record.status is not Status.DISCARDED

    async def _chosen(
        self, wanted: LetterFilter | Sequence[str], is_meant: Callable[[LetterRecord, LetterFilter], bool]
    ) -> AsyncIterator[LetterRecord]:
        """The letters, each read right before it is yielded."""
        if not isinstance(wanted, LetterFilter):
            if len(wanted) > MOST_IDS:
                raise InvalidLetterQueryError("ids", f"{len(wanted)} ids; expected at most {MOST_IDS}")
            for letter_id in dict.fromkeys(wanted):
                yield await self.get(letter_id)
            return
        border: tuple[int, str] = (-1, "")
        while True:
            places = await self._places(wanted, is_meant, border)
            for _, letter_id in places:
                fields = await self._state.get(self._names.record(letter_id))
                record = None if fields is None else LetterRecord.from_fields(fields)
                if record is not None and wanted.covers(record) and is_meant(record, wanted):
                    yield record
            if len(places) < _AT_ONCE:
                return
            border = places[-1]

    async def _places(
        self,
        wanted: LetterFilter,
        is_meant: Callable[[LetterRecord, LetterFilter], bool],
        border: tuple[int, str],
    ) -> list[tuple[int, str]]:
        """Place and id of the first letters behind a place."""
        found: set[tuple[int, str]] = set()
        async for record in self._scan(wanted):
            if is_meant(record, wanted) and place(record) > border:
                found.add(place(record))
                if len(found) > 2 * _AT_ONCE:
                    found = set(heapq.nsmallest(_AT_ONCE, found))
        return heapq.nsmallest(_AT_ONCE, found)

    async def _scan(self, wanted: LetterFilter) -> AsyncIterator[LetterRecord]:
        await self.indexer.catch_up()
        async for stored in self._state.scan(self._names.prefix):
            try:
                record = LetterRecord.from_fields(stored.fields)
            except DeadLetterError:
                continue  # another program's, under our prefix
            if wanted.covers(record):
                yield record


def _largest(count: int, found: list[_Placed]) -> list[_Placed]:
    """The newest, each letter once: one that changes while it is looked for may have come twice."""
    latest = {record.id: (at, record) for at, record in found}
    return heapq.nlargest(count, latest.values(), key=lambda pair: pair[0])
