"""``RedisTransport``: the contract of ``gbe.transport.base`` on Redis Streams. Each operation has a file of its own."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final, Self, cast

from gbe.envelope import Envelope
from gbe.errors import TransportClosedError, TransportUnavailableError
from gbe.ids import new_ulid
from gbe.redis.channels import Channels
from gbe.redis.client import RedisClient
from gbe.redis.config import RedisConfig
from gbe.redis.protocol import Argument
from gbe.subjects import check_pattern, check_subject
from gbe.transport import draining
from gbe.transport.base import (
    EARLIEST,
    LATEST,
    ConsumeOptions,
    Consumption,
    Delivery,
    Lag,
    Membership,
    Page,
    Position,
    Start,
    Stop,
    StoredMessage,
    StreamConfig,
    StreamFigures,
    Tail,
    Transport,
    check_group,
    check_message_id,
)
from gbe.transport.redis import keys, wire
from gbe.transport.redis.activity import Activity
from gbe.transport.redis.consumer import RedisConsumption, RedisDelivery, acknowledge_all
from gbe.transport.redis.delays import Delays
from gbe.transport.redis.errors import translated
from gbe.transport.redis.groups import Groups
from gbe.transport.redis.history import History
from gbe.transport.redis.limits import Limits
from gbe.transport.redis.pages import Pages
from gbe.transport.redis.publisher import Publication, Publisher
from gbe.transport.redis.scripts import EVICT, FIGURES, TRIM, UNSTORED
from gbe.transport.redis.streams import Stream, StreamRegistry
from gbe.transport.redis.tail import RedisTail
from gbe.transport.redis.wakes import Wakes

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 500
_TRIM_STEP: Final = 5_000  # entries in one script
_TRIM_PAUSE: Final = 0.01


class RedisTransport(Transport):
    """A transport on a Redis server or cluster; open it with ``await RedisTransport.open(config)``."""

    native_retention = False

    def __init__(self, client: RedisClient) -> None:
        self.max_payload_size = client.config.max_payload_size
        self._config, self._client = client.config, client
        self._channels = Channels(client)
        self._streams = StreamRegistry(client, self._channels)
        self._activity = Activity(client, self._channels, self._streams)
        self._limits = Limits(client)
        self._history = History(client, self._streams)
        self._pages = Pages(client, self._streams, self._activity, self._history)
        self._groups = Groups(client, self._streams, self._activity, self._history)
        self._wakes = Wakes(self._channels, client.config.poll_interval)
        self._delays = Delays(client, self._streams, self._activity, self._limits)
        self._publisher = Publisher(client, self._activity, self._limits)
        self._members: set[RedisConsumption] = set()
        self._tails: set[RedisTail] = set()
        self._closing = self._closed = False
        self._closing_task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, config: RedisConfig) -> Self:
        """Connect and check the engine.

        Raises:
            TransportUnavailableError: no server answered in time.
            UnsupportedEngineError: the server is too old, refuses the credentials, or is a cluster where a single
                server was named (or the other way round).
        """
        with translated("connect to Redis", opening=True):
            client = await RedisClient.open(config)
        transport = cls(client)
        try:
            with translated("connect to Redis", opening=True):
                await transport._streams.open()
        except BaseException:
            await transport.close()
            raise
        having = client.topology.replicas
        if having < config.wait_replicas:
            logger.warning(
                "redis.wait_replicas is %d, and a master has %d: nothing is confirmed until it has more",
                config.wait_replicas,
                having,
            )
        transport._streams.on_change = transport._activity.streams_changed
        transport._activity.open()
        transport._delays.open()
        return transport

    # -- publish

    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        id: str | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
        deliver_at: int | None = None,
        durable: bool = True,
        timeout: float | None = None,
    ) -> str:
        envelope, due = self._draft(
            subject,
            payload,
            id=id,
            idempotency_key=idempotency_key,
            traceparent=traceparent,
            deliver_at=deliver_at,
            now_ms=time.time_ns() // 1_000_000,
        )
        self._check_open()
        seconds = self._config.publish_timeout if timeout is None else timeout
        deadline = asyncio.get_running_loop().time() + seconds
        stream = self._streams.known(subject) or await self._stream_of(subject, seconds)
        if not durable:
            await self._publish_unstored(stream, envelope, seconds)
            return envelope.id
        if due is not None:
            with translated(f"publish on {subject}"):
                return await self._delays.add(stream, envelope, due, idempotency_key, seconds)
        return await self._store(stream, envelope, idempotency_key, deadline)

    async def _store(self, stream: Stream, envelope: Envelope, idempotency_key: str | None, deadline: float) -> str:
        names = keys.keys_of(envelope.subject)
        records = names.dedup_records(envelope.id, idempotency_key)
        return await self._publisher.publish(Publication(envelope, stream, records, deadline))

    async def _store_letter(self, subject: str, payload: bytes, idempotency_key: str, traceparent: str | None) -> None:
        """Publish a dead letter, which may be larger than what users publish."""
        self._check_open()
        envelope = Envelope(new_ulid(), subject, time.time_ns() // 1_000_000, payload, traceparent)
        stream = await self._streams.of_subject(subject)
        deadline = asyncio.get_running_loop().time() + self._config.publish_timeout
        await self._store(stream, envelope, idempotency_key, deadline)

    async def _stream_of(self, subject: str, seconds: float) -> Stream:
        try:
            async with asyncio.timeout(seconds):
                return await self._streams.of_subject(subject)
        except TimeoutError as exc:
            raise TransportUnavailableError(f"publish on {subject}: the engine did not answer in time") from exc

    async def _publish_unstored(self, stream: Stream, envelope: Envelope, seconds: float) -> None:
        """Straight to the live tails: over the subject's channel, and over one for those who follow patterns."""
        message = wire.unstored_message(envelope)
        names = keys.keys_of(envelope.subject)
        channel = keys.unstored_channel(stream.name, names.bucket)
        deadline = asyncio.get_running_loop().time() + seconds
        with translated(f"publish on {envelope.subject}"):
            place = await self._client.run(UNSTORED, [names.stream], [message], timeout=seconds)
            left = deadline - asyncio.get_running_loop().time()
            await self._client.call("SPUBLISH", channel, wire.placed(place, message), timeout=left)

    async def waiting(self, subject: str, *, limit: int = 1000) -> list[Envelope]:
        check_subject(subject)
        self._check_open()
        await self._stream_of(subject, self._config.request_timeout)
        with translated(f"look at what waits on {subject}"):
            return await self._delays.waiting(subject, limit)

    async def withdraw(self, subject: str, message_id: str) -> bool:
        check_subject(subject)
        check_message_id(message_id)
        self._check_open()
        await self._stream_of(subject, self._config.request_timeout)
        with translated(f"withdraw from {subject}"):
            return await self._delays.withdraw(subject, message_id)

    # -- consume, tail, read

    def consume(self, pattern: str, group: str, options: ConsumeOptions | None = None) -> Consumption:
        check_pattern(pattern)
        check_group(group)
        self._check_not_closing()
        member = RedisConsumption(
            self._client,
            self._streams,
            self._groups,
            self._activity,
            self._wakes,
            pattern,
            group,
            options or ConsumeOptions(),
            self._store_letter,
            self._members.discard,
        )
        self._members.add(member)
        return member

    async def ack_all(self, deliveries: Sequence[Delivery]) -> None:
        acknowledge_all(cast("Sequence[RedisDelivery]", deliveries))

    def tail(self, patterns: Sequence[str], start: Start = LATEST) -> Tail:
        for pattern in patterns:
            check_pattern(pattern)
        self._check_not_closing()
        tail = RedisTail(
            self._client,
            self._channels,
            self._streams,
            self._activity,
            self._wakes,
            self._history,
            patterns,
            start,
            self._tails.discard,
        )
        self._tails.add(tail)
        return tail

    async def read(
        self, subject: str, *, start: Start = EARLIEST, stop: Stop | None = None, limit: int = 1000
    ) -> list[StoredMessage]:
        check_subject(subject)
        self._check_open()
        return await self._history.read(subject, start, stop, limit)

    async def read_page(
        self, patterns: Sequence[str], *, start: Start = EARLIEST, cursor: str | None = None, limit: int = 1000
    ) -> Page:
        for pattern in patterns:
            check_pattern(pattern)
        self._check_open()
        return await self._pages.read(patterns, start, cursor, limit)

    async def locate(self, subject: str, message_id: str) -> Position | None:
        check_subject(subject)
        self._check_open()
        return await self._history.locate(subject, message_id)

    # -- streams

    async def ensure_stream(self, config: StreamConfig) -> None:
        self._check_open()
        with translated(f"configure stream {config.name}"):
            before = await self._streams.ensure(config)
            if before is None or before == config:
                if config.max_msgs is not None or config.max_bytes is not None:
                    await self._limits.open_ledger(Stream(config), [])
                return
            await self._apply(Stream(config), before)

    async def _apply(self, stream: Stream, before: StreamConfig) -> None:
        """Bring what is stored to changed limits."""
        was_limited = before.max_msgs is not None or before.max_bytes is not None
        if stream.config.max_age != before.max_age or (stream.is_limited and not was_limited):
            subjects = await self._activity.subjects([stream], stream.config.subjects)
            if stream.config.max_age != before.max_age:
                for begin in range(0, len(subjects), _AT_ONCE):
                    await asyncio.gather(*(self._apply_age(stream, one) for one in subjects[begin : begin + _AT_ONCE]))
            if stream.is_limited and not was_limited:
                await self._limits.open_ledger(stream, subjects)
        if stream.is_limited:
            await self._limits.account(stream, [])
        elif was_limited:
            await self._limits.close_ledger(stream)

    async def _apply_age(self, stream: Stream, subject: str) -> None:
        name = keys.keys_of(subject).stream
        if not stream.expire_ms:
            await self._client.call("PERSIST", name)
            return
        await self._client.call("PEXPIRE", name, stream.expire_ms)
        await self._client.run(EVICT, [name], [f"{self._client.now_ms() - stream.age_ms}-0"])

    async def streams(self) -> list[StreamConfig]:
        self._check_open()
        return [stream.config for stream in await self._streams.all()]

    async def stream_figures(self, name: str) -> StreamFigures:
        self._check_open()
        stream = await self._streams.named(name)
        with translated(f"look at stream {name}"):
            subjects = await self._activity.subjects([stream], stream.config.subjects)
            messages = size = 0
            times: list[int] = []
            for begin in range(0, len(subjects), _AT_ONCE):
                some = subjects[begin : begin + _AT_ONCE]
                names = (keys.keys_of(subject).stream for subject in some)
                for count, taken, oldest in await asyncio.gather(*(self._client.run(FIGURES, [n], []) for n in names)):
                    messages, size = messages + count, size + taken
                    if oldest:
                        times.append(oldest)
        return StreamFigures(messages, size, min(times, default=None))

    async def memberships(self, name: str) -> list[Membership]:
        self._check_open()
        stream = await self._streams.named(name)
        with translated(f"look at stream {name}"):
            return await self._groups.of_stream(stream)

    async def subjects(self, pattern: str) -> list[str]:
        check_pattern(pattern)
        self._check_open()
        with translated(f"subjects of {pattern}"):
            return await self._activity.subjects(self._streams.overlapping(pattern), [pattern])

    async def trim(self, subject: str, before: int, *, through: Position | None = None) -> int:
        check_subject(subject)
        self._check_open()
        stream = await self._streams.of_subject(subject)
        await self._answered()
        with translated(f"trim {subject}"):
            required = await self._groups.names_on(stream, subject)
            border = Position(max(0, before))
            if through is not None:
                border = min(border, Position(through.major, through.minor + 1))
            removed: int = 0
            while True:
                arguments: list[Argument] = [wire.entry_id(border), _TRIM_STEP, *required]
                gone, is_done = await self._client.run(TRIM, [keys.keys_of(subject).stream], arguments)
                removed += gone
                if is_done:
                    return removed
                await asyncio.sleep(_TRIM_PAUSE)

    async def lag(self, pattern: str, group: str) -> Lag:
        check_pattern(pattern)
        check_group(group)
        self._check_open()
        await self._answered()
        return await self._groups.lag(pattern, group)

    async def _answered(self) -> None:
        """What members of this process have answered counts from now on."""
        for member in list(self._members):
            await member.answered()

    # -- life

    async def ping(self) -> float:
        self._check_open()
        await self._answered()
        started = time.perf_counter()
        with translated("ping"):
            for address in self._client.topology.masters:
                await self._client.call_on(address, "PING")
        return time.perf_counter() - started

    async def close(self) -> None:
        # one closing for all callers: one that is cancelled must not leave it half done
        if self._closing_task is None:
            self._closing = True
            self._closing_task = asyncio.get_running_loop().create_task(self._close(), name="gbe.redis.close")
        await asyncio.shield(self._closing_task)

    async def _close(self) -> None:
        async with AsyncExitStack() as stack:  # each step, whatever becomes of the others
            stack.push_async_callback(self._client.close)
            stack.push_async_callback(self._channels.close)
            stack.push_async_callback(self._wakes.close)
            stack.push_async_callback(self._streams.close)
            stack.push_async_callback(self._activity.close)
            stack.push_async_callback(self._delays.close)
            stack.push_async_callback(self._publisher.close)
            stack.callback(setattr, self, "_closed", True)  # a handler that ends until then may have to publish
            for tail in list(self._tails):
                stack.callback(tail.close)
            await asyncio.gather(*(member.drain(draining.DRAIN_TIMEOUT) for member in list(self._members)))

    def _check_open(self) -> None:
        if self._closed:
            raise TransportClosedError("the transport is closed")

    def _check_not_closing(self) -> None:
        if self._closing:
            raise TransportClosedError("the transport is closed")
