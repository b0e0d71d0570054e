"""Reading of events: what was stored, and what is stored from now on."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from gbe.errors import InvalidSubjectError, MessageNotFoundError
from gbe.events.names import EventNames
from gbe.ids import ulid_time_ms
from gbe.transport.base import AfterId, FromTime, Start, Tail, Transport

logger = logging.getLogger(__name__)

MOST_PATTERNS: Final = 20
_CLOCK_MARGIN_MS: Final = 60_000


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
    async def follow(self, patterns: tuple[str, ...], start: Start) -> AsyncIterator[Tail]:
        """Everything from ``start`` on, then live; once entered, nothing that is stored later is missed.

        An id whose message retention has removed by now stands for its time: what follows is complete, and what was
        stored shortly before it may come once more.

        Raises:
            StreamNotFoundError, TransportUnavailableError: on entering.
        """
        async with AsyncExitStack() as stack:
            try:
                tail = await stack.enter_async_context(self._transport.tail(patterns, start))
            except MessageNotFoundError:
                if not isinstance(start, AfterId):
                    raise
                tail = await stack.enter_async_context(self._transport.tail(patterns, _time_of(start)))
            yield tail


def _time_of(start: AfterId) -> FromTime:
    """When a message was stored, as its id has it: its maker's clock, which may be ahead of the engine's."""
    return FromTime(max(0, ulid_time_ms(start.id) - _CLOCK_MARGIN_MS))
