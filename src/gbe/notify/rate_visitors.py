"""Who pays for UnifiedPush (section 4.11): the subscriber of a topic, and not the server that publishes for many.

Only if ``visitor_subscriber_rate_limiting`` is on. A subscriber of a topic ``up`` and 12 alphanumerics becomes its
rate visitor, for all nodes: a record in the state store says so, which ends a while after the last subscription.
"""

import re
import time
from collections import OrderedDict
from typing import Final

from gbe.notify.config import NotifyConfig
from gbe.notify.visitors import Visitor, Visitors
from gbe.state.base import StateStore

LIFE: Final = 24 * 3600.0
"""Seconds for which somebody stays the rate visitor of a topic after the last look at it: as visitors are kept."""

_TOPIC: Final = re.compile(r"up[A-Za-z0-9]{12}")
_FRESH: Final = 60.0  # seconds for which a look at the store is believed
_MOST: Final = 10_000
_VISITOR: Final = "visitor"


class RateVisitors:
    """The rate visitors of topics."""

    def __init__(self, config: NotifyConfig, visitors: Visitors, store: StateStore | None, namespace: str) -> None:
        self._visitors, self._store = visitors, store
        self.is_on = config.visitor_subscriber_rate_limiting
        self._prefix = f"{namespace}.state.notify.rate-visitors"
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()  # topic → visitor, when that was looked up

    async def appoint(self, topic: str, visitor: Visitor) -> None:
        """Somebody who may publish to a topic subscribes to it.

        Raises:
            StateUnavailableError: the state store did not answer.
        """
        if not self.is_on or _TOPIC.fullmatch(topic) is None or self._remembered(topic) == visitor.key:
            return
        if self._store is not None:
            await self._store.put(f"{self._prefix}.{topic}", {_VISITOR: visitor.key.encode()}, ttl=LIFE)
        self._remember(topic, visitor.key)

    async def of(self, topic: str) -> Visitor | None:
        """The rate visitor of a topic; ``None`` if it has none, or the option is off.

        Raises:
            StateUnavailableError: the state store did not answer.
        """
        if not self.is_on or _TOPIC.fullmatch(topic) is None:
            return None
        key = self._remembered(topic)
        if key is None and self._store is not None:
            value = await self._store.get_field(f"{self._prefix}.{topic}", _VISITOR)
            key = None if value is None else value.decode()
            if key is not None:
                self._remember(topic, key)
        return None if key is None else self._visitors.known(key)

    def _remembered(self, topic: str) -> str | None:
        found = self._known.get(topic)
        if found is None:
            return None
        life = LIFE if self._store is None else _FRESH
        return found[0] if time.monotonic() < found[1] + life else None

    def _remember(self, topic: str, key: str) -> None:
        self._known[topic] = key, time.monotonic()
        self._known.move_to_end(topic)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
