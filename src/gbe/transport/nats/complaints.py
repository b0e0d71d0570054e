"""What a server complains about: logged, but not for ever, and told to whoever waits in vain because of it.

A server answers a forbidden request with an error of the connection, not of the request: nobody would ever reply.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from gbe.transport.nats.errors import NotPermittedError

logger = logging.getLogger(__name__)

_INTERVAL: Final = 10.0  # the same trouble is logged once in so many seconds
_MOST_REMEMBERED: Final = 100
_VIOLATION: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE)

Kind = Literal["publish", "subscription"]


class Complaints:
    """The complaints of one connection."""

    def __init__(self) -> None:
        self._logged: dict[str, float] = {}  # text → until when it is not logged again
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}  # by what they need leave for
        self._refusal_listeners: list[Callable[[str, str], None]] = []

    def forget(self) -> None:
        """A new connection: what is wrong with it is worth a line again."""
        self._logged.clear()

    def on_refused_publish(self, listener: Callable[[str, str], None]) -> None:
        """Call ``listener`` with the subject, in lower case, and the server's words when a publish is refused."""
        self._refusal_listeners.append(listener)

    def hear(self, text: str) -> None:
        """Log a complaint, and fail those who wait for what it forbids."""
        now = time.monotonic()
        if now >= self._logged.get(text, 0.0):
            if len(self._logged) >= _MOST_REMEMBERED:
                self._logged.clear()
            self._logged[text] = now + _INTERVAL
            logger.warning("nats: %s", text)
        violation = _VIOLATION.search(text)
        if violation is None:
            return
        kind, subject = violation[1].lower(), violation[2].lower()  # nats-py has lowered it already
        for waiting in self._waiting.get(f"{kind} {subject}", []):
            if not waiting.done():
                waiting.set_exception(NotPermittedError(text))
        if kind == "publish":
            for listener in self._refusal_listeners:
                listener(subject, text)

    @contextmanager
    def failing(self, waiting: asyncio.Future[None], kind: Kind, subject: str) -> Iterator[None]:
        """While the block runs, ``waiting`` fails with ``NotPermittedError`` if the server forbids this."""
        permission = f"{kind} {subject.lower()}"
        others = self._waiting.setdefault(permission, [])
        others.append(waiting)
        try:
            yield
        finally:
            others.remove(waiting)
            if not others:
                self._waiting.pop(permission, None)
