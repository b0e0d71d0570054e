"""Messages that are not due yet: shown to who asks for them, and cancelled by their sequence (4.4 and 4.12).

They wait in the transport, which delivers them, once and in time, whatever becomes of the node that took them.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from gbe.notify.hub import topic_subject
from gbe.notify.live import TopicMessage, read_message
from gbe.transport.base import StoredMessage, Transport

MOST: Final = 10_000
"""Waiting messages of one topic that are looked at."""


class Scheduled:
    """The waiting messages of all topics."""

    def __init__(self, transport: Transport, namespace: str) -> None:
        self._transport, self._namespace = transport, namespace

    async def of_topics(self, topics: Iterable[str]) -> list[TopicMessage]:
        """What waits on some topics, the soonest first. Raises ``TransportError``."""
        found = await asyncio.gather(*map(self._of_topic, topics))
        return sorted((message for some in found for message in some.values()), key=_due)

    async def cancel(self, topic: str, sequence_id: str, *, but: str) -> None:
        """Cancel what waits of a sequence, which the id of its first message may name; ``but`` is a message to keep.

        Raises:
            TransportError: the engine did not answer.
        """
        subject = topic_subject(self._namespace, topic)
        for ulid, message in (await self._of_topic(topic)).items():
            waiting = message.notification
            if waiting.id != but and sequence_id in (waiting.sequence_id, waiting.id):
                await self._transport.withdraw(subject, ulid)

    async def withdraw_all(self, topic: str) -> None:
        """Cancel everything that waits on a topic. Raises ``TransportError``."""
        subject = topic_subject(self._namespace, topic)
        withdrawn = True
        while withdrawn:  # a page at a time; what is delivered meanwhile cannot be withdrawn
            waiting = await self._transport.waiting(subject, limit=MOST)
            withdrawn = any([await self._transport.withdraw(subject, envelope.id) for envelope in waiting])

    async def _of_topic(self, topic: str) -> dict[str, TopicMessage]:
        """By transport id."""
        waiting = await self._transport.waiting(topic_subject(self._namespace, topic), limit=MOST)
        read = ((envelope.id, read_message(topic, StoredMessage(envelope, None))) for envelope in waiting)
        return {ulid: message for ulid, message in read if message is not None}


def _due(message: TopicMessage) -> int:
    return message.notification.time
