"""What the log says of an engine that watches wait for: its first failure, then a line now and then, and its return."""

import logging
import time
from collections.abc import Callable
from typing import Final

PAUSE: Final = 10.0
"""Seconds between two lines, however often it is tried."""


class Outage:
    """Counts failures that are tried again within a fraction of a second; says few of them."""

    def __init__(self, logger: logging.Logger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._clock = logger, clock
        self._unsaid = 0  # failures since the last line
        self._next_line = float("-inf")
        self._is_told = False  # of this outage, so its end is told too

    def failed(self, error: Exception) -> None:
        """It was tried, in vain."""
        now = self._clock()
        if now < self._next_line:
            self._unsaid += 1
            return
        self._logger.warning("watch waits for the engine: %s", error, extra={"failures": self._unsaid + 1})
        self._unsaid, self._next_line, self._is_told = 0, now + PAUSE, True

    def over(self) -> None:
        """The engine answers."""
        if self._is_told:
            self._logger.info("the engine answers again, the watch goes on")
        self._unsaid, self._is_told = 0, False
