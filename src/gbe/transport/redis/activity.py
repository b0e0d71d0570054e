"""Which subjects there are, and which of them are in use: the index that makes patterns possible.

Redis knows no patterns over streams, so every publisher marks its subjects in an index, by the time of the last use,
and nothing is confirmed that is not marked. Who follows a pattern is told of new subjects at once by a channel, and
looks now and then at what was used since the last look: a wake-up that was lost holds nothing up for longer, and what
that look costs does not depend on how many subjects are idle.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from gbe.redis.channels import Channels
from gbe.redis.client import RedisClient
from gbe.redis.errors import RedisClosedError, RedisFailedError, RedisUnavailableError
from gbe.redis.protocol import ReplyError
from gbe.subjects import matches
from gbe.transport.redis import keys
from gbe.transport.redis.errors import translated
from gbe.transport.redis.scripts import ACTIVE_SINCE, MARK, UNMARK
from gbe.transport.redis.streams import Stream, StreamRegistry

logger = logging.getLogger(__name__)

FRESH: Final = 0.5
"""Seconds after which a publisher marks a subject again."""
VALID: Final = 2.0
"""Seconds that may lie at most between a mark and the confirmation of a message that relies on it."""
_SLACK_MS: Final = 3000  # VALID, and a second for clocks and scheduling
_FORGET_AFTER_MS: Final = 600_000  # subjects without messages leave the index so long after their last mark
_FORGET_EVERY: Final = 60.0
_PAGE: Final = 1000

OnSubject = Callable[[str], None]


class Activity:
    """Marks subjects, and tells those who follow patterns."""

    def __init__(self, client: RedisClient, channels: Channels, streams: StreamRegistry) -> None:
        self._client, self._channels, self._streams = client, channels, streams
        self._loop = asyncio.get_running_loop()
        self._sending: set[asyncio.Task[None]] = set()
        self._marked: dict[str, float] = {}
        self._marked_before: dict[str, float] = {}
        self._turned_at = 0.0
        self._pending: dict[tuple[str, int], Marking] = {}
        self._watches: set[Watch] = set()
        self._polls: dict[bytes, str] = {}  # index → the server's time of the last look, as text
        self._listening: set[bytes] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._moving: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start looking."""
        loop = asyncio.get_running_loop()
        self._client.on_lost = self.forget_marks
        self._tasks = [
            loop.create_task(self._poll_forever(), name="gbe.redis.activity"),
            loop.create_task(self._forget_forever(), name="gbe.redis.forget"),
        ]

    async def close(self) -> None:
        """Stop looking."""
        tasks = [*self._tasks, *self._sending, *([self._moving] if self._moving is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- publishers

    def mark(self, stream: Stream, subject: str) -> "Marking | None":
        """Mark a subject as in use; ``None`` if it is marked freshly enough."""
        now = self._loop.time()
        marked = self._marked.get(subject) or self._marked_before.get(subject)
        if marked is not None and now - marked < FRESH:
            return None
        bucket = stream.name, keys.keys_of(subject).bucket
        marking = self._pending.get(bucket)
        if marking is None:
            marking = self._pending[bucket] = Marking()
            task = self._loop.create_task(self._send_marks(bucket, marking))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        marking.subjects[subject] = None
        return marking

    def is_valid(self, subject: str) -> bool:
        """Whether a message that is confirmed now would be found through the last mark."""
        marked = self._marked.get(subject) or self._marked_before.get(subject)
        return marked is not None and self._loop.time() - marked < VALID

    async def ensure_marked(self, stream: Stream, subject: str, marking: "Marking | None", deadline: float) -> None:
        """Wait until a subject is marked for what was stored meanwhile.

        Raises:
            RedisFailedError, hiredis.ReplyError: it could not be marked, not before ``deadline`` of the loop's clock.
        """
        while True:
            if marking is not None:
                await marking.finished.wait()
                error = marking.error
                if error is not None and (
                    not isinstance(error, RedisUnavailableError) or self._loop.time() >= deadline
                ):
                    raise error
            if self.is_valid(subject):
                return
            marking = self.mark(stream, subject)

    async def _send_marks(self, bucket: tuple[str, int], marking: "Marking") -> None:
        await asyncio.sleep(0)  # those of the same step of the loop go together
        del self._pending[bucket]
        sent_at = self._loop.time()
        subjects = list(marking.subjects)
        try:
            replicas = self._client.config.wait_replicas
            await self._client.run(MARK, [keys.subjects_index(*bucket)], subjects, replicas=replicas)
        except (RedisFailedError, ReplyError) as exc:
            marking.error = exc
        except BaseException:
            marking.error = RedisClosedError("the transport is closed")
            raise
        else:
            self._turn(sent_at)
            for subject in subjects:
                self._marked[subject] = sent_at
        finally:
            marking.finished.set()

    def forget_marks(self) -> None:
        """A server may have lost what it was told: mark everything again."""
        self._marked, self._marked_before = {}, {}

    def _turn(self, now: float) -> None:
        """Forget old marks, in two generations: what is remembered is what was used in the last seconds."""
        if now - self._turned_at > VALID:
            self._marked_before, self._marked, self._turned_at = self._marked, {}, now

    # -- followers of patterns

    async def subjects(self, streams: Iterable[Stream], patterns: Iterable[str]) -> list[str]:
        """Every subject of these streams that one of the patterns covers; raises as the client does."""
        wanted = tuple(patterns)
        indexes = [keys.subjects_index(stream.name, bucket) for stream in streams for bucket in range(keys.BUCKETS)]
        pages = await asyncio.gather(*(self._members(index) for index in indexes))
        return [subject for page in pages for subject in page if any(matches(pattern, subject) for pattern in wanted)]

    async def _members(self, index: bytes) -> set[str]:
        found: set[str] = set()
        cursor: Any = b"0"
        while True:  # by cursor: a member that stays is found, whatever comes and goes meanwhile
            cursor, flat = await self._client.call("ZSCAN", index, cursor, "COUNT", _PAGE)
            found.update(member.decode() for member in flat[::2])
            if cursor == b"0":
                return found

    async def watch(self, patterns: Iterable[str], on_subject: OnSubject) -> "Watch":
        """Call ``on_subject`` for each subject of the patterns that appears or may have news, until ``unwatch``.

        It may be called for nothing, and it is for every subject that is new.
        """
        watch = Watch(tuple(patterns), on_subject)
        self._watches.add(watch)
        try:
            await self._listen(watch)
        except BaseException:
            self.unwatch(watch)
            raise
        return watch

    def unwatch(self, watch: "Watch") -> None:
        """Stop telling; safe to repeat."""
        self._watches.discard(watch)

    def streams_changed(self) -> None:
        """There may be more streams that a pattern touches."""
        if self._watches and (self._moving is None or self._moving.done()):
            self._moving = asyncio.get_running_loop().create_task(self._listen_again())

    async def _listen_again(self) -> None:
        for watch in list(self._watches):
            try:
                await self._listen(watch)
                streams = {s.name: s for p in watch.patterns for s in self._streams.overlapping(p)}
                for subject in await self.subjects(streams.values(), watch.patterns):
                    watch.on_subject(subject)
            except Exception as exc:  # noqa: BLE001  the look at what is in use finds what this did not
                logger.debug("new streams not joined: %s", exc)

    async def _listen(self, watch: "Watch") -> None:
        indexes = {
            keys.subjects_index(stream.name, bucket)
            for pattern in watch.patterns
            for stream in self._streams.overlapping(pattern)
            for bucket in range(keys.BUCKETS)
        }
        watch.indexes |= indexes
        fresh = indexes - self._listening
        self._listening |= fresh
        for index in fresh:
            self._polls.setdefault(index, "")
        with translated("follow subjects"):
            await asyncio.gather(*(self._channels.listen(index, self._announced) for index in fresh))
            await asyncio.gather(*(self._look(index) for index in fresh))

    def _announced(self, message: bytes | None) -> None:
        if message is None:
            return  # the next look finds what was missed
        self._tell(message.decode().split(" "), None)

    def _tell(self, subjects: list[str], index: bytes | None) -> None:
        for watch in tuple(self._watches):
            if index is not None and index not in watch.indexes:
                continue
            for subject in subjects:
                if any(matches(pattern, subject) for pattern in watch.patterns):
                    watch.on_subject(subject)

    async def _poll_forever(self) -> None:
        while True:
            await asyncio.sleep(self._client.config.poll_interval)
            wanted = set().union(*(watch.indexes for watch in self._watches)) if self._watches else set()
            for index in self._listening - wanted:
                self._listening.discard(index)
                self._polls.pop(index, None)
                self._channels.leave(index, self._announced)
            try:
                await asyncio.gather(*(self._look(index) for index in wanted))
            except Exception as exc:  # noqa: BLE001  the next look begins where this one began
                logger.debug("subjects not looked at: %s", exc)

    async def _look(self, index: bytes) -> None:
        now, found = await self._client.run(ACTIVE_SINCE, [index], [self._polls.get(index, "")])
        if found:
            self._tell([subject.decode() for subject in found], index)
        if index in self._polls:
            self._polls[index] = str(int(now) - _SLACK_MS)

    # -- forgetting

    async def _forget_forever(self) -> None:
        """Subjects whose messages are all gone leave the index, a page a minute and process."""
        while True:
            await asyncio.sleep(_FORGET_EVERY)
            try:
                await self.forget(_FORGET_AFTER_MS)
            except Exception as exc:  # noqa: BLE001  tried again in a minute
                logger.debug("subjects not forgotten: %s", exc)

    async def forget(self, unused_ms: int) -> int:
        """Drop subjects without messages that were not used for so long from the index; how many were dropped.

        A publisher that still relies on an old mark would have had to wait that long between its mark and its message.
        """
        dropped = 0
        border = self._client.now_ms() - unused_ms
        for stream in self._streams.overlapping(">"):
            for bucket in range(keys.BUCKETS):
                index = keys.subjects_index(stream.name, bucket)
                flat = await self._client.call("ZRANGEBYSCORE", index, "-inf", border, "WITHSCORES", "LIMIT", 0, _PAGE)
                for subject, score in zip(flat[::2], flat[1::2], strict=True):
                    names = keys.keys_of(subject.decode())
                    if not await self._client.call("EXISTS", names.stream, names.delayed):
                        dropped += await self._client.run(UNMARK, [index], [subject, score])
        return dropped


class Marking:
    """Marks that leave together: when they have arrived, or could not."""

    __slots__ = ("error", "finished", "subjects")

    def __init__(self) -> None:
        self.subjects: dict[str, None] = {}
        self.finished = asyncio.Event()
        self.error: Exception | None = None


class Watch:
    """A follower of patterns."""

    __slots__ = ("indexes", "on_subject", "patterns")

    def __init__(self, patterns: tuple[str, ...], on_subject: OnSubject) -> None:
        self.patterns, self.on_subject = patterns, on_subject
        self.indexes: set[bytes] = set()
