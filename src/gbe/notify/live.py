"""What a topic's message looks like on its way to subscribers: decoded once, encoded once for each wire format."""

import logging
from collections.abc import Callable

from gbe.errors import InvalidEnvelopeError
from gbe.schemas.notify import Notification, decode
from gbe.transport.base import Position, StoredMessage

logger = logging.getLogger(__name__)

Encode = Callable[[Notification, str], bytes]
"""A wire format: from a notification and its topic to the bytes of one event."""


class TopicMessage:
    """One notification of one topic, shared by all that receive it.

    Attributes:
        position: where it is stored; ``None`` if it never was.
    """

    __slots__ = ("_frames", "notification", "position", "topic")

    def __init__(self, topic: str, notification: Notification, position: Position | None) -> None:
        self.topic, self.notification, self.position = topic, notification, position
        self._frames: dict[Encode, bytes] = {}

    def frame(self, encode: Encode) -> bytes:
        """The message in a wire format; the second caller gets what was made for the first."""
        made = self._frames.get(encode)
        if made is None:
            made = self._frames[encode] = encode(self.notification, self.topic)
        return made


def read_message(topic: str, stored: StoredMessage) -> TopicMessage | None:
    """A stored message as a notification; ``None`` (and a log line) for what some other program put there."""
    try:
        notification = decode(stored.envelope.payload)
    except InvalidEnvelopeError as exc:
        logger.warning("message skipped: %s", exc, extra={"message_id": stored.envelope.id})
        return None
    return TopicMessage(topic, notification, stored.position)
