"""Tails: every message of some subjects, from a start and then live.

A tail reads the streams themselves, from where it is on each subject; wake-ups only say when. So it needs no buffer
for a reader that is slow, and the seam between replay and live is none.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import Final, Self

from gbe.envelope import Envelope
from gbe.errors import TransportClosedError, TransportError
from gbe.redis.channels import Channels
from gbe.redis.client import RedisClient
from gbe.redis.errors import RedisFailedError
from gbe.redis.protocol import ReplyError
from gbe.subjects import is_literal, matches
from gbe.transport.base import AfterId, Edge, Position, Start, StoredMessage, Tail
from gbe.transport.redis import keys, wire
from gbe.transport.redis.activity import Activity, Watch
from gbe.transport.redis.errors import translated
from gbe.transport.redis.history import History, PageSize
from gbe.transport.redis.streams import Stream, StreamRegistry
from gbe.transport.redis.wakes import Follower, Wakes

logger = logging.getLogger(__name__)

_UNSTORED_BUFFER: Final = 4096  # messages that are not stored wait so many deep for a slow reader, no deeper
_MOST_SUBJECTS: Final = 32  # read at a time
_FAILURE_PAUSE: Final = 0.2
_AT_ONCE: Final = 500
_CLOCK_MARGIN_MS: Final = 60_000
_BEGINNING: Final = Position(0, 0)


class RedisTail(Tail):
    """See the module's docstring."""

    def __init__(
        self,
        client: RedisClient,
        channels: Channels,
        streams: StreamRegistry,
        activity: Activity,
        wakes: Wakes,
        history: History,
        patterns: Sequence[str],
        start: Start,
        on_close: "Callable[[RedisTail], object]",
    ) -> None:
        self._client, self._channels, self._streams = client, channels, streams
        self._activity, self._wakes, self._history = activity, wakes, history
        self._literals = list(dict.fromkeys(pattern for pattern in patterns if is_literal(pattern)))
        self._wildcards = list(dict.fromkeys(pattern for pattern in patterns if not is_literal(pattern)))
        self._start, self._on_close = start, on_close
        self._places: dict[str, Position] = {}
        self._followers: dict[str, Follower] = {}
        self._dirty: dict[str, None] = {}
        self._buffer: deque[StoredMessage] = deque()
        self._unstored: deque[tuple[Position, Envelope]] = deque()  # with what each comes behind
        self._unstored_channels: set[bytes] = set()
        self._event = asyncio.Event()
        self._size = PageSize()
        self._watch: Watch | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._begins_new = _BEGINNING
        self._closed = False

    # -- life

    async def __aenter__(self) -> Self:
        if self._closed:
            raise TransportClosedError("the transport is closed")
        try:
            await self._open()
        except BaseException:
            self.close()
            raise
        return self

    async def _open(self) -> None:
        streams: dict[str, Stream] = {}
        for subject in self._literals:
            stream = await self._streams.of_subject(subject)
            streams[stream.name] = stream
        wide: dict[str, Stream] = {}
        for pattern in self._wildcards:
            wide |= {stream.name: stream for stream in await self._streams.required(pattern)}
        with translated(f"tail {', '.join([*self._literals, *self._wildcards])}"):
            self._begins_new = Position(max(0, self._client.now_ms() - _CLOCK_MARGIN_MS))
            subjects = list(self._literals)
            if self._wildcards:
                await self._listen_unstored(wide.values())
                self._watch = await self._activity.watch(self._wildcards, self._on_subject)
                subjects = list(
                    dict.fromkeys([*subjects, *await self._activity.subjects(wide.values(), self._wildcards)])
                )
            for begin in range(0, len(subjects), _AT_ONCE):
                await self._follow(subjects[begin : begin + _AT_ONCE])
            await self._begin(subjects)
        for subject in self._followers:
            if subject not in self._places:  # appeared meanwhile
                self._places[subject] = self._begins_new
            self._dirty[subject] = None

    async def _listen_unstored(self, streams: Iterable[Stream]) -> None:
        for stream in streams:
            for bucket in range(keys.BUCKETS):
                channel = keys.unstored_channel(stream.name, bucket)
                if channel not in self._unstored_channels:
                    self._unstored_channels.add(channel)
                    await self._channels.listen(channel, self._on_unstored)

    async def _follow(self, subjects: Sequence[str]) -> None:
        fresh = [subject for subject in subjects if subject not in self._followers]
        for subject in fresh:
            looks = subject in self._literals
            self._followers[subject] = self._wakes.follow(subject, self._on_wake, looks=looks)
        try:
            async with asyncio.timeout(self._client.config.request_timeout):
                for subject in fresh:
                    await asyncio.shield(self._followers[subject].confirmed)
        except TimeoutError as exc:
            raise RedisFailedError("Redis did not confirm a subscription in time") from exc

    async def _begin(self, subjects: Sequence[str]) -> None:
        """Find the place to start at on each subject."""
        start = self._start
        if start is Edge.LATEST:
            for begin in range(0, len(subjects), _AT_ONCE):
                some = subjects[begin : begin + _AT_ONCE]
                newest = await asyncio.gather(*(self._history.newest(subject) for subject in some))
                self._places.update(zip(some, newest, strict=True))
            return
        if isinstance(start, AfterId):
            place = await self._history.anchor(subjects, start.id)
        else:
            place = await self._history.position_behind("", start)
        self._begins_new = place
        self._places.update(dict.fromkeys(subjects, place))

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop; iterators end. Safe to repeat."""
        if self._closed:
            return
        self._closed = True
        self._event.set()
        if self._watch is not None:
            self._activity.unwatch(self._watch)
        for channel in self._unstored_channels:
            self._channels.leave(channel, self._on_unstored)
        for follower in self._followers.values():
            self._wakes.leave(follower)
        for task in self._tasks:
            task.cancel()
        self._on_close(self)

    # -- what there is to read

    def _on_wake(self, subject: str, message: bytes | None) -> None:
        if message is not None and message[:1].isalpha():
            if message[:1] == wire.UNSTORED and subject in self._literals:
                self._keep(wire.read_unstored(message))
            return
        place = self._places.get(subject)
        if message is not None and place is not None and wire.position_of(message) <= place:
            return  # seen already
        self._dirty[subject] = None
        self._event.set()

    def _on_unstored(self, message: bytes | None) -> None:
        found = None if message is None else wire.read_unstored(message)
        # what a literal covers comes over the channel of its subject
        if found is None or found[1].subject in self._literals:
            return
        if any(matches(pattern, found[1].subject) for pattern in self._wildcards):
            self._keep(found)

    def _keep(self, found: tuple[Position, Envelope] | None) -> None:
        if found is None or len(self._unstored) >= _UNSTORED_BUFFER:
            return
        place, envelope = found
        self._unstored.append(found)
        if envelope.subject in self._followers and place > self._places.get(envelope.subject, place):
            self._dirty[envelope.subject] = None  # what it comes behind is read first
        self._event.set()

    def _on_subject(self, subject: str) -> None:
        if subject in self._followers:
            self._dirty[subject] = None
            self._event.set()
        elif not self._closed:
            task = asyncio.get_running_loop().create_task(self._adopt(subject))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _adopt(self, subject: str) -> None:
        try:
            with translated(f"follow {subject}"):
                await self._follow([subject])
        except TransportError as exc:
            logger.warning("subject not followed yet: %s", exc, extra={"subject": subject})
            follower = self._followers.pop(subject, None)  # the index names it again while it is in use
            if follower is not None:
                self._wakes.leave(follower)
            return
        self._places.setdefault(subject, self._begins_new)
        self._dirty[subject] = None
        self._event.set()

    # -- messages out

    def __aiter__(self) -> AsyncIterator[StoredMessage]:
        return self

    async def __anext__(self) -> StoredMessage:
        while not self._closed:
            if self._unstored and self._is_next(*self._unstored[0]):
                return StoredMessage(self._unstored.popleft()[1], None)
            if self._buffer:
                return self._buffer.popleft()
            self._event.clear()
            if self._dirty:
                await self._read()
            else:
                await self._event.wait()
        raise StopAsyncIteration

    def _is_next(self, place: Position, envelope: Envelope) -> bool:
        """Whether what a message that is not stored comes behind has been handed out, or is gone."""
        if self._buffer:
            return _place(self._buffer[0]) > place
        return envelope.subject not in self._dirty or self._places.get(envelope.subject, place) >= place

    async def _read(self) -> None:
        """Read on, on some of the subjects that may have more. Giving up in the middle loses nothing."""
        chosen = [subject for subject, _ in zip(self._dirty, range(_MOST_SUBJECTS), strict=False)]
        for subject in chosen:
            del self._dirty[subject]
        count = max(1, self._size() // len(chosen))
        try:
            pages = await asyncio.gather(*(self._page(subject, count) for subject in chosen))
        except (RedisFailedError, ReplyError) as exc:
            self._dirty.update(dict.fromkeys(chosen))
            logger.debug("tail not read for now: %s", exc)
            await asyncio.sleep(_FAILURE_PAUSE)
            return
        except BaseException:
            self._dirty.update(dict.fromkeys(chosen))
            raise
        found: list[StoredMessage] = []
        for subject, page in zip(chosen, pages, strict=True):
            if not page:
                continue
            last = page[-1].position
            if last is None:
                continue
            self._places[subject] = last
            if len(page) >= count:
                self._dirty[subject] = None
            stream = self._streams.known(subject)
            found += page if stream is None else self._history.alive(stream, page)
        if len(chosen) > 1:
            found.sort(key=_place)
        self._size.learn(found)
        self._buffer.extend(found)

    async def _page(self, subject: str, count: int) -> list[StoredMessage]:
        names = keys.keys_of(subject)
        begin = wire.after(self._places.get(subject, self._begins_new))
        page = await self._client.call("XRANGE", names.stream, begin, "+", "COUNT", count, slot=names.slot)
        return [wire.stored(subject, entry) for entry in page]


def _place(message: StoredMessage) -> Position:
    return message.position or _BEGINNING
