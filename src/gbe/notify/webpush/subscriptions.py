"""Browsers' subscriptions in the state store: one record for each endpoint, gone when it has not been renewed."""

import hashlib
import logging
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from gbe.errors import InvalidRecordError
from gbe.state.base import StateStore

logger = logging.getLogger(__name__)

MAX_TOPICS: Final = 50
_UPDATED, _WARNED = "updated", "warned"


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """One browser.

    Attributes:
        endpoint: where its messages go.
        auth, p256dh: its keys, Base64.
        topics: at most ``MAX_TOPICS``.
        updated: when it was made or renewed, unix milliseconds.
        warned: when it was told that it expires, unix milliseconds; 0: it was not.
        user: who subscribed; empty: nobody in particular.
    """

    endpoint: str
    auth: str
    p256dh: str
    topics: tuple[str, ...]
    updated: int
    warned: int = 0
    user: str = ""

    @property
    def id(self) -> str:
        """What names its record: the endpoint is a secret and may be long."""
        return subscription_id(self.endpoint)


def subscription_id(endpoint: str) -> str:
    """The name of the record of an endpoint."""
    return hashlib.sha256(endpoint.encode()).hexdigest()[:40]


class Subscriptions:
    """All subscriptions of a deployment.

    Args:
        expiry: seconds after which one that is not renewed is dropped.
    """

    def __init__(self, store: StateStore, namespace: str, expiry: float) -> None:
        self.store, self._expiry = store, expiry
        self.prefix = f"{namespace}.state.webpush"

    def key(self, subscription: str) -> str:
        """The key of a record."""
        return f"{self.prefix}.{subscription}"

    async def put(self, subscription: Subscription) -> None:
        """Make or renew one; its topics replace those it had. Raises ``StateUnavailableError``."""
        await self.store.put(self.key(subscription.id), encode_record(subscription), ttl=self._expiry)

    async def remove(self, endpoint: str) -> bool:
        """Forget one; whether it was there. Raises ``StateUnavailableError``."""
        return await self.store.delete(self.key(subscription_id(endpoint)))

    async def remove_unless_renewed(self, subscription: Subscription) -> None:
        """Forget one that its push service no longer knows, unless the browser has renewed it meanwhile."""
        record = await self.store.get(self.key(subscription.id))
        if record is not None and record.get(_UPDATED) == b"%d" % subscription.updated:
            await self.store.delete(self.key(subscription.id))

    async def mark_warned(self, subscription: Subscription, now_ms: int) -> bool:
        """Whether it falls to us to warn it: of all who ask, one is told so."""
        return await self.store.update_if(
            self.key(subscription.id),
            {_UPDATED: b"%d" % subscription.updated, _WARNED: b"0"},
            {_WARNED: b"%d" % now_ms},
        )

    async def all(self) -> AsyncIterator[Subscription]:
        """Every subscription there is; what is none is skipped. Raises ``StateUnavailableError``."""
        async for record in self.store.scan(self.prefix):
            try:
                subscription = decode_record(record.fields)
            except InvalidRecordError as exc:
                logger.warning("web push: a record is skipped: %s", exc)
                continue
            yield subscription


def encode_record(subscription: Subscription) -> dict[str, bytes]:
    """A subscription as fields."""
    return {
        "endpoint": subscription.endpoint.encode(),
        "auth": subscription.auth.encode(),
        "p256dh": subscription.p256dh.encode(),
        "topics": msgspec.json.encode(subscription.topics),
        _UPDATED: b"%d" % subscription.updated,
        _WARNED: b"%d" % subscription.warned,
        "user": subscription.user.encode(),
    }


def decode_record(fields: dict[str, bytes]) -> Subscription:
    """Fields as a subscription. Raises ``InvalidRecordError``."""
    try:
        return Subscription(
            endpoint=fields["endpoint"].decode(),
            auth=fields["auth"].decode(),
            p256dh=fields["p256dh"].decode(),
            topics=msgspec.json.decode(fields["topics"], type=tuple[str, ...]),
            updated=int(fields[_UPDATED]),
            warned=int(fields[_WARNED]),
            user=fields.get("user", b"").decode(),
        )
    except (KeyError, ValueError, msgspec.MsgspecError) as exc:
        raise InvalidRecordError(f"not a web push subscription: {exc}") from exc
