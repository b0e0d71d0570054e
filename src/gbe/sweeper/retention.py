"""Removes what is older than its stream keeps, where the engine cannot be left to do it.

Two things are never removed: what an archive has not confirmed, and what a group has not acknowledged. Where either
holds something up, an alert says so, and the next pass looks again. The mark for the archive is its own confirmed
position in the state store: an engine's acknowledgement floor moves past messages that were given up.
"""

import asyncio
import heapq
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Final

from gbe.clock import Clock, SystemClock
from gbe.errors import ConfigError, StateError, StreamNotFoundError, TransportError
from gbe.ids import new_ulid
from gbe.schemas import system
from gbe.schemas.archive import confirmed_life, confirmed_position, progress_key
from gbe.schemas.system import Fault
from gbe.sweeper.streams import Streams, StreamView
from gbe.transport.base import EARLIEST, AfterPosition, Position, Start, StoredMessage

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 8
_SLACK_MS: Final = 1_000  # clocks of engines and sweepers differ; nobody counts on the second
_PAGE: Final = 500
_MOST_LOOKED_AT: Final = 20_000  # messages in one pass, where a limit of size has to be found
_MOST_NAMED: Final = 5
_OVERHEAD: Final = 64  # bytes that a message takes besides subject and payload, roughly
_DAY_MS: Final = 86_400_000


@dataclass(slots=True)
class Pass:
    """What one look at all streams did: messages removed, and by stream why something older stays."""

    removed: int = 0
    held: dict[str, str] = field(default_factory=dict)


class Retention:
    """Applies the limits of the streams; one at a time is enough, and several do no harm.

    Args:
        source: whose alerts these are.
        alert_every: seconds until the same stream is complained about again.
        on_removed: is told of what was removed: stream, messages.
    """

    def __init__(
        self,
        streams: Streams,
        *,
        source: str = "sweeper",
        alert_every: float = 600.0,
        clock: Clock | None = None,
        on_removed: Callable[[str, int], None] = lambda _stream, _count: None,
    ) -> None:
        self._streams, self._source, self._alert_every = streams, source, alert_every
        self._clock, self._on_removed = clock or SystemClock(), on_removed
        self._alerted: dict[str, float] = {}

    async def sweep(self) -> Pass:
        """Look at every stream once. One that fails is logged, and the others go on."""
        done = Pass()
        for name in self._streams.names:
            try:
                await self._look_at(name, done)
            except (TransportError, StateError, ConfigError) as exc:
                logger.warning("retention not applied: %s", exc, extra={"stream": name})
        return done

    async def _look_at(self, name: str, done: Pass) -> None:
        view = await self._streams.view(name)
        await self._streams.transport.ensure_stream(view.native)
        if not view.is_swept:
            return
        removed = await self._by_age(view, done) + await self._by_size(view)
        if removed:
            done.removed += removed
            self._on_removed(name, removed)
            logger.info("messages removed", extra={"stream": name, "removed": removed})

    # -- age

    async def _by_age(self, view: StreamView, done: Pass) -> int:
        name, max_age = view.config.name, view.config.max_age
        if max_age is None:
            return 0
        before = self._clock.now_ms() - round(max_age * 1000)
        if not await self._has_older(name, before):
            self._alerted.pop(name, None)
            return 0
        subjects = await self._subjects(view)
        removed = sum(await _few_at_once([self._trim(view, subject, before) for subject in subjects]))
        if await self._has_older(name, before - _SLACK_MS):
            done.held[name] = await self._why(view, subjects, before)
            await self._alert(view, done.held[name])
        else:
            self._alerted.pop(name, None)
        return removed

    async def _has_older(self, name: str, before: int) -> bool:
        oldest = (await self._streams.figures(name)).oldest
        return oldest is not None and oldest < before

    async def _subjects(self, view: StreamView) -> list[str]:
        found: list[str] = []
        for pattern in view.config.subjects:
            found += await self._streams.transport.subjects(pattern)
        return found

    async def _trim(self, view: StreamView, subject: str, before: int, through: Position | None = None) -> int:
        """Remove what may go of one subject: older than ``before``, at or ahead of ``through``."""
        for group in view.groups_archiving(subject):
            archived = await self._archived(group, subject)
            if archived is None:
                return 0
            through = archived if through is None else min(through, archived)
        try:
            return await self._streams.transport.trim(subject, before, through=through)
        except StreamNotFoundError:  # deleted meanwhile
            return 0

    async def _archived(self, group: str, subject: str) -> Position | None:
        """Up to where a group has archived a subject; ``None`` if nothing is, or nobody can tell."""
        streams = self._streams
        if streams.state is None:
            return None
        try:
            fields = await streams.state.get(progress_key(streams.namespace, group, subject))
            text, life = confirmed_position(fields), confirmed_life(fields)
            if text is None or (life and life != await streams.transport.stream_life(subject)):
                return None  # nothing of a stream that was made anew
            return Position.parse(text)
        except StreamNotFoundError:  # deleted meanwhile
            return None
        except ValueError as exc:
            logger.warning("archived position cannot be read: %s", exc, extra={"subject": subject})
            return None

    # -- size, where the engine's own limit had to be lifted

    async def _by_size(self, view: StreamView) -> int:
        """Remove the oldest messages while there are too many of them, or too much."""
        limits = view.config
        if not view.archives or (limits.max_msgs is None and limits.max_bytes is None):
            return 0
        figures = await self._streams.figures(limits.name)
        too_many = max(0, figures.messages - (limits.max_msgs or figures.messages))
        too_much = max(0, figures.bytes - (limits.max_bytes or figures.bytes))
        if not (too_many or too_much):
            return 0
        last: dict[str, Position] = {}
        count = size = 0
        async for message in self._oldest(await self._subjects(view)):
            if message.position is not None:
                last[message.envelope.subject] = message.position
            count, size = count + 1, size + _size(message)
            if (count >= too_many and size >= too_much) or count >= _MOST_LOOKED_AT:
                break
        later = self._clock.now_ms() + _DAY_MS  # whatever clocks say: the place alone counts
        return sum(await _few_at_once([self._trim(view, subject, later, place) for subject, place in last.items()]))

    async def _oldest(self, subjects: Sequence[str]) -> AsyncIterator[StoredMessage]:
        """The messages of all subjects in the order of their arrival."""
        heads: list[tuple[Position, int, StoredMessage, AsyncIterator[StoredMessage]]] = []
        for number, subject in enumerate(subjects):
            await _push(heads, number, self._messages(subject, 32 if len(subjects) > _PAGE else _PAGE))
        while heads:
            _, number, message, rest = heapq.heappop(heads)
            yield message
            await _push(heads, number, rest)

    async def _messages(self, subject: str, page: int) -> AsyncIterator[StoredMessage]:
        start: Start = EARLIEST
        while found := await self._streams.transport.read(subject, start=start, limit=page):
            for message in found:
                yield message
            last = found[-1].position
            if last is None:
                return
            start = AfterPosition(last)

    # -- what holds it up

    async def _why(self, view: StreamView, subjects: Sequence[str], before: int) -> str:
        """In words for an operator: what keeps messages that are too old."""
        unarchived = await self._unarchived(view, subjects)
        if unarchived:
            more = f" and {len(unarchived) - _MOST_NAMED} others" if len(unarchived) > _MOST_NAMED else ""
            return (
                f"not archived yet: {', '.join(unarchived[:_MOST_NAMED])}{more}; is an archiver running, "
                "and what does `gbe archive status` say? (`gbe archive release` if nothing is to be archived any more)"
            )
        limit = (self._clock.now_ms() - before) / 1000
        slow = [
            f"{known.group} of {known.pattern} ({known.pending} pending, {known.unacknowledged} unacknowledged)"
            for known in await self._streams.groups(view)
            if known.oldest_age is not None and known.oldest_age > limit - 1
        ]
        if slow:
            return f"not acknowledged by {', '.join(slow[:_MOST_NAMED])}; does the group have members?"
        return "still there after a trim; the next pass looks again"

    async def _unarchived(self, view: StreamView, subjects: Sequence[str]) -> list[str]:
        found: list[str] = []
        for subject in sorted(subjects):
            groups = view.groups_archiving(subject)
            oldest = await self._streams.transport.read(subject, limit=1) if groups else []
            place = oldest[0].position if oldest else None
            if place is None:
                continue
            archived = [await self._archived(group, subject) for group in groups]
            if any(position is None or position < place for position in archived):
                found.append(subject)
        return found

    async def _alert(self, view: StreamView, reason: str) -> None:
        name, now = view.config.name, self._clock.monotonic()
        if now - self._alerted.get(name, float("-inf")) < self._alert_every:
            return
        error = f"stream {name} keeps messages that are older than its max_age of {view.config.max_age:g} s: {reason}"
        logger.warning(error, extra={"stream": name})
        fault = Fault(ts=self._clock.now_ms(), id=new_ulid(), source=self._source, error=error)
        subject = f"{self._streams.namespace}.events.system.error"
        try:
            await self._streams.transport.publish(subject, system.encode(fault))
        except TransportError as exc:  # tried again with the next pass
            logger.warning("not published: %s", exc, extra={"subject": subject})
        else:
            self._alerted[name] = now


def _size(message: StoredMessage) -> int:
    return len(message.envelope.payload) + len(message.envelope.subject) + _OVERHEAD


async def _push(
    heads: list[tuple[Position, int, StoredMessage, AsyncIterator[StoredMessage]]],
    number: int,
    messages: AsyncIterator[StoredMessage],
) -> None:
    async for message in messages:
        if message.position is not None:
            heapq.heappush(heads, (message.position, number, message, messages))
        return


async def _few_at_once(work: Sequence[Coroutine[object, object, int]]) -> list[int]:
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(job: Coroutine[object, object, int]) -> int:
        async with slots:
            return await job

    return await asyncio.gather(*(one(job) for job in work))
