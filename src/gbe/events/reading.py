"""Reading of events: what was stored, and what is stored from now on."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from gbe.errors import InvalidSubjectError, MessageNotFoundError
from gbe.events.filters import Filters
from gbe.events.names import EventNames
from gbe.ids import ulid_time_ms
from gbe.transport.base import LATEST, AfterId, FromTime, Page, Position, Start, StoredMessage, Tail, Transport

MOST_PATTERNS: Final = 20
_CLOCK_MARGIN_MS: Final = 60_000
_REPLAY_PAGE: Final = 500
_MOST_LOOKED_THROUGH: Final = 10_000


class EventReader:
    """Reads events of any pattern."""

    def __init__(self, transport: Transport, names: EventNames) -> None:
        self._transport, self._names = transport, names

    def patterns(self, listed: str) -> tuple[str, ...]:
        """The full patterns of a comma-separated list.

        Raises:
            InvalidSubjectError, UnknownEventError: one of them is no pattern of events.
        """
        given = listed.split(",")
        if len(given) > MOST_PATTERNS:
            raise InvalidSubjectError(listed[:80], f"expected at most {MOST_PATTERNS} patterns")
        return tuple(dict.fromkeys(self._names.pattern(pattern) for pattern in given))

    def relative(self, subject: str) -> str:
        """A subject without the namespace."""
        return self._names.relative(subject)

    @asynccontextmanager
    async def follow(self, patterns: tuple[str, ...], start: Start) -> AsyncIterator[AsyncIterator[StoredMessage]]:
        """Everything from ``start`` on, in the order of storing, then live; nothing is missed or comes twice.

        An id whose message retention has removed by now stands for its time: what follows is complete, and what was
        stored shortly before it may come once more.

        Raises:
            StreamNotFoundError, TransportUnavailableError: on entering.
        """
        async with self._transport.tail(patterns) as tail:  # first, so that nothing falls between past and present
            if start is LATEST:
                yield aiter(tail)
            else:
                yield self._replay_then_live(patterns, await self._first_page(patterns, start, _REPLAY_PAGE), tail)

    async def history(
        self, patterns: tuple[str, ...], start: Start, filters: Filters, *, cursor: str | None = None, limit: int
    ) -> Page:
        """Up to ``limit`` stored events that pass the filters; see ``Transport.read_page``.

        With filters a page may be empty and still have a cursor: a bounded number of messages is looked through.

        Raises:
            InvalidCursorError, StreamNotFoundError, TransportUnavailableError
        """
        seen = 0
        while True:
            if cursor is None:
                page = await self._first_page(patterns, start, limit)
            else:
                page = await self._transport.read_page(patterns, cursor=cursor, limit=limit)
            found = [message for message in page.messages if filters.matches(message.envelope.payload)]
            seen += len(page.messages)
            cursor = page.cursor
            if found or cursor is None or seen >= _MOST_LOOKED_THROUGH:
                return Page(found, cursor)

    async def _first_page(self, patterns: tuple[str, ...], start: Start, limit: int) -> Page:
        try:
            return await self._transport.read_page(patterns, start=start, limit=limit)
        except MessageNotFoundError:
            if not isinstance(start, AfterId):
                raise
            return await self._transport.read_page(patterns, start=_time_of(start), limit=limit)

    async def _replay_then_live(
        self, patterns: tuple[str, ...], page: Page, tail: Tail
    ) -> AsyncGenerator[StoredMessage, None]:
        replayed: dict[str, Position] = {}
        while True:
            for message in page.messages:
                if message.position is not None:
                    replayed[message.envelope.subject] = message.position
                yield message
            if page.cursor is None:
                break
            page = await self._transport.read_page(patterns, cursor=page.cursor, limit=_REPLAY_PAGE)
        async for message in tail:
            last = replayed.get(message.envelope.subject)
            if message.position is None or last is None or message.position > last:
                yield message


def _time_of(start: AfterId) -> FromTime:
    """When a message was stored, as its id has it: its maker's clock, which may be ahead of the engine's."""
    return FromTime(max(0, ulid_time_ms(start.id) - _CLOCK_MARGIN_MS))
