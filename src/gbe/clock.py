"""Time as a value that can be handed in, so that tests move it by hand."""

import time
from typing import Protocol


class Clock(Protocol):
    """What gbe asks about time."""

    def now_ms(self) -> int:
        """Wall-clock time, unix milliseconds: for what is stored or shown."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards: for deadlines and intervals."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told; part of the package so that users can test with it too."""

    def __init__(self, now_ms: int = 1_790_000_000_000) -> None:
        self._now_ms = now_ms
        self._monotonic = 0.0

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._now_ms += round(seconds * 1000)
        self._monotonic += seconds
