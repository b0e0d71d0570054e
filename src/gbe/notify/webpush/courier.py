"""Takes a message to the browsers that have subscribed to its topic: cut to fit, encrypted, signed, sent."""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import httpx
import msgspec

from gbe.errors import StateError
from gbe.notify.config import NotifyConfig
from gbe.notify.priority import DEFAULT
from gbe.notify.webpush.directory import Directory
from gbe.notify.webpush.encryption import MAX_PAYLOAD, Receiver, VapidKeys, encrypt
from gbe.notify.webpush.endpoints import is_known_endpoint
from gbe.notify.webpush.subscriptions import Subscription, Subscriptions
from gbe.outbound import resolve
from gbe.schemas.notify import Notification

logger = logging.getLogger(__name__)

CONCURRENCY: Final = 16
_PAUSE: Final = 1.0
_TIMEOUT: Final = httpx.Timeout(10.0)
_TRIES: Final = 3
_GONE: Final = frozenset({404, 410})
_MAY_PASS: Final = frozenset({429, 500, 502, 503, 504})
_KEPT: Final = 24 * 3600  # seconds for which a push service keeps what it cannot deliver
_URGENT: Final = 4
_CUTS: Final = (3000, 2000, 1000, 300)
"""Bytes of a message that are tried in turn."""

Encode = Callable[[Notification, str], bytes]
"""A notification of a topic as clients see it: one JSON object."""

MayRead = Callable[[str, str], bool]
"""Whether a user, or an empty name for everybody, may read a topic now."""


class Courier:
    """One process's way to browsers; use it inside ``running``.

    Args:
        encode: the wire format of messages.
        on_result: hears of each push that was taken (``True``) or given up (``False``).
        may_read: asked before each push, since rights may have been taken away; ``None``: everybody may read all.
        allow_internal: whether endpoints may lie in a private network or on this machine.
        tls: trusts what; by default the authorities of the system.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        config: NotifyConfig,
        encode: Encode,
        on_result: Callable[[bool], None] = lambda _sent: None,
        *,
        may_read: MayRead | None = None,
        allow_internal: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.subscriptions, self.directory = subscriptions, Directory(subscriptions)
        self._config, self._encode, self._on_result, self._may_read = config, encode, on_result, may_read
        self._keys = VapidKeys.read(
            config.web_push_public_key, config.web_push_private_key, config.web_push_email_address
        )
        self.allow_internal = allow_internal
        self._free = asyncio.Semaphore(CONCURRENCY)
        self._http = httpx.AsyncClient(
            trust_env=False, follow_redirects=False, timeout=_TIMEOUT, verify=True if tls is None else tls
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Know who has subscribed while the block runs; it begins when all are known."""
        async with self._http, self.directory.followed():
            yield

    def knows(self, topic: str) -> bool:
        """Whether anybody is known to have subscribed to a topic."""
        return bool(self.directory.of_topic(topic))

    async def deliver(self, notification: Notification, topic: str) -> None:
        """Take a message to every browser of its topic. Never raises for what the other side does."""
        browsers = [each for each in self.directory.of_topic(topic) if self._is_allowed(each, topic)]
        if browsers:
            payload = self._payload(notification, topic)
            urgent = (notification.priority or DEFAULT) >= _URGENT
            await asyncio.gather(*(self.push(each, payload, urgent=urgent) for each in browsers))

    def _is_allowed(self, browser: Subscription, topic: str) -> bool:
        return self._may_read is None or self._may_read(browser.user, topic)

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

    async def push(self, browser: Subscription, payload: bytes, *, urgent: bool = False) -> None:
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
            await self.subscriptions.remove_unless_renewed(browser)
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
