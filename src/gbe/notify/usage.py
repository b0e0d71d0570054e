"""How many bytes of files are alive, of each visitor and in all: counted in the state store, by all nodes together.

A record for each visitor and one for all hold bytes by the moment until which they count. So what expires stops to
count by itself, and a crash at any place leaves nothing behind that somebody would have to set right.
"""

import asyncio
import hashlib
import math
import random
from collections.abc import Mapping
from typing import Final

from gbe.errors import StateUnavailableError
from gbe.state.base import StateStore

_PARTS: Final = 60  # of the life of a file: as many fields has a record
_TRIES: Final = 40
_VERSION: Final = "version"
_PAUSE: Final = 0.05
_MIN_TTL: Final = 60.0


class Usage:
    """Counts bytes that are alive."""

    def __init__(self, store: StateStore, namespace: str, life: float) -> None:
        """``life``: seconds for which a file lives at most."""
        self._store, self._prefix, self._life = store, f"{namespace}.state.notify.usage", life
        self._step = max(1, math.ceil(life / _PARTS))

    async def of_visitor(self, visitor: str, now: int) -> int:
        """Bytes of a visitor that are alive at unix second ``now``."""
        return _alive(await self._store.get(self._key(visitor)) or {}, now)

    async def total(self, now: int) -> int:
        """Bytes of everybody."""
        return _alive(await self._store.get(self._key("")) or {}, now)

    async def take(self, visitor: str, size: int, expires: int, now: int, *, limit: int, total_limit: int) -> bool:
        """Count ``size`` bytes until unix second ``expires``, unless either limit would be passed.

        Raises:
            StateUnavailableError: the store did not answer. The bytes may be counted, until they expire.
        """
        if not await self._add(self._key(visitor), size, expires, now, limit):
            return False
        if not await self._add(self._key(""), size, expires, now, total_limit):
            await self._add(self._key(visitor), -size, expires, now, None)
            return False
        return True

    async def give_back(self, visitor: str, size: int, expires: int, now: int) -> None:
        """Count them no longer."""
        for key in (self._key(visitor), self._key("")):
            await self._add(key, -size, expires, now, None)

    def _key(self, visitor: str) -> str:
        name = hashlib.blake2s(visitor.encode(), digest_size=16).hexdigest() if visitor else "all"
        return f"{self._prefix}.{name}"

    async def _add(self, key: str, size: int, expires: int, now: int, limit: int | None) -> bool:
        until = str(math.ceil(expires / self._step) * self._step)
        for _ in range(_TRIES):
            record = await self._store.get(key) or {}
            if limit is not None and _alive(record, now) + size > limit:
                return False
            changes: dict[str, bytes | None] = {
                field: None for field in record if field != _VERSION and int(field) <= now and field != until
            }
            changes[until] = b"%d" % max(0, int(record.get(until, b"0")) + size)
            version = record.get(_VERSION)
            changes[_VERSION] = b"%d" % (int(version or b"0") + 1)
            ttl = max(_MIN_TTL, self._life + 2 * self._step)
            if await self._store.update_if(key, {_VERSION: version}, changes, ttl=ttl):
                return True
            await asyncio.sleep(random.uniform(0, _PAUSE))  # noqa: S311 - so that two do not meet again
        raise StateUnavailableError(f"{key} is written by too many at once")


def _alive(record: Mapping[str, bytes], now: int) -> int:
    return sum(int(value) for field, value in record.items() if field != _VERSION and int(field) > now)
