"""Who listens to a topic, known without asking: a copy of all subscriptions that follows the state store."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from gbe.errors import InvalidRecordError, StateError
from gbe.notify.webpush.subscriptions import Subscription, Subscriptions, decode_record
from gbe.state.base import Resynchronised

logger = logging.getLogger(__name__)

_PAUSE: Final = 1.0


class Directory:
    """Subscriptions by topic. Use ``followed`` around whatever asks."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions
        self._by_id: dict[str, Subscription] = {}
        self._by_topic: dict[str, set[str]] = {}

    def of_topic(self, topic: str) -> list[Subscription]:
        """Those that have subscribed to a topic."""
        return [self._by_id[each] for each in self._by_topic.get(topic, ())]

    def all(self) -> list[Subscription]:
        """All there are."""
        return list(self._by_id.values())

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Follow the store while the block runs; it begins when the copy is complete."""
        complete = asyncio.Event()
        following = asyncio.create_task(self._follow(complete), name="gbe.webpush.directory")
        try:
            await complete.wait()
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _follow(self, complete: asyncio.Event) -> None:
        while True:
            try:
                # watched before it is read: what changes in between is seen twice rather than never
                async with self._subscriptions.store.watch(self._subscriptions.prefix) as watch:
                    await self._read()
                    complete.set()
                    async for event in watch:
                        if isinstance(event, Resynchronised):
                            await self._read()
                        else:
                            self._changed(event.key, event.fields)
            except StateError as exc:
                logger.warning("web push: subscriptions are not followed, trying again: %s", exc)
            await asyncio.sleep(_PAUSE)

    async def _read(self) -> None:
        found = {each.id: each async for each in self._subscriptions.all()}
        for gone in self._by_id.keys() - found.keys():
            self._forget(gone)
        for each in found.values():
            self._enter(each)

    def _changed(self, key: str, fields: dict[str, bytes] | None) -> None:
        name = key.rpartition(".")[2]
        if fields is None:
            self._forget(name)
            return
        try:
            self._enter(decode_record(fields))
        except InvalidRecordError as exc:
            logger.warning("web push: a record is skipped: %s", exc)

    def _enter(self, subscription: Subscription) -> None:
        self._forget(subscription.id)
        self._by_id[subscription.id] = subscription
        for topic in subscription.topics:
            self._by_topic.setdefault(topic, set()).add(subscription.id)

    def _forget(self, name: str) -> None:
        old = self._by_id.pop(name, None)
        for topic in old.topics if old is not None else ():
            members = self._by_topic[topic]
            members.discard(name)
            if not members:
                del self._by_topic[topic]
