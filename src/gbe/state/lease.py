"""Leases: one holder at a time of whatever must be single, on the state contract alone.

A lease is a record with a holder, a *fencing number* that rises with each change of holder, and a *beat* that changes
with each renewal. Nobody compares clocks, so clocks may disagree, jump or stand still:

- The holder counts its term on its own monotonic clock from just *before* it sent its last renewal. Once the term is
  over it takes itself for deposed, whatever the record says.
- A contender takes the lease only after it has seen the same beat for a whole term on its own monotonic clock. Since
  it saw the beat after the holder had sent it, the holder's term ends first.

What remains is a holder that is stopped between looking at its term and acting, by SIGSTOP for instance. Therefore
what is done under a lease carries its fencing number, and whoever stores the deed refuses a number lower than one it
has seen (``update_if`` on a field with the number does it). Two holders never have the same number: each acquisition
is one ``update_if`` on the number before it.

A dead holder is replaced within a term and a poll after its last renewal: at most 1.25 terms with the defaults.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from gbe.clock import Clock, SystemClock
from gbe.errors import ConfigError, LeaseLostError, StateClosedError, StateError, StateUnavailableError
from gbe.ids import new_ulid
from gbe.state.base import StateStore, check_key

logger = logging.getLogger(__name__)

DEFAULT_TERM: Final = 8.0
_PARTS: Final = 4  # a term has room for three renewals that fail
"""A holder renews, and a contender looks, so many times a term."""

_HOLDER, _FENCE, _BEAT = "holder", "fence", "beat"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the record said, and when we first saw it so, on our monotonic clock."""

    holder: bytes | None
    fence: bytes | None
    beat: bytes | None
    since: float


class Lease:
    """One contender for, or holder of, one lease. Not for use by several tasks at once, except ``is_held``.

    Args:
        store: where the lease lies.
        key: its record's key; nobody else writes that record.
        term: seconds, the same for all contenders; how long a holder goes on without a renewal.
        holder: who we are, for people; unique to this object in any case.
        clock: whose monotonic time counts.
    """

    def __init__(
        self,
        store: StateStore,
        key: str,
        *,
        term: float = DEFAULT_TERM,
        holder: str = "",
        clock: Clock | None = None,
    ) -> None:
        if term <= 0:
            raise ConfigError(f"lease {key}: term is {term}; expected seconds above 0")
        self.key, self.term = check_key(key), term
        self.holder = f"{holder[:64]}.{new_ulid()}".lstrip(".")
        self._store = store
        self._clock = clock or SystemClock()
        self._seen: _Seen | None = None
        self._fence = 0
        self._beat = 0
        self._ends = 0.0  # of our term, on our monotonic clock

    @property
    def is_held(self) -> bool:
        """Whether we may act. Ask right before each deed, and let the deed carry ``fence``."""
        return self._fence > 0 and self._clock.monotonic() < self._ends

    @property
    def fence(self) -> int:
        """The fencing number of our term: positive, higher than that of every holder before.

        Raises:
            LeaseLostError: we do not hold the lease, or no longer.
        """
        if not self.is_held:
            raise LeaseLostError(self.key, "its term is over" if self._fence else "it was never acquired")
        return self._fence

    @property
    def pause(self) -> float:
        """Seconds between two renewals, or between two looks at somebody else's lease."""
        return self.term / _PARTS

    async def try_acquire(self) -> bool:
        """Take the lease if it is free, or if its holder has not renewed it while we looked on for a whole term.

        So a newcomer does not take over at its first call from a holder that died: it has to come back, ``pause``
        seconds apart for instance. Returns whether we hold it now.

        Raises:
            StateUnavailableError: the store did not answer. The lease may be ours in its books; nobody acts on it,
                and it is free after a term.
        """
        if self.is_held:
            return True
        self._fence = 0
        record = await self._store.get(self.key) or {}
        now = self._clock.monotonic()
        holder, fence, beat = record.get(_HOLDER), record.get(_FENCE), record.get(_BEAT)
        seen = self._seen
        if seen is None or (seen.holder, seen.fence, seen.beat) != (holder, fence, beat):
            seen = self._seen = _Seen(holder, fence, beat, now)
        if holder is not None and now < seen.since + self.term:
            return False
        expected = {_HOLDER: holder, _FENCE: fence, _BEAT: beat}
        number = _number(fence) + 1
        changes = {_HOLDER: self.holder.encode(), _FENCE: b"%d" % number, _BEAT: b"0"}
        self._seen = None
        started = self._clock.monotonic()
        if not await self._store.update_if(self.key, expected, changes):
            return False
        self._fence, self._beat, self._ends = number, 0, started + self.term
        return self.is_held

    async def acquire(self) -> int:
        """Wait for the lease, however long that takes; returns its fencing number."""
        while True:
            try:
                if await self.try_acquire():
                    return self._fence
            except StateUnavailableError as exc:
                logger.warning("lease waits for the state store: %s", exc, extra={"lease": self.key})
            # a little apart, so that contenders do not come all at once
            await asyncio.sleep(self.pause * random.uniform(0.8, 1.0))  # noqa: S311

    async def renew(self) -> None:
        """Begin a new term.

        Raises:
            LeaseLostError: our term was over before, or somebody else holds the lease: stop acting on it.
            StateUnavailableError: the store did not answer; our present term goes on to its end, try again within it.
        """
        fence = self.fence
        started = self._clock.monotonic()
        expected = {_HOLDER: self.holder.encode(), _FENCE: b"%d" % fence}
        self._beat += 1
        if not await self._store.update_if(self.key, expected, {_BEAT: b"%d" % self._beat}):
            self._fence = 0
            raise LeaseLostError(self.key, "somebody else holds it")
        if not self.is_held:  # the answer took longer than the term: a contender may have counted it out
            self._fence = 0
            raise LeaseLostError(self.key, "its renewal took longer than its term")
        self._ends = started + self.term

    async def release(self) -> None:
        """Give the lease up, so that a successor need not wait; the fencing number stays. Never raises for being late.

        Raises:
            StateUnavailableError: the store did not answer; the lease ends with its term.
        """
        fence, self._fence = self._fence, 0
        if fence:
            expected = {_HOLDER: self.holder.encode(), _FENCE: b"%d" % fence}
            await self._store.update_if(self.key, expected, {_HOLDER: None, _BEAT: None})

    async def keep(self) -> None:
        """Renew until cancelled.

        Raises:
            LeaseLostError: at the end of the term at the latest, if no renewal succeeded.
        """
        while True:
            await asyncio.sleep(self.pause)
            try:
                async with asyncio.timeout(max(0.0, self._ends - self._clock.monotonic())):
                    await self.renew()
            except TimeoutError:
                self._fence = 0
                raise LeaseLostError(self.key, "the state store did not answer within its term") from None
            except StateUnavailableError as exc:
                logger.warning("lease not renewed: %s", exc, extra={"lease": self.key})

    @asynccontextmanager
    async def held(self) -> AsyncIterator[int]:
        """Wait for the lease, hold it while the block runs, and give it up at its end; yields the fencing number.

        When the lease is lost, the block is cancelled and ``LeaseLostError`` is raised in its place.
        """
        fence = await self.acquire()
        body = asyncio.current_task()
        lost: LeaseLostError | StateClosedError | None = None

        async def keep() -> None:
            nonlocal lost
            try:
                await self.keep()
            except (LeaseLostError, StateClosedError) as exc:
                lost = exc
                if body is not None:
                    body.cancel()

        keeping = asyncio.get_running_loop().create_task(keep(), name=f"gbe.lease.{self.key}")
        try:
            yield fence
        except asyncio.CancelledError:
            if lost is None or body is None or body.uncancel() > 0:
                raise
            raise lost from None
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            if lost is None:
                with suppress(StateError):  # it ends with its term
                    await self.release()


def _number(fence: bytes | None) -> int:
    return int(fence) if fence is not None and fence.isdigit() else 0
