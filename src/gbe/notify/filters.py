"""Which messages a subscription wants to see (section 5.1)."""

from dataclasses import dataclass
from typing import Final

from gbe.notify import options, priority
from gbe.notify.parameters import Parameters
from gbe.notify.text import split_list
from gbe.schemas.notify import MESSAGE, MESSAGE_CLEAR, MESSAGE_DELETE, Notification

_FILTERED: Final = frozenset({MESSAGE, MESSAGE_CLEAR, MESSAGE_DELETE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """All given filters must match. An empty one was not given.

    Attributes:
        id: the message id, exactly.
        message: the whole text, exactly.
        title: exactly.
        priorities: any of them; an unset priority counts as 3.
        tags: all of them.
    """

    id: str = ""
    message: str = ""
    title: str = ""
    priorities: frozenset[int] = frozenset()
    tags: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether any filter is set."""
        return bool(self.id or self.message or self.title or self.priorities or self.tags)

    def matches(self, notification: Notification) -> bool:
        """Whether a subscriber with these filters gets ``notification``; poll requests always pass."""
        if not self or notification.event not in _FILTERED:
            return True
        return (
            (not self.id or self.id == notification.id)
            and (not self.message or self.message == notification.message)
            and (not self.title or self.title == notification.title)
            and (not self.priorities or (notification.priority or priority.DEFAULT) in self.priorities)
            and self.tags.issubset(notification.tags)
        )


NO_FILTERS: Final = Filters()


def parse_filters(parameters: Parameters) -> Filters:
    """Read the filters of a subscription.

    Raises:
        NotifyError: 40007, a priority that is none.
    """
    filters = Filters(
        id=parameters.get(options.ID),
        message=parameters.get(options.MESSAGE),
        title=parameters.get(options.TITLE),
        priorities=frozenset(map(priority.parse_priority, split_list(parameters.get(options.PRIORITY)))),
        tags=frozenset(split_list(parameters.get(options.TAGS))),
    )
    return filters or NO_FILTERS
