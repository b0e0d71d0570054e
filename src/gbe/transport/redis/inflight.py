"""Where a group that follows a pattern may have unanswered messages.

Whoever reads a subject says so first, in an index: when its process ends with messages in hand, the others know where
to look, also when nothing new is published there, and without looking at every subject of the pattern.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from gbe.redis.client import RedisClient
from gbe.transport.redis import keys
from gbe.transport.redis.scripts import INFLIGHT_DONE, INFLIGHT_DUE, MARK_INFLIGHT

_FRESH: Final = 5.0
"""Seconds for which a mark serves."""
_VALID: Final = 20.0
"""Seconds that may lie between a mark and a reading that relies on it."""
_FORGET_MS: Final = 60_000
_AGAIN_MS: Final = 30_000  # at the latest, until the next look where a reading may still rely on a mark
_MOST_DUE: Final = 200
_MOST_KNOWN: Final = 65_536


class Inflight:
    """The index of one subscription."""

    def __init__(self, client: RedisClient, group: str, ack_timeout: float) -> None:
        self._client = client
        self._index, self._marks = keys.inflight_index(group), keys.inflight_marks(group)
        self._timeout_ms = max(1, round(ack_timeout * 1000))
        self._lease_ms = min(1000, max(20, self._timeout_ms // 4))
        self._marked: dict[str, float] = {}

    async def mark(self, subjects: Iterable[str]) -> None:
        """Say that these are about to be read; raises as the client does."""
        now = asyncio.get_running_loop().time()
        stale = [subject for subject in subjects if now - self._marked.get(subject, -_FRESH) >= _FRESH]
        if not stale:
            return
        await self._client.run(MARK_INFLIGHT, [self._index, self._marks], [self._timeout_ms, *stale])
        if len(self._marked) + len(stale) > _MOST_KNOWN:
            self._marked.clear()
        self._marked.update(dict.fromkeys(stale, now))

    async def returned(self, subjects: Iterable[str], timeout: float) -> None:
        """Say that something came back there: whoever joins looks at once. Raises as the client does."""
        await self._client.run(MARK_INFLIGHT, [self._index, self._marks], [0, *subjects], timeout=timeout)

    def is_fresh(self, subject: str) -> bool:
        """Whether it may be read without another mark."""
        return asyncio.get_running_loop().time() - self._marked.get(subject, float("-inf")) < _FRESH

    def is_valid(self, subject: str) -> bool:
        """Whether what was read now will be found through the last mark."""
        return asyncio.get_running_loop().time() - self._marked.get(subject, float("-inf")) < _VALID

    async def due(self) -> Sequence[str]:
        """Subjects to look at now; others leave them to us for a moment. Raises as the client does."""
        found = await self._client.run(INFLIGHT_DUE, [self._index], [_MOST_DUE, self._lease_ms])
        return [subject.decode() for subject in found]

    async def done(self, subject: str) -> None:
        """Nothing is unanswered there; raises as the client does."""
        again = min(_AGAIN_MS, self._timeout_ms)
        await self._client.run(INFLIGHT_DONE, [self._index, self._marks], [subject, _FORGET_MS, again])
