"""The end of a member of a group: what its callers hold is finished, or the log says that it was not."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from typing import Final, Protocol

logger = logging.getLogger(__name__)

DRAIN_TIMEOUT: Final = 10.0  # for the deliveries that callers hold, when a transport closes
_LOOK_EVERY: Final = 0.01


class Expiring(Protocol):
    """A delivery, or several in one piece, that is another member's from ``expires_at`` on, on the monotonic clock."""

    expires_at: float


async def ended(
    held: Callable[[], Collection[Expiring]],
    timeout: float,
    group: str,
    *,
    messages: Callable[[], int] | None = None,
    is_reachable: Callable[[], bool] = lambda: True,
) -> None:
    """Return when nothing is held any more, or by nobody who is in time; after ``timeout`` seconds at the latest.

    Args:
        held: what callers have not answered yet; it shrinks as they do.
        messages: how many that are, if a piece is not always one.
        is_reachable: whether the engine can be told of an answer; if not there is nothing to wait for.
    """
    count = messages or (lambda: len(held()))
    tell_waiting(count(), timeout, group)
    deadline = time.monotonic() + timeout
    while is_reachable() and (now := time.monotonic()) < deadline:
        if all(one.expires_at <= now for one in held()):
            break  # others may have them
        await asyncio.sleep(_LOOK_EVERY)
    tell_returned(count(), group)


def tell_waiting(count: int, timeout: float, group: str) -> None:
    """Log why closing takes its time, if it does."""
    if count:
        logger.info("closing: waiting up to %g s for %d messages in hand", timeout, count, extra={"group": group})


def tell_returned(count: int, group: str) -> None:
    """Log that messages were still in hand when the wait for them was over, if there are any."""
    if count:
        logger.warning("closed with %d messages unanswered: they are delivered again", count, extra={"group": group})
