"""How many messages a deployment has taken, ever and lately (``/v1/stats``, section 6.1).

Each process counts for itself and adds to a record in the state store now and then; one that is killed forgets what it
has not added yet, some seconds' worth.
"""

import asyncio
import logging
import time
from collections import deque
from typing import Final

from gbe.errors import StateError
from gbe.state.base import StateStore

logger = logging.getLogger(__name__)

PAUSE: Final = 5.0
"""Seconds between two additions."""

_MESSAGES: Final = "messages"
_FRESH: Final = 1.0  # seconds for which a look at the record is good enough
_LOOKS: Final = 13  # a minute's worth
_TRIES: Final = 20


class Stats:
    """Counts messages; ``store`` is ``None`` where there is one process and nothing outlives it."""

    def __init__(self, store: StateStore | None, namespace: str) -> None:
        self._store, self._key = store, f"{namespace}.state.notify.stats"
        self._fresh = self._total = 0
        self._looks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)], _LOOKS)
        self._added = -_FRESH
        self._is_known = store is None

    def count(self) -> None:
        """A message was published here."""
        self._fresh += 1

    async def figures(self) -> tuple[int, float]:
        """Messages ever published, and per second in about the last minute.

        Raises:
            StateUnavailableError: the state store did not answer.
        """
        if self._store is not None and time.monotonic() > self._added + _FRESH:
            await self.add()
        now, total = time.monotonic(), self._total + self._fresh
        then, before = self._looks[0]
        return total, max(0.0, (total - before) / max(now - then, PAUSE))

    async def run(self) -> None:
        """Add to the record until cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(PAUSE)
                await self._add_safely()
        finally:
            await self._add_safely()

    async def _add_safely(self) -> None:
        try:
            await self.add()
        except StateError as exc:
            logger.debug("messages not counted yet: %s", exc)

    async def add(self) -> None:
        """Add what is new. Raises ``StateError``; it is added later then."""
        fresh = self._fresh
        if self._store is None:
            total = self._total + fresh
        else:
            total = await _add(self._store, self._key, fresh)
        self._fresh -= fresh
        self._total = total
        if not self._is_known:
            self._is_known = True
            self._looks = deque([(self._looks[0][0], total - fresh)], _LOOKS)
        self._added = time.monotonic()
        if self._added > self._looks[-1][0] + PAUSE:
            self._looks.append((self._added, total))


async def _add(store: StateStore, key: str, count: int) -> int:
    for _ in range(_TRIES):
        known = await store.get_field(key, _MESSAGES)
        total = int(known or b"0") + count
        if not count or await store.update_if(key, {_MESSAGES: known}, {_MESSAGES: b"%d" % total}):
            return total
    raise StateError(f"{key} is written by too many at once")
