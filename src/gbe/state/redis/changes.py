"""Watching: hints by sharded publish/subscribe, numbered by bucket, and a log of what changed last.

A hint that does not follow its predecessor, or a connection that was lost, means that hints may be missing; then the
bucket's log says what changed since. Only when that does not reach back far enough, nobody knows, and watchers are
told so. Every bucket is also looked at now and then, which ends the records whose time is over.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Final, Self

from gbe.errors import StateClosedError, StateError, StateUnavailableError
from gbe.redis.channels import Channels
from gbe.redis.client import RedisClient
from gbe.state.base import Event, Watch, covers
from gbe.state.feed import DirtyKeys, Read, watch_outage
from gbe.state.redis import scripts
from gbe.state.redis.errors import as_state
from gbe.state.redis.keys import Bucket, Buckets

logger = logging.getLogger(__name__)

_LOOK_INTERVAL: Final = 2.0
_RETRY_PAUSE: Final = 0.1


class _BucketFeed:
    """What is known of one bucket's changes."""

    __slots__ = ("bucket", "known", "listener", "must_look")

    def __init__(self, bucket: Bucket, hear: "Callable[[_BucketFeed, bytes | None], None]") -> None:
        self.bucket = bucket
        self.known = -1  # the last change that watchers were told of
        self.must_look = False
        self.listener: Callable[[bytes | None], None] = lambda message: hear(self, message)


class ChangeFeed:
    """Tells the watches of one store what changed; listens only while there are some."""

    def __init__(self, client: RedisClient, buckets: Buckets, indexes: str) -> None:
        self._client, self._indexes = client, indexes
        self._channels = Channels(client)
        self._feeds = [_BucketFeed(bucket, self._hear) for bucket in buckets.all]
        self._watchers: dict[DirtyKeys, str] = {}
        self._starting = asyncio.Lock()
        self._wake = asyncio.Event()
        self.outage = watch_outage(logger)
        self._task: asyncio.Task[None] | None = None

    async def add(self, watcher: DirtyKeys, prefix: str) -> None:
        """Tell a watcher of every change from the moment this returns."""
        async with self._starting:
            if self._task is None:
                await self._start()
        self._watchers[watcher] = prefix

    async def _start(self) -> None:
        try:
            with as_state("watch"):
                async with asyncio.TaskGroup() as group:
                    for feed in self._feeds:
                        group.create_task(self._channels.listen(feed.bucket.channel, feed.listener))
            for feed in self._feeds:
                feed.known = -1
            await asyncio.gather(*(self._look(feed) for feed in self._feeds))
        except BaseException as exc:
            self._leave()
            if isinstance(exc, ExceptionGroup):
                raise StateUnavailableError(f"watch: {exc.exceptions[0]}") from exc
            raise
        self._task = asyncio.get_running_loop().create_task(self._run(), name="gbe.state.changes")

    def _leave(self) -> None:
        for feed in self._feeds:
            self._channels.leave(feed.bucket.channel, feed.listener)

    def remove(self, watcher: DirtyKeys) -> None:
        """Tell it no more."""
        self._watchers.pop(watcher, None)
        if not self._watchers and self._task is not None:
            self._task.cancel()
            self._task = None
            self._leave()

    async def close(self) -> None:
        """Listen to nothing more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._channels.close()

    # -- what is heard

    def _hear(self, feed: _BucketFeed, message: bytes | None) -> None:
        if message is not None and feed.known >= 0:
            number, _, key = message.partition(b" ")
            sequence = int(number)
            if sequence <= feed.known:
                return
            if sequence == feed.known + 1:
                feed.known = sequence
                self._tell(key.decode())
                return
        feed.must_look = True
        self._wake.set()

    def _tell(self, key: str) -> None:
        for watcher, prefix in self._watchers.items():
            if covers(prefix, key):
                watcher.add(key)

    async def _look(self, feed: _BucketFeed) -> None:
        """Ask a bucket what changed since the last change that is known."""
        bucket, known = feed.bucket, feed.known
        with as_state("watch"):
            last, is_complete, *keys = await self._client.run(
                scripts.LOOK, [bucket.named("seq"), bucket.named("log")], [bucket.tag, self._indexes, known]
            )
        if last < known or not is_complete:  # the server lost something, or we were away for too long
            for watcher in self._watchers:
                watcher.resynchronise()
        elif last <= feed.known:  # hints came meanwhile, or nothing has changed
            return
        feed.known = last
        for key in keys:
            self._tell(key.decode())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        next_round = loop.time() + _LOOK_INTERVAL
        while True:
            try:
                async with asyncio.timeout_at(next_round):
                    await self._wake.wait()
            except TimeoutError:
                next_round = loop.time() + _LOOK_INTERVAL
                for feed in self._feeds:
                    feed.must_look = True
            self._wake.clear()
            wanted = [feed for feed in self._feeds if feed.must_look]
            is_waiting = False
            for feed in wanted:
                feed.must_look = False
            for feed, error in zip(
                wanted, await asyncio.gather(*map(self._look, wanted), return_exceptions=True), strict=True
            ):
                if isinstance(error, StateClosedError):
                    return
                if isinstance(error, StateError):
                    self.outage.failed(error)
                    feed.must_look = is_waiting = True
                elif error is not None:
                    raise error
            if wanted and not is_waiting:
                self.outage.over()
            if any(feed.must_look for feed in self._feeds):
                await asyncio.sleep(_RETRY_PAUSE)
                self._wake.set()


class RedisWatch(Watch):
    """One watcher."""

    def __init__(self, feed: ChangeFeed, prefix: str, read: Read, on_close: "Callable[[RedisWatch], object]") -> None:
        self._feed, self._prefix, self._read, self._on_close = feed, prefix, read, on_close
        self._dirty = DirtyKeys()

    async def __aenter__(self) -> Self:
        try:
            await self._feed.add(self._dirty, self._prefix)
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration."""
        self._feed.remove(self._dirty)
        self._dirty.close()
        self._on_close(self)

    async def __aiter__(self) -> AsyncIterator[Event]:
        async for event in self._dirty.events(self._patient_read):
            yield event

    async def _patient_read(self, key: str) -> dict[str, bytes] | None:
        while True:
            try:
                return await self._read(key)
            except StateUnavailableError as exc:
                self._feed.outage.failed(exc)
                await asyncio.sleep(_RETRY_PAUSE)
