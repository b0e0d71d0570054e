"""Tells browsers of messages: every stored message goes to one node of the deployment, which pushes it.

The nodes are members of one consumer group, so a message is pushed by exactly one of them; if that one dies before it
has acknowledged, another pushes it again, and browsers replace a notification of the same id.
"""

import asyncio
import logging
import time
from typing import Final

from gbe.errors import InvalidEnvelopeError, StateError, TransportError
from gbe.notify.config import NotifyConfig
from gbe.notify.webpush.courier import CONCURRENCY, Courier
from gbe.schemas.notify import decode
from gbe.transport.base import ConsumeOptions, Delivery, Transport

logger = logging.getLogger(__name__)

GROUP: Final = "webpush"
_OPTIONS: Final = ConsumeOptions(ack_timeout=120.0)
_PAUSE: Final = 1.0
_EXPIRING: Final = b'{"event":"subscription_expiring"}'


class Pusher:
    """One node's part of web push.

    Args:
        courier: takes messages to browsers.
    """

    def __init__(self, transport: Transport, courier: Courier, namespace: str, config: NotifyConfig) -> None:
        self._transport, self.courier, self._config = transport, courier, config
        self._pattern = f"{namespace}.notify.topic.*"

    async def run(self) -> None:
        """Push what comes, until cancelled; an engine that goes away is waited for."""
        async with self.courier.running(), asyncio.TaskGroup() as group:
            group.create_task(self._consume())
            group.create_task(self._warn_forever())

    async def _consume(self) -> None:
        while True:
            try:
                async with self._transport.consume(self._pattern, GROUP, _OPTIONS) as deliveries:
                    await deliveries.run(self._handle, concurrency=CONCURRENCY)
            except* (TransportError, StateError) as failed:
                logger.warning("web push waits, trying again: %s", failed.exceptions[0])
            await asyncio.sleep(_PAUSE)

    async def _handle(self, delivery: Delivery) -> None:
        topic = delivery.envelope.subject.rpartition(".")[2]
        if self.courier.knows(topic):
            try:
                notification = decode(delivery.envelope.payload)
            except InvalidEnvelopeError as exc:
                await delivery.dead_letter(str(exc))
                return
            await self.courier.deliver(notification, topic)
        await delivery.ack()

    # -- expiry

    async def _warn_forever(self) -> None:
        while True:
            try:
                await self.warn(time.time_ns() // 1_000_000)
            except StateError as exc:
                logger.warning("web push: nobody was warned: %s", exc)
            await asyncio.sleep(self._config.web_push_check_interval)

    async def warn(self, now_ms: int) -> int:
        """Tell every browser whose subscription expires soon, once; how many we told."""
        before = now_ms - int(self._config.web_push_expiry_warning_duration * 1000)
        told = 0
        for browser in self.courier.directory.all():
            if browser.warned or browser.updated > before:
                continue
            if await self.courier.subscriptions.mark_warned(browser, now_ms):
                await self.courier.push(browser, _EXPIRING)
                told += 1
        return told
