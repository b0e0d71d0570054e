"""Web push of messages that are not stored (``Cache: no``): whoever takes one from its publisher pushes it too.

So exactly one process does, without a trace of the message on any engine. If it dies first, the push is lost, as the
message is for everybody who is not there.
"""

import asyncio
import logging
from typing import Final

from gbe.notify.webpush.courier import Courier
from gbe.schemas.notify import Notification

logger = logging.getLogger(__name__)

MAX_WAITING: Final = 500
"""Messages that may be under way; more are dropped, with a line in the log."""


class LivePusher:
    """Pushes in the background. ``run`` it, and ``close`` it at the end."""

    def __init__(self, courier: Courier) -> None:
        self.courier = courier
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Know who has subscribed, until cancelled."""
        async with self.courier.running():
            await asyncio.get_running_loop().create_future()

    def tell(self, notification: Notification, topic: str) -> None:
        """Take charge of a message; nobody waits for it."""
        if not self.courier.knows(topic):
            return
        if len(self._under_way) >= MAX_WAITING:
            logger.error("web push: a message is not pushed, %d are under way already", len(self._under_way))
            return
        task = asyncio.get_running_loop().create_task(self.courier.deliver(notification, topic), name="gbe.push")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self, grace: float = 5.0) -> None:
        """Wait a moment for what is under way, then give up the rest."""
        if not self._under_way:
            return
        _, left = await asyncio.wait(self._under_way, timeout=grace)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
