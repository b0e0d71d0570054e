"""Pages of the history of many subjects: one source for each pattern and stream, merged by the time of storing."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gbe.errors import InvalidCursorError
from gbe.subjects import is_literal, matches
from gbe.transport.base import AfterId, AfterPosition, Edge, FromTime, Page, Start, StoredMessage
from gbe.transport.merge import Key, Merge
from gbe.transport.nats import wire
from gbe.transport.nats.history import PAGE, History, rfc3339
from gbe.transport.nats.streams import StreamRegistry
from gbe.transport.nats.tail import without_covered

_CURSOR: Final = re.compile(r"(\d{1,15})((?:~[A-Za-z0-9_-]{1,200}:\d{1,4}:\d{1,19})*)\Z")
_LAST_MS: Final = 10**15 - 1

_Places = dict[tuple[str, int], int]
"""The last sequence of each source, by stream and number of the pattern."""


class Pages:
    """See ``Transport.read_page``.

    A cursor is ``{ms}~{stream}:{pattern}:{sequence}~…``: where each source goes on, and the time, unix milliseconds,
    from which those are read that have shown nothing yet.
    """

    def __init__(self, streams: StreamRegistry, history: History) -> None:
        self._streams, self._history = streams, history

    async def read(self, patterns: Sequence[str], start: Start, cursor: str | None, limit: int) -> Page:
        """One page."""
        patterns = without_covered(patterns)
        pairs = [
            (stream, number) for number, one in enumerate(patterns) for stream in await self._streams.required(one)
        ]
        if cursor is None and start is Edge.LATEST:
            return Page([], None)
        ms, places = _parse(cursor) if cursor is not None else await self._begin(patterns, pairs, start)
        sources = [
            _Source(self._history, pair, patterns, ms, places.get(pair), min(PAGE, max(1, limit))) for pair in pairs
        ]
        found, has_more = await Merge(sources).take(limit)
        for number, _, message in found:
            if message.position is not None:
                places[pairs[number]] = message.position.major
        return Page([message for _, _, message in found], _cursor(ms, places) if has_more else None)

    async def _begin(
        self, patterns: Sequence[str], pairs: Sequence[tuple[str, int]], start: Start
    ) -> tuple[int, _Places]:
        match start:
            case FromTime(ms):
                return min(max(0, ms), _LAST_MS), {}
            case AfterPosition(position):
                return 0, dict.fromkeys(pairs, position.major)
            case AfterId(message_id):
                anchor = await self._history.anchor(patterns, message_id)
                own = {pair: anchor.sequence for pair in pairs if pair[0] == anchor.stream}
                return anchor.stored_ms, own
            case _:
                return 0, {}


class _Source:
    """A ``Source``: what a pattern has in one stream, without what an earlier wildcard shows."""

    def __init__(
        self,
        history: History,
        pair: tuple[str, int],
        patterns: Sequence[str],
        ms: int,
        place: int | None,
        size: int,
    ) -> None:
        self._history, (self._stream, number), self._size = history, pair, size
        self._pattern = patterns[number]
        self._earlier = [pattern for pattern in patterns[:number] if not is_literal(pattern)]
        self._begin: dict[str, Any] | None = {"seq": 1}
        if place is not None:
            self._begin = {"seq": place + 1}
        elif ms > 0:
            self._begin = {"start_time": rfc3339(ms)}
        self._latest_ms = 0

    async def read(self) -> list[tuple[Key, StoredMessage]]:
        while self._begin is not None:
            page, self._begin = await self._history.page_of(self._stream, self._pattern, self._begin, self._size)
            found = [(self._key(msg.headers or {}), wire.stored_message(msg.data, msg.headers or {})) for msg in page]
            shown = [(key, message) for key, message in found if self._is_shown(message.envelope.subject)]
            if shown:
                return shown
        return []

    def _key(self, headers: Mapping[str, str]) -> Key:
        # an engine's clock may be set back, and the order of its stream counts all the same
        self._latest_ms = max(self._latest_ms, wire.stored_ms(headers))
        return (self._latest_ms, self._stream, int(headers[wire.SEQUENCE]))

    def _is_shown(self, subject: str) -> bool:
        is_waiting = subject.startswith(wire.SCHEDULED)  # delayed: not published yet
        return not is_waiting and not any(matches(pattern, subject) for pattern in self._earlier)


def _cursor(ms: int, places: _Places) -> str:
    return "~".join([str(ms), *(f"{stream}:{number}:{sequence}" for (stream, number), sequence in places.items())])


def _parse(cursor: str) -> tuple[int, _Places]:
    found = _CURSOR.match(cursor)
    if found is None:
        raise InvalidCursorError(cursor)
    parts = [part.split(":") for part in found[2].split("~")[1:]]
    return int(found[1]), {(stream, int(number)): int(sequence) for stream, number, sequence in parts}
