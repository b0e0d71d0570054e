"""Brings what was read over; a second time, nothing is there twice."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from gbe.notify.access.accounts import Accounts
from gbe.notify.access.users import User
from gbe.notify.hub import topic_subject
from gbe.notify.live import read_message
from gbe.notify.moving.messages import StoredNotification
from gbe.schemas.notify import encode
from gbe.state.base import StateStore
from gbe.transport.base import EARLIEST, AfterPosition, Start, Transport

_PAGE: Final = 1000
_AT_A_TIME: Final = 16
_REMEMBERED: Final = 30 * 86_400.0


@dataclass(slots=True)
class Moved:
    """How much of it was new.

    Attributes:
        new: brought over.
        changed: were there, and got what they lacked.
        known: were there already.
        over: have expired.
    """

    new: int = 0
    changed: int = 0
    known: int = 0
    over: int = 0
    problems: list[str] = field(default_factory=list)


async def move_users(users: Iterable[User], accounts: Accounts, *, dry_run: bool) -> Moved:
    """Users with entries and tokens. One who is here keeps password, role and own entries, and gets what is missing.

    Raises:
        StateError: the store does not answer; what was moved before stays.
    """
    moved = Moved()
    for user in users:
        match await accounts.merge(user, dry_run=dry_run):
            case "new":
                moved.new += 1
            case "changed":
                moved.changed += 1
            case _:
                moved.known += 1
    return moved


class MessageMover:
    """Brings messages over, topic by topic, in their order. They keep their ids and times.

    Args:
        store: remembers the delayed ones that were brought over; what waits cannot be looked up by its id.
    """

    def __init__(self, transport: Transport, store: StateStore, namespace: str, *, dry_run: bool) -> None:
        self._transport, self._store, self._namespace, self._dry_run = transport, store, namespace, dry_run

    async def move(self, messages: Iterable[StoredNotification]) -> Moved:
        """Bring them over. Raises ``TransportError``, ``StateError``: start again later."""
        by_topic: dict[str, list[StoredNotification]] = defaultdict(list)
        for message in messages:
            by_topic[message.topic].append(message)
        moved = Moved()
        places = asyncio.Semaphore(_AT_A_TIME)

        async def one(topic: str, of_topic: list[StoredNotification]) -> None:
            async with places:
                await self._topic(topic, of_topic, moved)

        async with asyncio.TaskGroup() as group:
            for topic, of_topic in by_topic.items():
                group.create_task(one(topic, of_topic))
        return moved

    async def _topic(self, topic: str, messages: list[StoredNotification], moved: Moved) -> None:
        here = await self._ids(topic)
        for message in messages:
            notification = message.notification
            if notification.expires is not None and notification.expires <= time.time():
                moved.over += 1
            elif notification.id in here or (message.waits and await self._is_noted(message)):
                moved.known += 1
            else:
                moved.new += 1
                here.add(notification.id)
                if not self._dry_run:
                    await self._publish(topic, message)

    async def _publish(self, topic: str, message: StoredNotification) -> None:
        notification = message.notification
        await self._transport.publish(
            topic_subject(self._namespace, topic),
            encode(notification),
            idempotency_key=f"moved-{notification.id}",
            deliver_at=notification.time * 1000 if message.waits else None,
        )
        if message.waits:
            await self._store.put(self._note(message), {"topic": topic.encode()}, ttl=_REMEMBERED)

    async def _ids(self, topic: str) -> set[str]:
        """Of all messages that the topic has here."""
        subject = topic_subject(self._namespace, topic)
        found: set[str] = set()
        start: Start = EARLIEST
        while True:
            page = await self._transport.read(subject, start=start, limit=_PAGE)
            found.update(m.notification.id for m in (read_message(topic, each) for each in page) if m is not None)
            last = page[-1].position if page else None
            if last is None or len(page) < _PAGE:
                return found
            start = AfterPosition(last)

    async def _is_noted(self, message: StoredNotification) -> bool:
        return await self._store.get(self._note(message)) is not None

    def _note(self, message: StoredNotification) -> str:
        name = f"{message.topic}-{message.notification.id}".encode().hex()[-120:]
        return f"{self._namespace}.state.notify.moved.{name}"
