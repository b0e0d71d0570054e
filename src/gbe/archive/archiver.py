"""The archiver: from the streams into the sink, and only then acknowledged.

A consumer group tells which subjects have something new, and remembers what is not archived when nobody runs. What is
written is read from the stream itself, from the confirmed position on: in order, without gaps, whatever came twice or
late. So a batch is the same, whoever writes it.

1. A delivery comes. If its position is confirmed already it is acknowledged, else it is held.
2. A subject with a full batch, or with a message that has waited for the batch timeout, is read from its confirmed
   position. The borders of the batch are fixed in the state store.
3. The sink stores the batch and has compared it.
4. The position is confirmed in the state store; retention may remove what lies before it from now on.
5. The deliveries up to there are acknowledged.

A crash between any two of them repeats a step, with the same outcome.
"""

import asyncio
import itertools
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from gbe.archive.batch import Archived, Batch, cut, day_of, domain_of
from gbe.archive.config import ArchiveConfig
from gbe.archive.observer import NobodyWatches, Observer
from gbe.archive.progress import Point, Progress
from gbe.archive.sink import Sink
from gbe.archive.waiting import Waiting
from gbe.clock import Clock, SystemClock
from gbe.errors import ArchiveError, GbeError, LeaseLostError, ObjectError, SinkUnavailableError, StateError
from gbe.ids import new_ulid
from gbe.schemas import archive, system
from gbe.schemas.archive import ArchiveReport
from gbe.schemas.system import Fault
from gbe.state.base import StateStore
from gbe.state.lease import Lease
from gbe.transport.base import (
    EARLIEST,
    AfterPosition,
    ConsumeOptions,
    Delivery,
    Position,
    StoredMessage,
    Transport,
    UpTo,
)

logger = logging.getLogger(__name__)

OpenSink = Callable[[], Awaitable[Sink]]

_PAUSE: Final = 1.0
_AT_ONCE: Final = 8  # subjects that are written side by side
_MOST_DELIVERIES: Final = 1_000_000  # the sink may be down for weeks: that is no reason to give a message up
_PAGE: Final = 500
_TRIES: Final = 5
"""How often a batch may come out shorter than its borders say before they are taken to be out of date."""


class Archiver:
    """One candidate for the one active archiver of a deployment.

    Args:
        open_sink: opens where batches go; called again while it fails.
        namespace: of the deployment.
        clock: whose moments count as now.
    """

    def __init__(
        self,
        transport: Transport,
        state: StateStore,
        open_sink: OpenSink,
        namespace: str,
        config: ArchiveConfig | None = None,
        observer: Observer | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._transport, self._open_sink, self._namespace = transport, open_sink, namespace
        self.config = config or ArchiveConfig()
        self._observer = observer or NobodyWatches()
        self._clock = clock or SystemClock()
        self.name = f"{socket.gethostname()[:40]}-{os.getpid()}"
        self._lease = Lease(
            state,
            f"{namespace}.state.leases.archiver-{self.config.group}",
            term=self.config.term,
            holder=self.name,
        )
        self._progress = Progress(state, namespace, self.config.group)
        self._reports_subject = f"{namespace}.events.system.archive"
        self._errors_subject = f"{namespace}.events.system.error"
        self._numbers = itertools.count(1)
        self._begin()

    def _begin(self) -> None:
        self._subjects: dict[str, Waiting] = {}
        self._news = asyncio.Event()
        self._is_stopping = False
        self._short: dict[str, int] = {}
        self._alerted: dict[str, float] = {}
        self._batches = self._messages = self._bytes = self._failures = 0

    @property
    def is_active(self) -> bool:
        """Whether this is the one that archives."""
        return self._lease.is_held

    async def run(self) -> None:
        """Wait for the lease, then archive until cancelled; what is held then is written first."""
        while True:
            try:
                async with self._lease.held() as fence:
                    logger.info("archiver active", extra={"archiver": self.name, "fence": fence})
                    await self._work()
            except LeaseLostError as exc:
                logger.warning("archiver stands back: %s", exc)
            except (GbeError, ExceptionGroup) as exc:
                logger.warning("archiver starts over: %s", exc, exc_info=isinstance(exc, ExceptionGroup))
                await asyncio.sleep(_PAUSE)

    async def _work(self) -> None:
        self._begin()
        sink = await self._opened()
        async with sink:
            try:
                async with asyncio.TaskGroup() as group:
                    for pattern in self.config.subjects:
                        group.create_task(self._receive(f"{self._namespace}.{pattern}"))
                    group.create_task(self._keep())
                    group.create_task(self._tell(sink))
                    await self._flush_forever(sink)
            finally:
                if self._lease.is_held:
                    await self._finish(sink)

    async def _opened(self) -> Sink:
        """The sink, however long that takes."""
        pause = self.config.retry_backoff
        while True:
            try:
                return await self._open_sink()
            except (ArchiveError, ObjectError) as exc:
                logger.warning("archive cannot be opened, trying again in %.0f s: %s", pause, exc)
                await self._alert("open", f"the archive cannot be opened: {exc}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, self.config.retry_backoff_max)

    async def _finish(self, sink: Sink) -> None:
        """Write what is held: nobody should have to wait for the next archiver."""
        self._is_stopping = True
        try:
            async with asyncio.timeout(self.config.shutdown_timeout):
                await asyncio.gather(*(self._flush(found, sink) for found in self._subjects.values() if found.held))
                await self._report(sink)
                await self._transport.ping()  # the acknowledgements have left
        except (TimeoutError, GbeError) as exc:
            logger.warning("not all was archived before the stop, the next archiver does it: %s", str(exc) or "no time")

    # -- what comes

    async def _receive(self, pattern: str) -> None:
        options = ConsumeOptions(
            batch_size=min(_PAGE, self.config.batch_size),
            max_inflight=max(2 * self.config.batch_size, 100),
            ack_timeout=self.config.ack_timeout,
            max_deliver=_MOST_DELIVERIES,
            start=EARLIEST,
        )
        while True:
            try:
                async with self._transport.consume(pattern, self.config.group, options) as deliveries:
                    async for delivery in deliveries:
                        await self._take(delivery)
            except GbeError as exc:
                logger.warning("nothing comes from %s: %s", pattern, exc)
                await self._alert(pattern, f"{pattern} cannot be archived: {exc}")
            await asyncio.sleep(_PAUSE)

    async def _take(self, delivery: Delivery) -> None:
        subject = delivery.envelope.subject
        found = self._subjects.get(subject)
        if found is None:
            found = self._subjects[subject] = Waiting(subject)
            try:
                found.point = await self._progress.load(subject)
            except StateError as exc:
                logger.debug("progress not known yet: %s", exc)
        if found.point is not None and found.point.covers(delivery.position):
            await delivery.ack()
            return
        was_idle = not found.held
        found.hold(delivery, self._clock.monotonic())
        if was_idle or len(found.held) == self.config.batch_size or self._is_crowded:
            self._news.set()

    async def _keep(self) -> None:
        """What waits for its batch is not to be delivered to anybody else."""
        while True:
            await asyncio.sleep(self.config.ack_timeout / 4)
            for found in list(self._subjects.values()):
                for _, delivery in list(found.held.values()):
                    if not delivery.is_settled:
                        await _quietly(delivery.in_progress())

    # -- what goes

    @property
    def _held(self) -> int:
        return sum(len(found.held) for found in self._subjects.values())

    @property
    def _is_crowded(self) -> bool:
        """Whether so much is held that soon nothing more would come."""
        return self._held >= 1.5 * self.config.batch_size

    async def _flush_forever(self, sink: Sink) -> None:
        while True:
            now = self._clock.monotonic()
            due = [found for found in self._subjects.values() if self._due_at(found) <= now]
            if due:
                await asyncio.gather(*(self._flush(found, sink) for found in due[:_AT_ONCE]))
                continue
            self._news.clear()
            wait = min((self._due_at(found) for found in self._subjects.values()), default=now + 3600.0) - now
            try:
                async with asyncio.timeout(min(max(wait, 0.01), 3600.0)):
                    await self._news.wait()
            except TimeoutError:
                self._forget_idle()

    def _due_at(self, found: Waiting) -> float:
        """When a subject is to be written, monotonic."""
        if not found.held:
            return float("inf")
        if len(found.held) >= self.config.batch_size or self._is_crowded:
            return found.retry_at
        return max(found.since + self.config.batch_timeout, found.retry_at)

    def _forget_idle(self) -> None:
        """Memory follows what waits, not what was ever seen."""
        if len(self._subjects) > 10_000:
            self._subjects = {name: found for name, found in self._subjects.items() if found.held}

    async def _flush(self, found: Waiting, sink: Sink) -> None:
        """Write a subject's batches, as many as are full, and the last one if its time has come."""
        try:
            while await self._write_next(found, sink):
                pass
        except GbeError as exc:
            self._failures += 1
            found.point = None  # nobody knows what of it was written: read it again
            found.failures += 1
            pause = min(self.config.retry_backoff * 2 ** min(found.failures - 1, 30), self.config.retry_backoff_max)
            found.retry_at = self._clock.monotonic() + pause
            self._observer.failed(domain_of(found.subject))
            logger.warning(
                "batch not archived, trying again in %.1f s: %s", pause, exc, extra={"subject": found.subject}
            )
            if not isinstance(exc, SinkUnavailableError | StateError):
                await self._alert(found.subject, f"{found.subject} is not archived: {exc}")

    async def _write_next(self, found: Waiting, sink: Sink) -> bool:
        """Write one batch; whether there may be another one to write now."""
        subject = found.subject
        point = found.point
        if point is None:
            point = found.point = await self._progress.load(subject)
        batch, more = await self._next_batch(found, point)
        if batch is None:
            await self._acknowledge(found)
            return more
        if point.borders is None:
            intended = await self._progress.intend(subject, point, batch)
            if intended is None:
                found.point = None
                return True
            point = found.point = intended
        mark = await sink.write(batch, point.mark)
        confirmed = await self._progress.confirm(subject, point, batch, mark, self._clock.now_ms())
        found.point = confirmed
        if confirmed is None:
            return True
        found.failures, found.retry_at = 0, 0.0
        self._alerted.pop(subject, None)
        self._batches += 1
        self._messages += len(batch.messages)
        size = confirmed.payload_bytes - point.payload_bytes
        self._bytes += size
        self._observer.archived(batch.domain, len(batch.messages), size)
        await self._acknowledge(found)
        return more

    async def _next_batch(self, found: Waiting, point: Point) -> tuple[Batch | None, bool]:
        """What follows the confirmed position, and whether more is there to be written now."""
        if point.borders is not None:
            return await self._begun_batch(found, point), True
        messages, more = await self._read(found.subject, point.position, self.config.batch_size)
        batch = cut(found.subject, messages, self.config.batch_size, self.config.batch_bytes)
        if batch is None:
            await self._vanished(found, point)
            return None, False
        is_full = more or len(batch.messages) < len(messages)
        is_due = self._is_stopping or self._due_at(found) <= self._clock.monotonic()
        return (batch, is_full) if is_full or is_due else (None, False)

    async def _vanished(self, found: Waiting, point: Point) -> None:
        """Nothing is behind the confirmed position; what is held from there should be."""
        missing = [position for position in found.held if not point.covers(position)]
        if not missing:
            return
        self._short[found.subject] = self._short.get(found.subject, 0) + 1
        if self._short[found.subject] < _TRIES:
            raise ArchiveError(f"{len(missing)} messages of {found.subject} are not in the stream; looking again")
        self._short.pop(found.subject)
        error = f"{len(missing)} messages of {found.subject} were removed before they were archived"
        await self._alert(found.subject, error)
        for position in missing:
            await _quietly(found.held.pop(position)[1].ack())

    async def _begun_batch(self, found: Waiting, point: Point) -> Batch | None:
        """The batch whose borders somebody has fixed, message by message the same."""
        if (borders := point.borders) is None:
            return None
        subject, last = found.subject, Position.parse(borders.last)
        messages, _ = await self._read(subject, point.position, borders.messages, last)
        if len(messages) == borders.messages:
            self._short.pop(subject, None)
            taken = tuple(Archived(one.position, one.envelope) for one in messages if one.position is not None)
            return Batch(subject, day_of(messages[0].envelope.timestamp), taken)
        self._short[subject] = self._short.get(subject, 0) + 1
        missing = borders.messages - len(messages)
        if self._short[subject] < _TRIES:
            raise ArchiveError(f"{missing} messages of a batch of {subject} are not in the stream; looking again")
        # a limit of the engine's own has removed them: what is left is archived, and it is said what is not
        await self._alert(subject, f"{missing} messages of {subject} were removed before they were archived")
        rest = cut(subject, messages, len(messages), self.config.batch_bytes)
        if rest is None:
            messages, _ = await self._read(subject, point.position, self.config.batch_size)
            rest = cut(subject, messages, self.config.batch_size, self.config.batch_bytes)
        if rest is not None:
            found.point = await self._progress.intend(subject, point, rest)
        self._short.pop(subject, None)
        return None

    async def _read(
        self, subject: str, behind: Position | None, most: int, last: Position | None = None
    ) -> tuple[list[StoredMessage], bool]:
        """Up to ``most`` messages behind a position, and whether the stream may have more.

        Ends early, but not in a batch that has its borders, once there is payload enough for one.
        """
        found: list[StoredMessage] = []
        size, page = 0, min(64, most)
        stop = None if last is None else UpTo(last)
        while len(found) < most:
            start = EARLIEST if behind is None else AfterPosition(behind)
            wanted = min(page, most - len(found))
            messages = await self._transport.read(subject, start=start, stop=stop, limit=wanted)
            found += messages
            size += sum(len(message.envelope.payload) for message in messages)
            if len(messages) < wanted or not messages:
                return found, False
            behind = messages[-1].position
            if size > self.config.batch_bytes and last is None:
                break
            page = max(1, min(_PAGE, (self.config.batch_bytes - size) * len(found) // max(size, 1)))
        return found, True

    async def _acknowledge(self, found: Waiting) -> None:
        for delivery in found.take_archived():
            if not delivery.is_settled:
                await _quietly(delivery.ack())

    # -- what is said

    async def _tell(self, sink: Sink) -> None:
        """Reports, and an alert when something waits for too long."""
        every = min(self.config.report_every, self.config.lag_limit / 2)
        while True:
            await asyncio.sleep(every)
            seconds = self._oldest_ms() / 1000
            self._observer.waiting(self._held, seconds)
            if seconds > self.config.lag_limit:
                await self._alert(
                    "lag", f"the archive is {seconds:.0f} s behind: {self._held} messages wait for {sink.where}"
                )
            else:
                self._alerted.pop("lag", None)
            await self._report(sink)

    def _oldest_ms(self) -> int:
        oldest = min((ms for found in self._subjects.values() if (ms := found.oldest_ms) is not None), default=None)
        return 0 if oldest is None else max(0, self._clock.now_ms() - oldest)

    async def _report(self, sink: Sink) -> None:
        if not (self._batches or self._failures):
            return
        report = ArchiveReport(
            ts=self._clock.now_ms(),
            id=f"{self.name}.{next(self._numbers)}",
            archiver=self.name,
            sink=sink.where,
            batches=self._batches,
            messages=self._messages,
            payload_bytes=self._bytes,
            failures=self._failures,
            waiting=self._held,
            oldest_ms=self._oldest_ms(),
        )
        self._batches = self._messages = self._bytes = self._failures = 0
        logger.info("archived", extra={"messages": report.messages, "batches": report.batches})
        await self._publish(self._reports_subject, archive.encode(report))

    async def _alert(self, what: str, error: str) -> None:
        """Tell the operators, and again only after a while."""
        now = self._clock.monotonic()
        if now < self._alerted.get(what, float("-inf")) + self.config.lag_limit:
            return
        self._alerted[what] = now
        logger.error("%s", error)
        fault = Fault(ts=self._clock.now_ms(), id=new_ulid(), source="archiver", error=error)
        await self._publish(self._errors_subject, system.encode(fault))

    async def _publish(self, subject: str, payload: bytes) -> None:
        await _quietly(self._transport.publish(subject, payload))


async def _quietly(call: Awaitable[object]) -> None:
    """An engine that does not answer is no news here: what was not acknowledged comes again."""
    try:
        await call
    except GbeError as exc:
        logger.debug("not done: %s", exc)
