"""Topics that are in use on this node: so many may be, and a visitor may bring in new ones at a limited rate (8.1)."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from gbe.notify.config import NotifyConfig
from gbe.notify.errors import Refusal
from gbe.notify.visitors import Visitor

IDLE: Final = 16 * 3600.0
"""Seconds after its last use a topic is forgotten, unless somebody subscribes to it."""


class TopicsInUse:
    """Remembers names of topics by their last use, at most ``global_topic_limit`` of them.

    Args:
        is_followed: whether a topic has live subscribers.
        clock: seconds that only grow.
    """

    def __init__(
        self, config: NotifyConfig, is_followed: Callable[[str], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config, self._is_followed, self._clock = config, is_followed, clock
        self._used: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used)

    def use(self, topic: str, visitor: Visitor) -> None:
        """Somebody publishes to a topic, or subscribes.

        Raises:
            NotifyError: 42904, no more topics may be in use; 42911, this visitor has brought in too many.
        """
        now = self._clock()
        if topic not in self._used:
            self._make_room(now)
            visitor.take_topic()
        self._used[topic] = now
        self._used.move_to_end(topic)

    def idle_for(self, topic: str) -> float:
        """Seconds since a topic was used. One that is not known begins to be idle with this question."""
        now = self._clock()
        return now - self._used.setdefault(topic, now)

    def _make_room(self, now: float) -> None:
        """Forget what has been idle for long: each time a little, so that nobody has to wait for it."""
        for _ in range(2):
            topic, used = next(iter(self._used.items()), ("", now))
            if used > now - IDLE:
                break
            if self._is_followed(topic):
                self._used[topic] = now
                self._used.move_to_end(topic)
            else:
                del self._used[topic]
        if len(self._used) >= self._config.global_topic_limit:
            raise Refusal.TOO_MANY_TOPICS.error()
