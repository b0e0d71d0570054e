"""Messages that are not due yet: shown to who asks for them, and cancelled by their sequence (4.4 and 4.12).

They wait in the transport, which delivers them, once and in time, whatever becomes of the node that took them.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from gbe.errors import PublishOutcomeUnknownError, TransportError
from gbe.notify.hub import topic_subject
from gbe.notify.live import TopicMessage, read_message
from gbe.notify.publishing import Publication
from gbe.transport.base import StoredMessage, Transport

logger = logging.getLogger(__name__)

MOST: Final = 10_000
"""Waiting messages of one topic that are looked at."""


class Scheduled:
    """The waiting messages of all topics."""

    def __init__(self, transport: Transport, namespace: str) -> None:
        self._transport, self._namespace = transport, namespace
        self._last_ms = 0

    def moment(self, now_ms: int) -> int:
        """A time (unix ms) for the next message of a sequence: later than those before it, by which they are told."""
        self._last_ms = max(now_ms, self._last_ms + 1)
        return self._last_ms

    async def of_topics(self, topics: Iterable[str]) -> list[TopicMessage]:
        """What waits on some topics, the soonest first. Raises ``TransportError``."""
        found = await asyncio.gather(*map(self._of_topic, topics))
        return sorted((message for some in found for message in some.values()), key=_due)

    async def supersede(self, publication: Publication) -> None:
        """Cancel the waiting messages of the sequence of one that was just published, unless they came later.

        Raises:
            PublishOutcomeUnknownError: the engine did not answer: it is published, others may be delivered too.
        """
        new, subject = publication.notification, topic_subject(self._namespace, publication.topic)
        try:
            for ulid, message in (await self._of_topic(publication.topic)).items():
                old = message.notification
                is_older = (old.ts, old.id) < (new.ts, new.id)
                if is_older and old.id != new.id and new.sequence_id in (old.sequence_id, old.id):
                    await self._transport.withdraw(subject, ulid)
        except TransportError as exc:
            raise PublishOutcomeUnknownError(subject, publication.ulid) from exc

    async def _of_topic(self, topic: str) -> dict[str, TopicMessage]:
        """By transport id."""
        waiting = await self._transport.waiting(topic_subject(self._namespace, topic), limit=MOST)
        read = ((envelope.id, read_message(topic, StoredMessage(envelope, None))) for envelope in waiting)
        return {ulid: message for ulid, message in read if message is not None}


def _due(message: TopicMessage) -> int:
    return message.notification.time
