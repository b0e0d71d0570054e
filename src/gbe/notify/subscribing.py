"""What a subscription asks for (section 5.1)."""

from dataclasses import dataclass

from gbe.notify import options
from gbe.notify.filters import Filters, parse_filters
from gbe.notify.parameters import Parameters
from gbe.notify.since import Since, parse_since


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeOptions:
    """The options of one subscription.

    Attributes:
        poll: send what is stored, then end.
        since: from where to replay.
        scheduled: whether messages that are not yet due belong to the replay.
        filters: what to leave out, of the replay and of live messages.
    """

    poll: bool
    since: Since
    scheduled: bool
    filters: Filters


def subscribe_options(parameters: Parameters, *, now_ms: int) -> SubscribeOptions:
    """Read the options of a subscription; ``since`` is checked before the filters.

    Args:
        now_ms: unix milliseconds, for durations.

    Raises:
        NotifyError: 40008 for ``since``, 40007 for a priority to filter by.
    """
    poll = parameters.flag(options.POLL, default=False)
    return SubscribeOptions(
        poll=poll,
        since=parse_since(parameters.get(options.SINCE), poll=poll, now_ms=now_ms),
        scheduled=parameters.flag(options.SCHEDULED, default=False),
        filters=parse_filters(parameters),
    )
