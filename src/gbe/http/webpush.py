"""``/v1/webpush``: browsers subscribe and leave (section 6.5)."""

from typing import Final

import msgspec

from gbe.http.asgi import Receive, Scope, Send, succeed
from gbe.http.authentication import caller_of
from gbe.http.body import Body
from gbe.http.services import Services, now_ms
from gbe.notify.errors import Refusal
from gbe.notify.topics import check_topic, is_topic_name
from gbe.notify.webpush.encryption import Receiver
from gbe.notify.webpush.endpoints import is_known_endpoint
from gbe.notify.webpush.subscriptions import MAX_TOPICS, Subscription, Subscriptions

_MAX_BODY: Final = 32 * 1024


class _Request(msgspec.Struct, frozen=True):
    endpoint: str
    auth: str = ""
    p256dh: str = ""
    topics: tuple[str, ...] = ()


class WebPush:
    """Answers both methods; without web push in the configuration there is no such path."""

    def __init__(self, services: Services, subscriptions: Subscriptions | None) -> None:
        self._services, self._subscriptions = services, subscriptions

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ``NotifyError``: 40401, 42901, 41303, 40038, 40039, 40040, 40010."""
        if self._subscriptions is None:
            raise Refusal.NOT_FOUND.error()
        self._services.visitors.of_request(scope["client"], scope["headers"]).take_request()
        body = await Body(scope, receive).begin(_MAX_BODY)
        if len(body) >= _MAX_BODY:
            raise Refusal.JSON_TOO_LARGE.error()
        request = _read(body)
        if scope["method"] == "DELETE":
            await self._subscriptions.remove(request.endpoint)
        else:
            caller = caller_of(scope)
            subscription = self._checked(request, caller.name or "")
            caller.check_read(*subscription.topics)
            await self._subscriptions.put(subscription)
        await succeed(send)

    def _checked(self, request: _Request, user: str) -> Subscription:
        try:
            Receiver.read(request.p256dh, request.auth)
        except ValueError as exc:
            raise Refusal.WEB_PUSH_INVALID.error() from exc
        if not all(map(is_topic_name, request.topics)):
            raise Refusal.WEB_PUSH_INVALID.error()
        if not is_known_endpoint(request.endpoint, self._services.notify.web_push_hosts):
            raise Refusal.WEB_PUSH_ENDPOINT_UNKNOWN.error()
        if len(request.topics) > MAX_TOPICS:
            raise Refusal.WEB_PUSH_TOO_MANY_TOPICS.error()
        for topic in request.topics:
            check_topic(topic, self._services.notify.disallowed_topics)
        return Subscription(
            endpoint=request.endpoint,
            auth=request.auth,
            p256dh=request.p256dh,
            topics=tuple(dict.fromkeys(request.topics)),
            updated=now_ms(),
            user=user,
        )


def _read(body: bytes) -> _Request:
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise Refusal.WEB_PUSH_INVALID.error() from exc


_decoder: Final = msgspec.json.Decoder(_Request)
