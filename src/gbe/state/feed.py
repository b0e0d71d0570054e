"""What a watcher has yet to be told: keys, not events, so that a slow watcher costs bounded memory."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from gbe.errors import StateClosedError
from gbe.outage import Outage
from gbe.state.base import Changed, Event, Resynchronised

MOST_DIRTY: Final = 10_000

Read = Callable[[str], Awaitable[dict[str, bytes] | None]]


def watch_outage(logger: logging.Logger) -> Outage:
    """What the log says while watches cannot reach their engine."""
    return Outage(logger, "watch waits for the engine", "the engine answers again, the watch goes on")


class DirtyKeys:
    """Keys that changed since a watcher last looked; each is read when its turn comes.

    So changes that follow one another closely are told as one, and an event never shows a state older than the change
    that caused it. Beyond ``MOST_DIRTY`` keys the watcher is told to read everything anew instead.
    """

    def __init__(self) -> None:
        self._keys: dict[str, None] = {}
        self._is_out_of_sync = False
        self._signal = asyncio.Event()
        self._is_closed = False

    def add(self, key: str) -> None:
        """This record has changed."""
        if len(self._keys) >= MOST_DIRTY and key not in self._keys:
            self.resynchronise()
        self._keys[key] = None
        self._signal.set()

    def resynchronise(self) -> None:
        """Nobody knows what has changed."""
        self._keys.clear()
        self._is_out_of_sync = True
        self._signal.set()

    def close(self) -> None:
        """End the iteration."""
        self._is_closed = True
        self._signal.set()

    async def events(self, read: Read) -> AsyncIterator[Event]:
        """Events, for ever or until closed. ``read`` gives a record as it is now, however long that takes."""
        while not self._is_closed:
            if self._is_out_of_sync:
                self._is_out_of_sync = False
                yield Resynchronised()
            elif self._keys:
                key = next(iter(self._keys))
                del self._keys[key]
                try:
                    fields = await read(key)
                except StateClosedError:
                    return
                yield Changed(key, fields)
            else:
                self._signal.clear()
                await self._signal.wait()
