"""What the log says of an engine that is away: the first failure, a line now and then, and its return."""

import logging
import time
from collections.abc import Callable
from typing import Final

PAUSE: Final = 10.0
"""Seconds between two lines, however often it is tried."""


class Outage:
    """Counts failures that are tried again within a fraction of a second; says few of them.

    Args:
        logger: whose lines they are.
        without: what there is not while it lasts, such as ``watch waits for the engine``.
        again: what is said at its end.
    """

    def __init__(
        self, logger: logging.Logger, without: str, again: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger, self._without, self._again, self._clock = logger, without, again, clock
        self._unsaid = 0  # failures since the last line
        self._next_line = float("-inf")
        self._is_told = False  # of this outage, so its end is told too

    def failed(self, error: Exception) -> None:
        """It was tried, in vain."""
        now = self._clock()
        if now < self._next_line:
            self._unsaid += 1
            return
        self._logger.warning("%s: %s", self._without, error, extra={"failures": self._unsaid + 1})
        self._unsaid, self._next_line, self._is_told = 0, now + PAUSE, True

    def over(self) -> None:
        """The engine answers."""
        if self._is_told:
            self._logger.info(self._again)
        self._unsaid, self._is_told = 0, False
