"""The archiver: from the streams into the sink, and only then acknowledged.

A consumer group tells which subjects have something new, and remembers what is not archived when nobody runs. What is
written is what the stream holds from the confirmed position on: in order, without gaps, whatever came twice or late. So
a batch is the same, whoever writes it.

1. A delivery comes. If its position is confirmed already it is acknowledged, else it is held.
2. A subject with a full batch, or with a message that has waited for the batch timeout, is written from its confirmed
   position on (``writer``). The borders of the batch are fixed in the state store.
3. The sink stores the batch and has compared it.
4. The position is confirmed in the state store; retention may remove what lies before it from now on.
5. The deliveries up to there are acknowledged.

A crash between any two of them repeats a step, with the same outcome.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from gbe.archive.config import ArchiveConfig
from gbe.archive.observer import NobodyWatches, Observer
from gbe.archive.progress import Progress
from gbe.archive.reader import PAGE
from gbe.archive.reports import Reports
from gbe.archive.sink import Sink
from gbe.archive.waiting import Room, Waiting
from gbe.archive.writer import Writer, quietly
from gbe.clock import Clock, SystemClock
from gbe.errors import ArchiveError, GbeError, ObjectError, StateError
from gbe.ids import process_name
from gbe.state.base import StateStore
from gbe.state.leading import lead
from gbe.state.lease import Lease
from gbe.transport.base import EARLIEST, ConsumeOptions, Parcel, Transport

logger = logging.getLogger(__name__)

OpenSink = Callable[[], Awaitable[Sink]]

_PAUSE: Final = 1.0
_AT_ONCE: Final = 8  # subjects that are written side by side
_MOST_DELIVERIES: Final = 1_000_000  # the sink may be down for weeks: that is no reason to give a message up
_KEPT_BATCHES: Final = 2  # of payload in memory: one is written while the next one comes


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
        self.name = process_name()
        self._lease = Lease(
            state,
            f"{namespace}.state.leases.archiver-{self.config.group}",
            term=self.config.term,
            holder=self.name,
        )
        self._progress = Progress(state, namespace, self.config.group)
        self._reports = Reports(transport, namespace, self.name, self._clock)
        self._begin()

    def _begin(self) -> None:
        self._room = Room(_KEPT_BATCHES * self.config.batch_bytes)
        self._subjects: dict[str, Waiting] = {}
        self._news = asyncio.Event()
        self._is_stopping = False

    @property
    def is_active(self) -> bool:
        """Whether this is the one that archives."""
        return self._lease.is_held

    @property
    def held(self) -> int:
        """How many messages were handed to it and are not archived yet."""
        return self._room.messages

    async def run(self) -> None:
        """Wait for the lease, then archive until cancelled; what is held then is written first."""
        await lead(self._lease, "archiver", self._work, survives=GbeError)

    async def _work(self) -> None:
        self._begin()
        async with await self._opened() as sink:
            writer = Writer(
                self._transport,
                self._progress,
                sink,
                self.config,
                self._reports,
                self._observer,
                self._clock,
                self._is_due,
            )
            try:
                async with asyncio.TaskGroup() as group:
                    for pattern in self.config.subjects:
                        group.create_task(self._receive(f"{self._namespace}.{pattern}"))
                    group.create_task(self._keep())
                    group.create_task(self._tell(sink))
                    await self._flush_forever(writer)
            finally:
                if self._lease.is_held:
                    await self._finish(writer, sink)

    async def _opened(self) -> Sink:
        """The sink, however long that takes."""
        pause = self.config.retry_backoff
        while True:
            try:
                sink = await self._open_sink()
            except (ArchiveError, ObjectError) as exc:
                logger.warning("archive cannot be opened, trying again in %.0f s: %s", pause, exc)
                await self._reports.alert("open", f"the archive cannot be opened: {exc}")
            else:
                self._reports.is_well("open")
                return sink
            await asyncio.sleep(pause)
            pause = min(2 * pause, self.config.retry_backoff_max)

    async def _finish(self, writer: Writer, sink: Sink) -> None:
        """Write what is held: nobody should have to wait for the next archiver."""
        self._is_stopping = True
        try:
            async with asyncio.timeout(self.config.shutdown_timeout):
                await asyncio.gather(*(writer.flush(found) for found in self._subjects.values() if found.count))
                await self._reports.report(sink.where, self.held, self._oldest_ms())
                await self._transport.ping()  # the acknowledgements have left
        except (TimeoutError, GbeError) as exc:
            logger.warning("not all was archived before the stop, the next archiver does it: %s", str(exc) or "no time")

    # -- what comes

    async def _receive(self, pattern: str) -> None:
        options = ConsumeOptions(
            batch_size=min(PAGE, self.config.batch_size),
            max_inflight=self._most_held,
            ack_timeout=self.config.ack_timeout,
            max_deliver=_MOST_DELIVERIES,
            start=EARLIEST,
            tells_gaps=True,
        )
        while True:
            try:
                async with self._transport.consume(pattern, self.config.group, options) as deliveries:
                    async for parcels in deliveries.parcels():
                        self._reports.is_well(pattern)
                        for parcel in parcels:
                            await self._take(parcel)
            except GbeError as exc:
                logger.warning("nothing comes from %s: %s", pattern, exc)
                await self._reports.alert(pattern, f"{pattern} cannot be archived: {exc}")
            await asyncio.sleep(_PAUSE)

    async def _take(self, parcel: Parcel) -> None:
        found = self._subjects.get(parcel.subject)
        if found is None:
            found = self._subjects[parcel.subject] = Waiting(parcel.subject, self._room)
            try:
                found.point = await self._progress.load(parcel.subject)
            except StateError as exc:
                logger.debug("progress not known yet: %s", exc)
        left: Parcel | None = parcel
        if found.point is not None and found.point.position is not None and found.point.covers(parcel.first):
            if found.point.life:
                found.is_doubtful = True  # the writer finds out
            else:
                archived, left = parcel.split(found.point.position)
                if archived is not None:
                    await archived.ack()
        held_before = found.count
        if left is not None:
            found.hold(left, self._clock.monotonic())
        is_full = held_before < self.config.batch_size <= found.count
        if not held_before or found.is_doubtful or is_full or self._is_crowded:
            self._news.set()

    async def _keep(self) -> None:
        """What waits for its batch is not to be delivered to anybody else."""
        while True:
            await asyncio.sleep(self.config.ack_timeout / 4)
            for found in list(self._subjects.values()):
                for held in list(found.held):
                    if held in found.held:  # still, after those before
                        await quietly(held.parcel.in_progress())

    # -- what goes

    @property
    def _is_crowded(self) -> bool:
        """Whether so much is held that soon nothing more would come."""
        return self.held >= 0.75 * self._most_held

    @property
    def _most_held(self) -> int:
        return max(_KEPT_BATCHES * self.config.batch_of(self.config.batch_size_max), 100)

    async def _flush_forever(self, writer: Writer) -> None:
        while True:
            now = self._clock.monotonic()
            due = [found for found in self._subjects.values() if self._due_at(found) <= now]
            if due:
                await asyncio.gather(*(writer.flush(found) for found in due[:_AT_ONCE]))
                continue
            self._news.clear()
            wait = min((self._due_at(found) for found in self._subjects.values()), default=now + 3600.0) - now
            try:
                async with asyncio.timeout(min(max(wait, 0.01), 3600.0)):
                    await self._news.wait()
            except TimeoutError:
                self._forget_idle()

    def _is_due(self, found: Waiting) -> bool:
        return self._is_stopping or self._due_at(found) <= self._clock.monotonic()

    def _due_at(self, found: Waiting) -> float:
        """When a subject is to be written, monotonic."""
        if not found.count:
            return float("inf")
        if found.is_doubtful or found.count >= self.config.batch_size or self._is_crowded:
            return found.retry_at
        return max(found.since + self.config.batch_timeout, found.retry_at)

    def _forget_idle(self) -> None:
        """Memory follows what waits, not what was ever seen."""
        if len(self._subjects) > 10_000:
            self._subjects = {name: found for name, found in self._subjects.items() if found.count}

    # -- what is said

    async def _tell(self, sink: Sink) -> None:
        """Reports, and an alert when something waits for too long."""
        every = min(self.config.report_every, self.config.lag_limit / 2)
        while True:
            await asyncio.sleep(every)
            oldest_ms = self._oldest_ms()
            seconds = oldest_ms / 1000
            self._observer.waiting(self.held, seconds)
            if seconds > self.config.lag_limit:
                waiting = f"{self.held} messages wait for {sink.where}"
                await self._reports.alert("lag", f"the archive is {seconds:.0f} s behind: {waiting}")
            else:
                self._reports.is_well("lag")
            await self._reports.report(sink.where, self.held, oldest_ms)

    def _oldest_ms(self) -> int:
        """Age of the oldest message that waits."""
        oldest = min((ms for found in self._subjects.values() if (ms := found.oldest_ms) is not None), default=None)
        return 0 if oldest is None else max(0, self._clock.now_ms() - oldest)
