"""Tells browsers of messages: every stored message goes to one node of the deployment, which pushes it.

The nodes are members of one consumer group, so a message is pushed by exactly one of them; if that one dies before it
has acknowledged, another pushes it again, and browsers replace a notification of the same id.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from typing import Final

import httpx
import msgspec

from gbe.errors import InvalidEnvelopeError, StateError, TransportError
from gbe.notify.config import NotifyConfig
from gbe.notify.priority import DEFAULT
from gbe.notify.webpush.directory import Directory
from gbe.notify.webpush.encryption import MAX_PAYLOAD, Receiver, VapidKeys, encrypt
from gbe.notify.webpush.endpoints import is_known_endpoint
from gbe.notify.webpush.subscriptions import Subscription, Subscriptions
from gbe.outbound import resolve
from gbe.schemas.notify import Notification, decode
from gbe.state.base import StateStore
from gbe.transport.base import ConsumeOptions, Delivery, Transport

logger = logging.getLogger(__name__)

GROUP: Final = "webpush"
_OPTIONS: Final = ConsumeOptions(ack_timeout=120.0)
_CONCURRENCY: Final = 16
_PAUSE: Final = 1.0
_TIMEOUT: Final = httpx.Timeout(10.0)
_TRIES: Final = 3
_GONE: Final = frozenset({404, 410})
_MAY_PASS: Final = frozenset({429, 500, 502, 503, 504})
_KEPT: Final = 24 * 3600  # seconds for which a push service keeps what it cannot deliver
_URGENT: Final = 4
_CUTS: Final = (3000, 2000, 1000, 300)
"""Bytes of a message that are tried in turn."""
_EXPIRING: Final = b'{"event":"subscription_expiring"}'

Encode = Callable[[Notification, str], bytes]
"""A notification of a topic as clients see it: one JSON object."""


class Pusher:
    """One node's part of web push.

    Args:
        encode: the wire format of messages.
        on_result: hears of each push that was taken (``True``) or given up (``False``).
        allow_internal: whether endpoints may lie in a private network or on this machine.
        tls: trusts what; by default the authorities of the system.
    """

    def __init__(
        self,
        transport: Transport,
        store: StateStore,
        namespace: str,
        config: NotifyConfig,
        encode: Encode,
        on_result: Callable[[bool], None] = lambda _sent: None,
        *,
        allow_internal: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._transport, self._config, self._encode, self._on_result = transport, config, encode, on_result
        self._pattern = f"{namespace}.notify.topic.*"
        self._subscriptions = Subscriptions(store, namespace, config.web_push_expiry_duration)
        self._directory = Directory(self._subscriptions)
        self._keys = VapidKeys.read(
            config.web_push_public_key, config.web_push_private_key, config.web_push_email_address
        )
        self.allow_internal = allow_internal
        self._free = asyncio.Semaphore(_CONCURRENCY)
        self._http = httpx.AsyncClient(
            trust_env=False, follow_redirects=False, timeout=_TIMEOUT, verify=True if tls is None else tls
        )

    def knows(self, topic: str) -> bool:
        """Whether anybody is known to have subscribed to a topic."""
        return bool(self._directory.of_topic(topic))

    async def run(self) -> None:
        """Push what comes, until cancelled; an engine that goes away is waited for."""
        async with self._http, self._directory.followed(), asyncio.TaskGroup() as group:
            group.create_task(self._consume())
            group.create_task(self._warn_forever())

    async def _consume(self) -> None:
        while True:
            try:
                async with self._transport.consume(self._pattern, GROUP, _OPTIONS) as deliveries:
                    await deliveries.run(self._handle, concurrency=_CONCURRENCY)
            except* (TransportError, StateError) as failed:
                logger.warning("web push waits, trying again: %s", failed.exceptions[0])
            await asyncio.sleep(_PAUSE)

    async def _handle(self, delivery: Delivery) -> None:
        topic = delivery.envelope.subject.rpartition(".")[2]
        browsers = self._directory.of_topic(topic)
        if browsers:
            try:
                notification = decode(delivery.envelope.payload)
            except InvalidEnvelopeError as exc:
                await delivery.dead_letter(str(exc))
                return
            payload = self._payload(notification, topic)
            urgent = (notification.priority or DEFAULT) >= _URGENT
            await asyncio.gather(*(self._push(each, payload, urgent=urgent) for each in browsers))
        await delivery.ack()

    def _payload(self, notification: Notification, topic: str) -> bytes:
        """What the browser gets; a message that does not fit is cut, and in the end it loses what is not text."""
        payload = self._whole(notification, topic)
        if len(payload) <= MAX_PAYLOAD:
            return payload
        for size in _CUTS:
            text = (notification.message or "").encode()[:size].decode("utf-8", "ignore") + "…"
            payload = self._whole(msgspec.structs.replace(notification, message=text), topic)
            if len(payload) <= MAX_PAYLOAD:
                return payload
        bare = Notification(
            v=notification.v,
            ts=notification.ts,
            id=notification.id,
            time=notification.time,
            event=notification.event,
            message="…",
            priority=notification.priority,
        )
        return self._whole(bare, topic)

    def _whole(self, notification: Notification, topic: str) -> bytes:
        return msgspec.json.encode(
            {
                "event": "message",
                "subscription_id": f"{self._config.base_url}/{topic}",
                "message": msgspec.Raw(self._encode(notification, topic).strip()),
            }
        )

    # -- one push

    async def _push(self, browser: Subscription, payload: bytes, *, urgent: bool = False) -> None:
        """Never raises for what the other side does."""
        async with self._free:
            try:
                sent = await self._try(browser, payload, urgent=urgent)
            except (OSError, httpx.HTTPError, ValueError) as exc:
                logger.warning("web push failed: %s", type(exc).__name__)  # an endpoint is a secret
                sent = False
            except StateError as exc:
                logger.warning("web push: a subscription that ended was not removed: %s", exc)
                sent = False
        self._on_result(sent)

    async def _try(self, browser: Subscription, payload: bytes, *, urgent: bool) -> bool:
        if not is_known_endpoint(browser.endpoint, self._config.web_push_hosts):
            return False
        status = 0
        for number in range(_TRIES):
            if number:
                await asyncio.sleep(_PAUSE * number)
            status = await self._send(browser, payload, urgent=urgent)
            if status not in _MAY_PASS:
                break
        if status in _GONE:
            await self._subscriptions.remove_unless_renewed(browser)
        elif not 200 <= status < 300:
            logger.warning("web push refused", extra={"status": status})
        return 200 <= status < 300

    async def _send(self, browser: Subscription, payload: bytes, *, urgent: bool) -> int:
        url = httpx.URL(browser.endpoint)
        # to the address that was checked, whatever the name resolves to a moment later
        address = await resolve(url.host, url.port or 443, allow_internal=self.allow_internal)
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Authorization": self._keys.authorization(browser.endpoint, time.time()),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(_KEPT),
            "Urgency": "high" if urgent else "normal",
        }
        body = encrypt(payload, Receiver.read(browser.p256dh, browser.auth))
        request = self._http.build_request(
            "POST", url.copy_with(host=address), content=body, headers=headers, extensions={"sni_hostname": url.host}
        )
        response = await self._http.send(request, stream=True)
        try:
            return response.status_code  # what it says beyond that is not read
        finally:
            await response.aclose()

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
        for browser in self._directory.all():
            if browser.warned or browser.updated > before:
                continue
            if await self._subscriptions.mark_warned(browser, now_ms):
                await self._push(browser, _EXPIRING)
                told += 1
        return told
