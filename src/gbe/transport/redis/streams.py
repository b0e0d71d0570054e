"""Which streams there are. Redis has one stream for each subject and no limits of its own, so a retention class is an
entry in a hash, and what it asks for is applied by the scripts that write and read."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from gbe.errors import StreamConfigError, StreamNotFoundError
from gbe.redis.channels import Channels
from gbe.redis.client import RedisClient
from gbe.subjects import matches, overlaps
from gbe.transport.base import StreamConfig
from gbe.transport.redis import keys
from gbe.transport.redis.errors import translated
from gbe.transport.redis.scripts import PUT_STREAM

logger = logging.getLogger(__name__)

EXPIRY_SLACK_MS: Final = 60_000
"""A subject's stream vanishes so long after its newest message is too old."""

_MOST_CACHED: Final = 65_536
_RELOAD_EVERY: Final = 5.0
_TRIES: Final = 50


class Stream:
    """A configured stream, with its figures in the form that scripts take."""

    __slots__ = ("age_ms", "config", "expire_ms", "is_limited", "name", "window_ms")

    def __init__(self, config: StreamConfig) -> None:
        self.config, self.name = config, config.name
        self.age_ms = 0 if config.max_age is None else max(1, round(config.max_age * 1000))
        self.expire_ms = 0 if config.max_age is None else self.age_ms + EXPIRY_SLACK_MS
        self.window_ms = max(1, round(config.dedup_window * 1000))
        self.is_limited = config.max_msgs is not None or config.max_bytes is not None

    def overlaps(self, pattern: str) -> bool:
        """Whether it stores some subject of the pattern."""
        return any(overlaps(own, pattern) for own in self.config.subjects)


class StreamRegistry:
    """The streams of the engine, as this process knows them: read anew when another process changes one."""

    def __init__(self, client: RedisClient, channels: Channels) -> None:
        self._client, self._channels = client, channels
        self._raw: dict[bytes, bytes] = {}
        self._streams: dict[str, Stream] = {}
        self._of_subject: dict[str, Stream] = {}
        self._loading: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self.on_change: Callable[[], None] = lambda: None

    async def open(self) -> None:
        """Read the streams and listen for changes."""
        with translated("read the streams"):
            await self._channels.listen(keys.STREAMS, self._changed)
            await self._load()
        self._refreshing = asyncio.get_running_loop().create_task(self._keep_fresh(), name="gbe.redis.streams")

    async def close(self) -> None:
        """Stop reading."""
        for task in (self._refreshing, self._loading):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def of_subject(self, subject: str) -> Stream:
        """The stream that stores a subject; ``StreamNotFoundError`` if none does."""
        found = self.known(subject)
        if found is None:
            with translated(f"find the stream of {subject}"):
                await self._load()
            found = self.known(subject)
            if found is None:
                raise StreamNotFoundError(subject)
        return found

    def known(self, subject: str) -> Stream | None:
        """The same as far as is known, without asking."""
        found = self._of_subject.get(subject)
        if found is None:
            for stream in self._streams.values():
                if any(matches(pattern, subject) for pattern in stream.config.subjects):
                    if len(self._of_subject) >= _MOST_CACHED:
                        self._of_subject.clear()
                    self._of_subject[subject] = stream
                    return stream
        return found

    async def all(self) -> list[Stream]:
        """Every stream, by name, asked for now."""
        with translated("read the streams"):
            await self._load()
        return [self._streams[name] for name in sorted(self._streams)]

    async def named(self, name: str) -> Stream:
        """A stream; ``StreamNotFoundError`` if there is none of this name."""
        if name not in self._streams:
            await self.all()
        if name not in self._streams:
            raise StreamNotFoundError(name)
        return self._streams[name]

    async def required(self, pattern: str) -> list[Stream]:
        """The streams that a pattern touches; ``StreamNotFoundError`` if there are none."""
        found = self.overlapping(pattern)
        if not found:
            with translated(f"find the streams of {pattern}"):
                await self._load()
            found = self.overlapping(pattern)
            if not found:
                raise StreamNotFoundError(pattern)
        return found

    def overlapping(self, pattern: str) -> list[Stream]:
        """The streams that a pattern touches, as far as is known."""
        return [stream for stream in self._streams.values() if stream.overlaps(pattern)]

    async def ensure(self, config: StreamConfig) -> StreamConfig | None:
        """Write a configuration; what was there before, or ``None``. See ``Transport.ensure_stream``."""
        encoded = _encode(config)
        self._check_replicas(config)
        for _ in range(_TRIES):
            await self._load()
            name = config.name.encode()
            before = self._raw.get(name)
            old = _decode(before) if before is not None else None
            if old is not None and old.storage != config.storage:
                raise StreamConfigError(
                    f"stream {config.name}: storage is {old.storage} and cannot become {config.storage}"
                )
            for other in self._streams.values():
                if other.name == config.name:
                    continue
                clash = [pattern for pattern in config.subjects if other.overlaps(pattern)]
                if clash:
                    raise StreamConfigError(f"stream {config.name}: {clash[0]} overlaps with stream {other.name}")
            if before == encoded:
                return old
            with translated(f"configure stream {config.name}"):
                arguments = (name, before or b"", len(self._raw), encoded)
                if await self._client.run(PUT_STREAM, [keys.STREAMS], arguments):
                    await self._load()
                    return old
        raise StreamConfigError(f"stream {config.name}: other processes keep changing the streams; try again")

    def _check_replicas(self, config: StreamConfig) -> None:
        copies = 1 + self._client.topology.replicas
        if config.replicas > copies:
            raise StreamConfigError(
                f"stream {config.name}: replicas is {config.replicas}, but this Redis keeps {copies} "
                f"cop{'y' if copies == 1 else 'ies'} of each message"
            )

    async def _load(self) -> None:
        flat: list[bytes] = await self._client.call("HGETALL", keys.STREAMS)
        raw = dict(zip(flat[::2], flat[1::2], strict=True))
        if raw == self._raw:
            return
        self._raw = raw
        self._streams = {name.decode(): Stream(_decode(value)) for name, value in raw.items()}
        self._of_subject = {}
        self.on_change()

    def _changed(self, message: bytes | None) -> None:  # noqa: ARG002  whatever changed, all of it is read
        if self._loading is None or self._loading.done():
            self._loading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        try:
            await asyncio.sleep(0.01)  # several changes at once are read once
            with translated("read the streams"):
                await self._load()
        except Exception as exc:  # noqa: BLE001  tried again soon
            logger.debug("streams not read: %s", exc)

    async def _keep_fresh(self) -> None:
        """An announcement may be missed."""
        while True:
            await asyncio.sleep(_RELOAD_EVERY)
            await self._reload()


def _encode(config: StreamConfig) -> bytes:
    return msgspec.json.encode(config)


def _decode(raw: bytes) -> StreamConfig:
    return msgspec.json.decode(raw, type=StreamConfig)
