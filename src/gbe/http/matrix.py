"""The Matrix push gateway (section 4.13): a Matrix server's notification becomes a UnifiedPush message."""

from typing import Final

import msgspec

from gbe.http.asgi import JSON, Receive, Scope, Send, json_body, respond
from gbe.http.body import Body
from gbe.http.publish import Publishing
from gbe.http.services import Services
from gbe.notify.errors import Refusal
from gbe.notify.topics import is_topic_name

_DISCOVERY: Final = json_body({"unifiedpush": {"gateway": "matrix"}})
_GIVE_UP: Final = 12 * 3600.0
"""Seconds without a subscriber after which a Matrix server is told to forget the device."""


class _Device(msgspec.Struct):
    pushkey: str = ""


class _Content(msgspec.Struct):
    devices: list[_Device] = []


class _Push(msgspec.Struct):
    """The part of the Push Gateway API's request that matters here (spec.matrix.org, Push Gateway API)."""

    notification: _Content


_decode: Final = msgspec.json.Decoder(_Push).decode


class Matrix:
    """Answers ``/_matrix/push/v1/notify``; raises ``NotifyError`` or ``GbeError``."""

    def __init__(self, services: Services, publishing: Publishing) -> None:
        self._services, self._publishing = services, publishing

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """``GET`` tells what this is, ``POST`` is a notification."""
        services = self._services
        visitor = services.visitors.of_request(scope["client"], scope["headers"])
        visitor.take_request()
        base_url = services.notify.base_url
        if not base_url:
            raise Refusal.BASE_URL_MISSING.error()
        if scope["method"] == "GET":
            await respond(send, 200, _DISCOVERY, (JSON,))
            return
        limit = services.notify.message_size_limit
        body = await Body(scope, receive).begin(limit)
        if len(body) >= limit:
            raise Refusal.MATRIX_TOO_LARGE.error()
        pushkey = _pushkey(body)
        if not pushkey.startswith(f"{base_url}/"):
            await _reject(send, pushkey)
            return
        topic = pushkey[len(base_url) + 1 :].partition("?")[0]
        if not is_topic_name(topic):
            raise Refusal.MATRIX_JSON_INVALID.error("the push key names no topic")
        if await self._is_forgotten(topic):
            await _reject(send, pushkey)
            return
        await self._publishing.unified_push(scope, topic, visitor, body)
        await respond(send, 200, json_body({"rejected": []}), (JSON,))

    async def _is_forgotten(self, topic: str) -> bool:
        """Whether a topic has had no subscriber for long: its device is gone, and nobody need try again."""
        rate_visitors, topics = self._services.rate_visitors, self._services.topics
        if not rate_visitors.is_on or await rate_visitors.of(topic) is not None:
            return False
        return topics.idle_for(topic) > _GIVE_UP


def _pushkey(body: bytes) -> str:
    try:
        devices = _decode(body).notification.devices
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise Refusal.MATRIX_JSON_INVALID.error() from exc
    if not devices or not devices[0].pushkey:
        raise Refusal.MATRIX_JSON_INVALID.error("no push key")
    return devices[0].pushkey


async def _reject(send: Send, pushkey: str) -> None:
    await respond(send, 200, json_body({"rejected": [pushkey]}), (JSON,))
