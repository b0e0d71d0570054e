"""What an account remembers for its devices, and the topics that it has reserved (section 6.3)."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from gbe.http.account_call import SUCCESS, Call, Route, required
from gbe.http.account_sync import Sync
from gbe.http.asgi import json_body
from gbe.http.services import Services, now_ms
from gbe.notify.access.access import Access
from gbe.notify.access.accounts import MAX_SUBSCRIPTIONS
from gbe.notify.access.permissions import parse_permission
from gbe.notify.access.users import Settings, Subscription, User
from gbe.notify.erasing import Erasing
from gbe.notify.errors import Refusal
from gbe.notify.parameters import is_true
from gbe.notify.topics import check_topic, is_topic_name

_MOST_TEXT = 512


class _Notification(msgspec.Struct, frozen=True, omit_defaults=True):
    sound: str | None = None
    min_priority: int | None = None
    delete_after: int | None = None


class _SettingsBody(msgspec.Struct, frozen=True):
    language: str | None = None
    notification: _Notification | None = None
    date_format: str | None = None
    time_format: str | None = None


class _SubscriptionBody(msgspec.Struct, frozen=True):
    base_url: str | None = None
    topic: str | None = None
    display_name: str | None = None


class _ReservationBody(msgspec.Struct, frozen=True):
    topic: str | None = None
    everyone: str | None = None


def account_thing_endpoints(services: Services, access: Access) -> Iterable[Route]:
    """Settings, subscriptions and reservations; for whoever is logged in."""
    things = _Things(services, access)
    reservation = "/v1/account/reservation"
    return (
        Route("PATCH", "/v1/account/settings", things.change_settings),
        Route("POST", "/v1/account/subscription", things.subscribe),
        Route("PATCH", "/v1/account/subscription", things.change_subscription),
        Route("DELETE", "/v1/account/subscription", things.unsubscribe),
        Route("POST", reservation, things.reserve),
        Route("DELETE", f"{reservation}/TOPIC", things.release),
    )


class _Things:
    def __init__(self, services: Services, access: Access) -> None:
        self._services, self._access = services, access
        self._sync = Sync(services)
        self._erasing = Erasing(services.transport, services.files, services.scheduled, services.namespace)

    async def change_settings(self, call: Call) -> bytes:
        """Only what is given changes."""
        user = call.logged_in()
        body = await call.body(_SettingsBody)
        given: dict[str, Any] = {}
        for name in ("language", "date_format", "time_format"):
            if (text := getattr(body, name)) is not None:
                given[name] = _short(text, name)
        if body.notification is not None:
            _short(body.notification.sound or "", "sound")
            given["notification"] = msgspec.to_builtins(body.notification)

        def change(settings: Settings) -> Settings:
            merged = dict(given)
            if "notification" in given:
                merged["notification"] = {**(settings.notification or {}), **given["notification"]}
            return msgspec.structs.replace(settings, **merged)

        return await self._changed(user, change)

    async def subscribe(self, call: Call) -> bytes:
        user = call.logged_in()
        wanted = _subscription(await call.body(_SubscriptionBody))

        def add(settings: Settings) -> Settings:
            if any(_is_same(each, wanted) for each in settings.subscriptions):
                raise Refusal.SUBSCRIPTION_EXISTS.error()
            if len(settings.subscriptions) >= MAX_SUBSCRIPTIONS:
                raise Refusal.INVALID_REQUEST.error(f"an account has at most {MAX_SUBSCRIPTIONS} subscriptions")
            return msgspec.structs.replace(settings, subscriptions=(*settings.subscriptions, wanted))

        await self._changed(user, add)
        return json_body(wanted)

    async def change_subscription(self, call: Call) -> bytes:
        user = call.logged_in()
        wanted = _subscription(await call.body(_SubscriptionBody))

        def change(settings: Settings) -> Settings:
            if not any(_is_same(each, wanted) for each in settings.subscriptions):
                raise Refusal.NOT_FOUND.error()
            changed = tuple(wanted if _is_same(each, wanted) else each for each in settings.subscriptions)
            return msgspec.structs.replace(settings, subscriptions=changed)

        await self._changed(user, change)
        return json_body(wanted)

    async def unsubscribe(self, call: Call) -> bytes:
        user = call.logged_in()
        gone = Subscription(base_url=call.header("x-baseurl"), topic=call.header("x-topic"))

        def drop(settings: Settings) -> Settings:
            left = tuple(each for each in settings.subscriptions if not _is_same(each, gone))
            return msgspec.structs.replace(settings, subscriptions=left)

        return await self._changed(user, drop)

    async def reserve(self, call: Call) -> bytes:
        user = self._may_reserve(call)
        body = await call.body(_ReservationBody)
        topic = check_topic(body.topic or "", self._services.notify.disallowed_topics)
        others = parse_permission(body.everyone or "")
        limit = self._access.config.reservation_limit
        await self._access.accounts.reserve(user.name, topic, others, limit=limit)
        await self._sync.tell(user)
        return SUCCESS

    async def release(self, call: Call) -> bytes:
        """Give a topic up; with ``X-Delete-Messages`` what is in it goes too, before anybody else can have it."""
        user = self._may_reserve(call)
        self._access.accounts.check_reserved(user.name, call.topic)
        if is_true(call.header("x-delete-messages")):
            await self._erasing.erase(call.topic, now_ms())
        await self._access.accounts.release(user.name, call.topic)
        await self._sync.tell(user)
        return SUCCESS

    def _may_reserve(self, call: Call) -> User:
        user = call.logged_in()
        if not self._access.config.enable_reservations:
            raise Refusal.NOT_FOUND.error()
        return user

    async def _changed(self, user: User, change: Callable[[Settings], Settings]) -> bytes:
        await self._access.accounts.set_settings(user.name, change)
        await self._sync.tell(user)
        return SUCCESS


def _subscription(body: _SubscriptionBody) -> Subscription:
    topic = required(body.topic, "topic")
    if not is_topic_name(topic):
        raise Refusal.TOPIC_INVALID.error()
    base_url = _short(required(body.base_url, "base_url"), "base_url")
    display_name = None if body.display_name is None else _short(body.display_name, "display_name")
    return Subscription(base_url=base_url, topic=topic, display_name=display_name)


def _is_same(one: Subscription, other: Subscription) -> bool:
    return (one.base_url, one.topic) == (other.base_url, other.topic)


def _short(text: str, name: str) -> str:
    if len(text) > _MOST_TEXT:
        raise Refusal.INVALID_REQUEST.error(f"{name} has at most {_MOST_TEXT} characters")
    return text
