"""Links that are mailed: whoever comes back with one reads the mail that went to an address.

A link holds 32 random characters, of which only a hash is kept, so it can neither be guessed nor be read out of the
store, and looking one up takes the same time whatever was guessed. It counts once, for one purpose, and not for long.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from gbe.notify.access.tokens import digest, random_text
from gbe.state.base import StateStore

_LENGTH: Final = 32
_PURPOSE, _USER, _ID, _ADDRESS, _PROOF = "purpose", "user", "id", "address", "proof"


class Purpose(Enum):
    """What a link is for; the value is its name in records."""

    VERIFY = "verify"
    RESET = "reset"


LIVES: Final = {Purpose.VERIFY: 24 * 3600.0, Purpose.RESET: 3600.0}
"""Seconds for which a link of each kind counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a link stands for.

    Attributes:
        user: name.
        user_id: of the same user: one who is deleted and made anew is another.
        address: where it was mailed to.
        proof: what must not have changed since: a hash of the password's hash, for a new password.
    """

    purpose: Purpose
    user: str
    user_id: str
    address: str
    proof: str = ""


class Links:
    """The links that are under way, in the state store. All methods raise ``StateUnavailableError``."""

    def __init__(self, store: StateStore, namespace: str) -> None:
        self._store, self._prefix = store, f"{namespace}.state.notify.links"

    async def make(self, link: Link) -> str:
        """A new link: the secret text of it."""
        text = random_text(_LENGTH)
        fields = {
            _PURPOSE: link.purpose.value.encode(),
            _USER: link.user.encode(),
            _ID: link.user_id.encode(),
            _ADDRESS: link.address.encode(),
            _PROOF: link.proof.encode(),
        }
        await self._store.put(self._key(text), fields, ttl=LIVES[link.purpose])
        return text

    async def find(self, text: str, purpose: Purpose) -> Link | None:
        """What this text stands for; ``None``: nothing, no more, or something else."""
        fields = await self._store.get(self._key(text))
        if fields is None or fields[_PURPOSE] != purpose.value.encode():
            return None
        user, user_id, address, proof = (fields[name].decode() for name in (_USER, _ID, _ADDRESS, _PROOF))
        return Link(purpose=purpose, user=user, user_id=user_id, address=address, proof=proof)

    async def spend(self, text: str) -> bool:
        """End a link; of all who try, one is told ``True``."""
        return await self._store.delete(self._key(text))

    def _key(self, text: str) -> str:
        return f"{self._prefix}.{digest(text)}"
