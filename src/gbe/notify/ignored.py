"""Options that a publisher gives and this server does not have: the message goes out without, and the log says so."""

import logging
import time
from collections.abc import Callable
from typing import Final

from gbe.notify import options
from gbe.notify.options import Option
from gbe.notify.parameters import Parameters

logger = logging.getLogger(__name__)

PAUSE: Final = 60.0
"""Seconds between two lines about the same option: whoever sends it in every message fills no log."""

_WITHOUT: Final[dict[Option, str]] = {
    options.CALL: "a message asked for a phone call, and went out without: this server makes none",
    options.LATER: "a message named a time zone or a critical alert, which were ignored: this server has neither",
}


class IgnoredOptions:
    """Tells the operator of each such option once in a while.

    Args:
        on_call: called for each phone call that is not made.
        clock: seconds that only grow.
    """

    def __init__(
        self, on_call: Callable[[], object] = lambda: None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_call, self._clock = on_call, clock
        self._told_at: dict[Option, float] = {}

    def look(self, parameters: Parameters, topic: str) -> None:
        """A message was accepted with these options; ``topic`` is as it may be logged."""
        get = parameters.getter()
        if get(options.CALL):
            self._on_call()
        for option, text in _WITHOUT.items():
            if get(option):
                self._tell(option, text, topic)

    def _tell(self, option: Option, text: str, topic: str) -> None:
        now = self._clock()
        if now >= self._told_at.get(option, -PAUSE) + PAUSE:
            self._told_at[option] = now
            logger.warning(text, extra={"topics": topic})
