"""When and from where each token was used last, written now and then."""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from gbe.errors import StateError
from gbe.state.base import StateStore

logger = logging.getLogger(__name__)

PAUSE: Final = 60.0
"""Seconds between two writes: a moment that is read may be so old."""
_REMEMBERED: Final = 10_000
_PATIENCE: Final = 2.0
_KEPT: Final = 400 * 86_400.0


@dataclass(frozen=True, slots=True)
class Use:
    """When, unix seconds, and from which address."""

    time: int
    origin: str


class LastUsed:
    """Notes in memory, writes together; what a crash loses is a minute of it."""

    def __init__(self, store: StateStore, namespace: str, *, pause: float = PAUSE) -> None:
        self._store, self._prefix, self._pause = store, f"{namespace}.state.notify.tokens", pause
        self._noted: dict[str, Use] = {}
        self._writing: asyncio.Task[None] | None = None

    def note(self, digest: str, origin: str) -> None:
        """This token was used just now, from there."""
        if len(self._noted) < _REMEMBERED:
            self._noted[digest] = Use(int(time.time()), origin)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_later(), name="gbe.tokens.used")

    async def of(self, digest: str) -> Use | None:
        """The last use of a token; ``None``: none is known."""
        noted = self._noted.get(digest)
        if noted is not None:
            return noted
        fields = await self._store.get(f"{self._prefix}.{digest}")
        return None if fields is None else Use(int(fields["time"]), fields["origin"].decode())

    async def close(self) -> None:
        """Write what was noted, and end."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._write()

    async def _write_later(self) -> None:
        await asyncio.sleep(self._pause)
        await self._write()
        self._writing = None

    async def _write(self) -> None:
        noted, self._noted = self._noted, {}
        try:
            for digest, use in noted.items():
                fields = {"time": b"%d" % use.time, "origin": use.origin.encode()}
                await self._store.put(f"{self._prefix}.{digest}", fields, ttl=_KEPT)
        except StateError as exc:
            logger.warning("last use of tokens not written: %s", exc)
