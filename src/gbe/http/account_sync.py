"""Tells a user's devices that the account has changed (section 6.3)."""

import logging
from typing import Final

from gbe.errors import TransportError
from gbe.http.services import Services, now_ms
from gbe.notify.access.users import User
from gbe.notify.hub import topic_subject
from gbe.notify.ids import mint_with_ulid
from gbe.schemas.notify import MESSAGE, SCHEMA_VERSION, Notification, encode

logger = logging.getLogger(__name__)

_SYNC: Final = '{"event":"sync"}'


class Sync:
    """Publishes to sync topics, live only."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def tell(self, user: User) -> None:
        """The account of this user has changed; that nobody could be told undoes nothing, so it is logged."""
        now = now_ms()
        message_id, ulid = mint_with_ulid(now)
        notification = Notification(
            v=SCHEMA_VERSION, ts=now, id=message_id, time=now // 1000, event=MESSAGE, message=_SYNC
        )
        services = self._services
        try:
            await services.transport.publish(
                topic_subject(services.namespace, user.sync_topic),
                encode(notification),
                id=ulid,
                durable=False,
                timeout=services.http.publish_timeout,
            )
        except TransportError as exc:
            logger.warning("devices not told of a changed account: %s", exc)
