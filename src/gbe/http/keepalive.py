"""Signs of life for all streams of a process, with one timer."""

import asyncio
from collections.abc import Callable


class Keepalive:
    """Calls each registered function at a fixed rate, counted from its own registration.

    All have the same interval, so they come due in the order in which they were registered or last called: a
    dictionary keeps that order, and only its first entry has to be looked at.
    """

    def __init__(self, interval: float) -> None:
        """``interval`` in seconds."""
        self._interval = interval
        self._due: dict[Callable[[], None], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, call: Callable[[], None]) -> None:
        """Call ``call`` every interval from now on."""
        self._due[call] = asyncio.get_running_loop().time() + self._interval
        if self._timer is None:
            self._arm()

    def discard(self, call: Callable[[], None]) -> None:
        """Stop calling; safe to repeat."""
        self._due.pop(call, None)

    def _arm(self) -> None:
        first = next(iter(self._due.values()), None)
        self._timer = None if first is None else asyncio.get_running_loop().call_at(first, self._tick)

    def _tick(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._due:
            call, due = next(iter(self._due.items()))
            if due > now:
                break
            del self._due[call]
            # not from now, so that delays do not shift the rate; but a machine that slept need not catch up
            following = due + self._interval
            self._due[call] = following if following > now else now + self._interval
            call()
        self._arm()
