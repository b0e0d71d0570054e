"""Requests that were refused for lack of rights, told as ``events.auth.failure``.

Told at a bounded rate: the first one at once, then every few seconds those that came meanwhile, together for each
client. A flood of bad requests is a few events with large counts.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from gbe.errors import GbeError
from gbe.events.publisher import EventPublisher
from gbe.schemas.events.auth import AuthFailure

logger = logging.getLogger(__name__)

PAUSE: Final = 10.0
"""Seconds between two rounds."""
MOST: Final = 20
"""Clients that are told apart in a round; the others are counted together."""
_LONGEST: Final = 256
_PATIENCE: Final = 2.0


@dataclass(slots=True)
class _Refused:
    client: str | None
    reason: str
    target: str | None
    count: int = 1


class Refusals:
    """Counts and tells; nobody waits for it, and an engine that is away is logged."""

    def __init__(self, events: EventPublisher, *, pause: float = PAUSE) -> None:
        self._events, self._pause = events.lenient(), pause
        self._waiting: dict[tuple[str | None, str], _Refused] = {}
        self._telling: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def note(self, client: str, path: str, reason: str) -> None:
        """A request was refused. ``client`` is an address or a network, ``path`` what was asked for."""
        known = self._waiting.get((client, reason))
        if known is None and len(self._waiting) >= MOST:
            known = self._waiting.setdefault((None, reason), _Refused(None, reason, None, count=0))
        if known is not None:
            known.count += 1
            return
        self._waiting[client, reason] = _Refused(client[:_LONGEST], reason, _printable(path))
        if self._telling is None and not self._closing.is_set():
            self._telling = asyncio.create_task(self._tell(), name="gbe.refusals")

    async def close(self) -> None:
        """Tell what waits, and end."""
        self._closing.set()
        if self._telling is not None:
            await self._telling

    async def _tell(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, {}
                await asyncio.gather(*(self._publish(refused) for refused in waiting.values()))
                await self._rest()
        finally:
            self._telling = None

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), self._pause)
        except TimeoutError:
            return

    async def _publish(self, refused: _Refused) -> None:
        event = AuthFailure(
            reason=refused.reason,
            client=refused.client,
            target=refused.target,
            count=refused.count,
        )
        try:
            await self._events.publish("events.auth.failure", event, timeout=_PATIENCE)
        except GbeError as exc:
            logger.warning("refused request not told: %s", exc)


def _printable(path: str) -> str:
    """What a stranger asked for, short and without what JSON cannot carry."""
    return path[:_LONGEST].encode("utf-8", "replace").decode()
