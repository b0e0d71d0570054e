"""Buckets of what one address may do rarely: fail to log in, make an account (section 8.3)."""

import time
from collections import OrderedDict
from typing import Final

_REMEMBERED: Final = 100_000


class Buckets:
    """A bucket for each visitor; bounded: beyond that the visitor idle for longest is forgotten.

    One number for each, the time at which its bucket is full again: the generic cell rate algorithm.

    Args:
        burst: what a bucket holds.
        replenish: seconds until one more is in it.
    """

    def __init__(self, burst: int, replenish: float) -> None:
        self._span, self._replenish = burst * replenish, replenish
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def has(self, key: str) -> bool:
        """Whether anything is left."""
        now = time.monotonic()
        return max(self._full_at.get(key, now), now) + self._replenish - now <= self._span + 1e-6

    def take(self, key: str) -> bool:
        """Take one, if there is one."""
        if not self.has(key):
            return False
        now = time.monotonic()
        self._full_at[key] = max(self._full_at.get(key, now), now) + self._replenish
        self._full_at.move_to_end(key)
        while len(self._full_at) > _REMEMBERED:
            self._full_at.popitem(last=False)
        return True

    def give_back(self, key: str) -> None:
        """Undo a ``take``."""
        if key in self._full_at:
            self._full_at[key] -= self._replenish


def auth_failures() -> Buckets:
    """Failed logins: 30 at once, one more a minute."""
    return Buckets(30, 60.0)


def sign_ups() -> Buckets:
    """New accounts: 3 at once, one more a day."""
    return Buckets(3, 86_400.0)
