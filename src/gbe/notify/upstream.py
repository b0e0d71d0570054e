"""Waking iPhones through another ntfy server (section 12): it is told that there is something to fetch, and no more.

Every stored message, delayed ones when they are delivered, becomes ``POST UPSTREAM/HASH`` with an empty body, where
HASH is the SHA-256 of the topic's public address. A consumer group of all nodes does it, so each message is told once.
"""

import hashlib
import logging
import re
from typing import Final

import httpx

from gbe.errors import InvalidEnvelopeError, TransportError
from gbe.notify.config import NotifyConfig
from gbe.notify.hub import topic_subject
from gbe.schemas.notify import MESSAGE, decode
from gbe.transport.base import ConsumeOptions, Delivery, Transport

logger = logging.getLogger(__name__)

GROUP: Final = "notify-upstream"
TRIES: Final = 3
"""How often a message is told to a server that does not answer."""

_PAUSE: Final = 5.0
_TIMEOUT: Final = 10.0
_CONCURRENCY: Final = 16
_UNIFIED_PUSH: Final = re.compile(r"up[A-Za-z0-9]{12}")


class Upstream:
    """Tells the upstream server of messages."""

    def __init__(self, transport: Transport, config: NotifyConfig, namespace: str, version: str) -> None:
        self._transport, self._config, self._namespace = transport, config, namespace
        self._headers = {"User-Agent": f"ntfy/{version}"}
        if config.upstream_access_token:
            self._headers["Authorization"] = f"Bearer {config.upstream_access_token}"
        self._client: httpx.AsyncClient

    async def run(self) -> None:
        """Tell of each message that is stored from now on, until cancelled."""
        options = ConsumeOptions(max_deliver=TRIES + 1, batch_size=_CONCURRENCY)
        pattern = topic_subject(self._namespace, "*")
        try:
            async with (
                httpx.AsyncClient(timeout=_TIMEOUT, headers=self._headers) as self._client,
                self._transport.consume(pattern, GROUP, options) as deliveries,
            ):
                await deliveries.run(self._tell, concurrency=_CONCURRENCY)
        except TransportError:
            logger.exception("the upstream server is not told of messages any more by this process")

    async def _tell(self, delivery: Delivery) -> None:
        topic = delivery.envelope.subject.rpartition(".")[2]
        try:
            notification = decode(delivery.envelope.payload)
        except InvalidEnvelopeError:
            return  # of some other program, and no message
        if notification.event != MESSAGE or notification.encoding or _UNIFIED_PUSH.fullmatch(topic):
            return
        address = hashlib.sha256(f"{self._config.base_url}/{topic}".encode()).hexdigest()
        url = f"{self._config.upstream_base_url}/{address}"
        try:
            answer = await self._client.post(url, headers={"X-Poll-ID": notification.id})
        except httpx.HTTPError as exc:
            if delivery.attempt < TRIES:
                await delivery.nak(_PAUSE)
            else:
                logger.warning("upstream server not told of a message: %s", repr(exc))
            return
        if answer.status_code != httpx.codes.OK:
            logger.warning("upstream server answers %d", answer.status_code)
