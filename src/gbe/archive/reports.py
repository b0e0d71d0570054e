"""What an archiver tells: reports of what was done, and alerts when somebody has to do something."""

import itertools
import logging
from typing import Final

from gbe.clock import Clock
from gbe.errors import GbeError
from gbe.ids import new_ulid
from gbe.schemas import archive, system
from gbe.schemas.archive import ArchiveReport
from gbe.schemas.system import Fault
from gbe.transport.base import Transport

logger = logging.getLogger(__name__)

_MOST_ALERTS: Final = 10_000


class Reports:
    """Publishes to ``{namespace}.events.system.archive`` and ``….error``; what cannot be published is logged.

    Attributes:
        batches, messages, payload_bytes, failures: since the last report.
    """

    def __init__(self, transport: Transport, namespace: str, name: str, clock: Clock) -> None:
        self._transport, self._name, self._clock = transport, name, clock
        self._reports_subject = f"{namespace}.events.system.archive"
        self._errors_subject = f"{namespace}.events.system.error"
        self._numbers = itertools.count(1)
        self._alerted: dict[str, None] = {}  # in the order in which it was said
        self._begin()

    def _begin(self) -> None:
        self.batches = self.messages = self.payload_bytes = self.failures = 0

    def archived(self, messages: int, payload_bytes: int) -> None:
        """A batch is confirmed."""
        self.batches += 1
        self.messages += messages
        self.payload_bytes += payload_bytes

    async def report(self, where: str, waiting: int, oldest_ms: int) -> None:
        """Say what was done since the last report, if anything was."""
        if not (self.batches or self.failures):
            return
        report = ArchiveReport(
            ts=self._clock.now_ms(),
            id=f"{self._name}.{next(self._numbers)}",
            archiver=self._name,
            sink=where,
            batches=self.batches,
            messages=self.messages,
            payload_bytes=self.payload_bytes,
            failures=self.failures,
            waiting=waiting,
            oldest_ms=oldest_ms,
        )
        self._begin()
        logger.info("archived", extra={"messages": report.messages, "batches": report.batches})
        await self._publish(self._reports_subject, archive.encode(report))

    async def alert(self, what: str, error: str) -> None:
        """Tell the operators that something is wrong: once, until it is well again. What cannot be published yet is
        tried again with the next call."""
        if what in self._alerted:
            return
        if await self.tell(error):
            if len(self._alerted) >= _MOST_ALERTS:
                self._alerted.pop(next(iter(self._alerted)))
            self._alerted[what] = None

    async def tell(self, error: str) -> bool:
        """Tell the operators of something that has happened; whether it could be published."""
        logger.error("%s", error)
        fault = Fault(ts=self._clock.now_ms(), id=new_ulid(), source="archiver", error=error)
        return await self._publish(self._errors_subject, system.encode(fault))

    def is_well(self, what: str) -> None:
        """The next alert about this is news again."""
        self._alerted.pop(what, None)

    async def _publish(self, subject: str, payload: bytes) -> bool:
        try:
            await self._transport.publish(subject, payload)
        except GbeError as exc:
            logger.debug("not published: %s", exc)
            return False
        return True
