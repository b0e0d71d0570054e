"""Writes what waits on a subject into the sink, one batch after the other, and confirms each.

A batch is what follows the confirmed position in the stream. Where the deliveries that are held are known to be just
that, they are taken; else the stream is read. Both give the same messages, so whoever writes the batch again after a
crash, from the stream, writes the same.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from gbe.archive.batch import Archived, Batch, cut, day_of, domain_of
from gbe.archive.config import ArchiveConfig
from gbe.archive.observer import Observer
from gbe.archive.progress import Point, Progress
from gbe.archive.reader import read_batch
from gbe.archive.reports import Reports
from gbe.archive.sink import Sink
from gbe.archive.waiting import Waiting
from gbe.clock import Clock
from gbe.errors import ArchiveError, GbeError, SinkUnavailableError, StateError, StreamNotFoundError
from gbe.transport.base import Position, StoredMessage, Transport

logger = logging.getLogger(__name__)

_TRIES: Final = 5
"""How often a batch may come out shorter than its borders say before they are taken to be out of date."""


class Writer:
    """Writes for the archiver that holds the lease.

    Args:
        is_due: whether a subject's messages are to be written although they are no full batch.
    """

    def __init__(
        self,
        transport: Transport,
        progress: Progress,
        sink: Sink,
        config: ArchiveConfig,
        reports: Reports,
        observer: Observer,
        clock: Clock,
        is_due: Callable[[Waiting], bool],
    ) -> None:
        self._transport, self._progress, self._sink, self._config = transport, progress, sink, config
        self._reports, self._observer, self._clock, self._is_due = reports, observer, clock, is_due

    async def flush(self, found: Waiting) -> None:
        """Write a subject's batches, as many as are full, and the last one if its time has come; never raises."""
        try:
            while await self._write_next(found):
                pass
        except GbeError as exc:
            await self._failed(found, exc)

    async def _failed(self, found: Waiting, exc: GbeError) -> None:
        config = self._config
        self._reports.failures += 1
        found.point = None  # nobody knows what of it was written: read it again
        found.failures += 1
        pause = min(config.retry_backoff * 2 ** min(found.failures - 1, 30), config.retry_backoff_max)
        found.retry_at = self._clock.monotonic() + pause
        self._observer.failed(domain_of(found.subject))
        logger.warning("batch not archived, trying again in %.1f s: %s", pause, exc, extra={"subject": found.subject})
        if not isinstance(exc, SinkUnavailableError | StateError):
            await self._reports.alert(found.subject, f"{found.subject} is not archived: {exc}")

    async def _write_next(self, found: Waiting) -> bool:
        """Write one batch; whether there may be another one to write now."""
        point = found.point
        if point is None:
            point = found.point = await self._progress.load(found.subject)
            found.is_doubtful = True  # what came before this was not compared with it
        certain: Sequence[Archived] = []
        if point.borders is None and not found.is_doubtful:
            certain = found.following(point.position, self._config.batch_of(found.count))
        if not certain and not await self._is_same_stream(found, point):
            return True
        batch, more = await self._next_batch(found, point, certain)
        if batch is None:
            await self._acknowledge(found)
            return more or found.is_doubtful
        if point.borders is None:
            point = found.point = await self._progress.intend(found.subject, point, batch)
            if point is None:
                return True
        mark = await self._sink.write(batch, point.mark)
        confirmed = found.point = await self._progress.confirm(found.subject, point, batch, mark, self._clock.now_ms())
        if confirmed is None:
            return True
        found.failures, found.retry_at = 0, 0.0
        self._reports.is_well(found.subject)
        size = confirmed.payload_bytes - point.payload_bytes
        self._reports.archived(len(batch.messages), size)
        self._observer.archived(batch.domain, len(batch.messages), size)
        await self._acknowledge(found)
        return more

    # -- which batch

    async def _next_batch(self, found: Waiting, point: Point, certain: Sequence[Archived]) -> tuple[Batch | None, bool]:
        """What follows the confirmed position, and whether more is there to be written now.

        Args:
            certain: what the stream has there, if that is known without reading it.
        """
        if point.borders is not None:
            return await self._begun_batch(found, point), True
        most = self._config.batch_of(found.count)
        messages: Sequence[Archived | StoredMessage] = certain
        more = found.count > len(certain)
        if not certain:
            messages, more = await self._read(found.subject, point.position, most)
        batch = cut(found.subject, messages, most, self._config.batch_bytes, point.generation)
        if batch is None:
            await self._vanished(found, point)
            return None, False
        is_full = more or len(batch.messages) < len(messages)
        return (batch, is_full) if is_full or self._is_due(found) else (None, False)

    async def _read(
        self, subject: str, behind: Position | None, most: int, last: Position | None = None
    ) -> tuple[list[StoredMessage], bool]:
        most_bytes = self._config.batch_bytes
        return await read_batch(self._transport, subject, behind, most=most, most_bytes=most_bytes, last=last)

    async def _begun_batch(self, found: Waiting, point: Point) -> Batch | None:
        """The batch whose borders somebody has fixed, message by message the same."""
        if (borders := point.borders) is None:
            return None
        subject, last = found.subject, Position.parse(borders.last)
        messages, _ = await self._read(subject, point.position, borders.messages, last)
        if len(messages) == borders.messages:
            found.short = 0
            taken = tuple(Archived(one.position, one.envelope) for one in messages if one.position is not None)
            return Batch(subject, day_of(messages[0].envelope.timestamp), taken, point.generation)
        missing = borders.messages - len(messages)
        self._look_again(found, f"{missing} messages of a batch of {subject} are not in the stream; looking again")
        # a limit of the engine's own has removed them: what is left is archived, and it is said what is not
        await self._reports.tell(f"{missing} messages of {subject} were removed before they were archived")
        config = self._config
        rest = cut(subject, messages, len(messages), config.batch_bytes, point.generation)
        if rest is None:
            messages, _ = await self._read(subject, point.position, config.batch_size)
            rest = cut(subject, messages, config.batch_size, config.batch_bytes, point.generation)
        if rest is not None:
            found.point = await self._progress.intend(subject, point, rest)
        return None

    async def _vanished(self, found: Waiting, point: Point) -> None:
        """Nothing is behind the confirmed position; what is held from there should be."""
        missing = found.count_behind(point.position)
        if not missing:
            return
        subject = found.subject
        self._look_again(found, f"{missing} messages of {subject} are not in the stream; looking again")
        await self._reports.tell(f"{missing} messages of {subject} were removed before they were archived")
        for parcel in found.drop_behind(point.position):
            await quietly(parcel.ack())

    def _look_again(self, found: Waiting, error: str) -> None:
        """A replica may lag, so one look does not count; raises until there were several."""
        found.short += 1
        if found.short < _TRIES:
            raise ArchiveError(error)
        found.short = 0

    # -- streams that are made anew

    async def _is_same_stream(self, found: Waiting, point: Point) -> bool:
        """Whether the stream is the one that the confirmed position lies in; if not, the subject begins again.

        Positions begin again in a stream that was deleted and made anew: what lies there below the confirmed one is not
        in the archive. So it is written under names of its own. After ``False`` the point is another one.
        """
        found.is_doubtful = False
        try:
            life = await self._transport.stream_life(found.subject)
        except StreamNotFoundError:
            return True  # about to be made anew
        if life == point.life:
            return True
        if not point.life:
            found.point = await self._progress.begin(found.subject, point, life)
            return False
        for parcel in found.drop_all():  # whichever stream it is of: what is in the new one comes again
            await quietly(parcel.nak())
        found.short = 0
        found.point = await self._progress.begin_anew(found.subject, point, life)
        if found.point is not None:
            await self._reports.tell(_renewal(found.subject, point))
        return False

    async def _acknowledge(self, found: Waiting) -> None:
        if found.is_doubtful:
            return  # something came meanwhile that may be of another stream
        for parcel in found.take_archived():
            await quietly(parcel.ack())


def _renewal(subject: str, point: Point) -> str:
    under_way = "" if point.borders is None else f" ({point.borders.messages} messages were being archived)"
    return (
        f"the stream of {subject} was deleted and made anew: its {point.messages} archived messages stay, what it had "
        f"behind position {point.position} is gone{under_way}, and the new stream is archived from its beginning"
    )


async def quietly(call: Awaitable[object]) -> None:
    """An engine that does not answer is no news here: what was not acknowledged comes again."""
    try:
        await call
    except GbeError as exc:
        logger.debug("not done: %s", exc)
