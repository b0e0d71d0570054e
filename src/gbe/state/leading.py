"""Work that one process of a deployment does at a time: wait for the lease, work, and begin again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from gbe.errors import GbeError, LeaseLostError, StateError
from gbe.state.lease import Lease

logger = logging.getLogger(__name__)

_PAUSE: Final = 1.0


async def lead(
    lease: Lease, name: str, work: Callable[[], Awaitable[None]], *, survives: type[GbeError] = StateError
) -> None:
    """Hold the lease and work, until cancelled; what ends the work lets the next round begin a moment later.

    Args:
        lease: of the work; cancelled is what runs when it is lost.
        name: of the work, for the log: ``sweeper``.
        work: does not return by itself.
        survives: errors that are no reason to end; a group of any errors is none either.
    """
    while True:
        try:
            async with lease.held() as fence:
                logger.info("%s active", name, extra={"holder": lease.holder, "fence": fence})
                await work()
        except LeaseLostError as exc:
            logger.warning("%s stands back: %s", name, exc)
        except survives as exc:
            logger.warning("%s begins again: %s", name, exc)
            await asyncio.sleep(_PAUSE)
        except ExceptionGroup as exc:
            logger.warning("%s begins again: %s", name, exc, exc_info=True)
            await asyncio.sleep(_PAUSE)
