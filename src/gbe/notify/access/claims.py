"""Whose primary address an e-mail address is: a record for each, so that of two users who want one, one gets it."""

import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Final

from gbe.errors import StateUnavailableError
from gbe.notify.access.emails import folded
from gbe.state.base import StateStore

_USER, _SINCE = "user", "since"
_ATTEMPTS: Final = 20
_SETTLED: Final = 60
"""Seconds after which the user of a claim must have the address, or somebody else may: whoever claimed it has died."""

IsHeld = Callable[[str], Awaitable[bool]]
"""Whether the user of this name has the address as primary one now."""


class Claims:
    """The primary addresses of a deployment."""

    def __init__(self, store: StateStore, namespace: str) -> None:
        self._store, self._prefix = store, f"{namespace}.state.notify.emails"

    async def take(self, address: str, name: str, is_held: IsHeld) -> bool:
        """Claim an address for a user; ``False``: it is somebody else's. Raises ``StateUnavailableError``."""
        key, now = self._key(address), int(time.time())
        claim = {_USER: name.encode(), _SINCE: b"%d" % now}
        for _ in range(_ATTEMPTS):
            found = await self._store.get(key)
            if found is None:
                if await self._store.update_if(key, {_USER: None}, claim):
                    return True
                continue
            holder = found[_USER].decode()
            if holder == name:
                return True
            if now < int(found[_SINCE]) + _SETTLED or await is_held(holder):
                return False
            if await self._store.update_if(key, {_USER: found[_USER], _SINCE: found[_SINCE]}, claim):
                return True
        raise StateUnavailableError("an e-mail address is claimed by too many at the same time; try again")

    async def release(self, address: str, name: str) -> None:
        """Let others have an address that was this user's. Raises ``StateUnavailableError``."""
        mine = {_USER: name.encode()}
        await self._store.update_if(self._key(address), mine, {_USER: None, _SINCE: None})

    def _key(self, address: str) -> str:
        return f"{self._prefix}.{hashlib.sha256(folded(address).encode()).hexdigest()[:40]}"
