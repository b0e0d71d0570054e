"""``NatsTransport``: the contract of ``gbe.transport.base`` on JetStream. Each operation lives in a file of its own."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Final, Self

import msgspec

from gbe.envelope import Envelope
from gbe.errors import TransportClosedError, TransportError, TransportUnavailableError, UnsupportedEngineError
from gbe.ids import new_ulid
from gbe.subjects import check_pattern, check_subject
from gbe.transport import draining
from gbe.transport.base import (
    EARLIEST,
    LATEST,
    ConsumeOptions,
    Consumption,
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
    check_stream,
)
from gbe.transport.nats import wire
from gbe.transport.nats.config import NatsConfig
from gbe.transport.nats.connection import NatsConnection
from gbe.transport.nats.consumer import NatsConsumption
from gbe.transport.nats.errors import ApiError, NoRespondersError, NotPermittedError, translated
from gbe.transport.nats.groups import GroupRegistry
from gbe.transport.nats.history import History, rfc3339
from gbe.transport.nats.pages import Pages
from gbe.transport.nats.publisher import Publication, Publisher
from gbe.transport.nats.streams import StreamRegistry
from gbe.transport.nats.tail import NatsTail

logger = logging.getLogger(__name__)

MINIMUM_VERSION: Final = (2, 12, 0)
_LETTER_ROOM: Final = 16 * 1024  # headers, which the engine counts in, and what a dead letter says besides the payload
_TRIM_STEP: Final = 1_000  # sequences in one purge
_TRIM_PAUSE: Final = 0.01
_MOST_UNSENT: Final = 8 * 1024 * 1024  # bytes on their way to the engine, for what is not confirmed
_RESTORE_TIMEOUT: Final = 1.0


class _Purged(msgspec.Struct):
    purged: int = 0


class NatsTransport(Transport):
    """A transport on a NATS server or cluster; open it with ``await NatsTransport.open(config)``."""

    def __init__(self, config: NatsConfig) -> None:
        self.max_payload_size = config.max_payload_size
        self._config = config
        self._connection = NatsConnection(config)
        self._streams = StreamRegistry(self._connection)
        self._history = History(self._connection, self._streams)
        self._pages = Pages(self._streams, self._history)
        self._groups = GroupRegistry(self._connection, self._streams, self._history)
        self._members: set[NatsConsumption] = set()
        self._tails: set[NatsTail] = set()
        self._closing = self._closed = False
        self._closing_task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, config: NatsConfig) -> Self:
        """Connect and check the engine.

        Raises:
            TransportUnavailableError: no server answered in time.
            UnsupportedEngineError: the server is too old, runs without JetStream, or takes only smaller messages.
        """
        transport = cls(config)
        await transport._connection.open()
        try:
            await transport._check_engine()
        except BaseException:
            await transport._connection.close()
            raise
        transport._publisher = Publisher(transport._connection)
        return transport

    _publisher: Publisher

    async def _check_engine(self) -> None:
        version = self._connection.server_version
        if version < MINIMUM_VERSION:
            found, floor = (".".join(map(str, v)) for v in (version, MINIMUM_VERSION))
            raise UnsupportedEngineError(f"NATS server {found} is too old: gbe needs {floor} or newer")
        room, needed = self._connection.server_max_payload, _dead_letter_size(self.max_payload_size)
        if room < needed:
            raise UnsupportedEngineError(
                f"the NATS server takes {room} bytes a message; gbe needs {needed} for a payload of "
                f"{self.max_payload_size} and its dead letter: raise the server's max_payload or lower max_payload_size"
            )
        with translated("JetStream"):
            try:
                await self._connection.api("INFO")
            except (ApiError, NotPermittedError) as exc:
                raise UnsupportedEngineError(f"the NATS server has no JetStream for this account: {exc}") from exc
            except NoRespondersError as exc:
                raise UnsupportedEngineError("the NATS server runs without JetStream: switch it on") from exc

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
        if not durable:
            await self._publish_volatile(envelope, seconds)
            return envelope.id
        return await self._store(envelope, idempotency_key, due, seconds)

    async def _store_letter(self, subject: str, payload: bytes, idempotency_key: str, traceparent: str | None) -> None:
        """Publish a dead letter, which may be larger than what users publish."""
        self._check_open()
        envelope = Envelope(new_ulid(), subject, time.time_ns() // 1_000_000, payload, traceparent)
        await self._store(envelope, idempotency_key, None, self._config.publish_timeout)

    async def _store(
        self, envelope: Envelope, idempotency_key: str | None, deliver_at: int | None, seconds: float
    ) -> str:
        deadline = time.monotonic() + seconds
        subject, id = envelope.subject, envelope.id
        stream = self._streams.known(subject) or await self._stream_of(subject, seconds)
        headers = wire.header_lines(envelope, idempotency_key)
        if deliver_at is not None:
            target = wire.scheduled(subject, id)
            headers += (
                f"Nats-Schedule: @at {rfc3339(deliver_at)}\r\nNats-Schedule-Target: {subject}\r\nNats-TTL: never\r\n"
            )
            publication, batch_key = Publication(envelope, target, headers, deadline), None
        else:
            publication = Publication(envelope, subject, headers, deadline)
            batch_key = stream if self._config.group_commit else None
        try:
            first = await self._publisher.publish(publication, batch_key)
        except TransportUnavailableError:
            await self._restore(stream)  # for those that follow
            raise
        if first and idempotency_key is not None:
            stored = await self._history.at(stream, first)
            if stored is not None:
                return stored.envelope.id
        return id

    async def waiting(self, subject: str, *, limit: int = 1000) -> list[Envelope]:
        check_subject(subject)
        self._check_open()
        stream = await self._stream_of(subject, self._config.request_timeout)
        return await self._history.waiting(stream, subject, limit)

    async def withdraw(self, subject: str, message_id: str) -> bool:
        check_subject(subject)
        target = wire.scheduled(subject, check_message_id(message_id))
        self._check_open()
        stream = await self._stream_of(subject, self._config.request_timeout)
        with translated(f"withdraw from {subject}"):
            data = await self._connection.api(f"STREAM.PURGE.{stream}", {"filter": target})
        if not msgspec.json.decode(data, type=_Purged).purged:
            return False
        await self._pass(subject)
        return await self._history.locate(subject, message_id) is None

    async def _pass(self, subject: str) -> None:
        """Return when the stream has stored whatever it had taken in before.

        A message whose time has come may be on its way from its waiting place to its subject while that place is
        purged. What is published now is stored after it, so its confirmation says that the other one has arrived.
        """
        seconds = self._config.publish_timeout
        marker = Envelope(new_ulid(), subject, time.time_ns() // 1_000_000, b"")
        headers = f"{wire.header_lines(marker)}Nats-TTL: 1s\r\n"
        target = wire.scheduled(subject, marker.id)
        await self._publisher.publish(Publication(marker, target, headers, time.monotonic() + seconds), None)

    async def _restore(self, stream: str) -> None:
        """Make a stream anew that was deleted; best effort, since its caller has waited long enough."""
        if self._connection.is_connected:
            with suppress(TransportError, TimeoutError):
                async with asyncio.timeout(_RESTORE_TIMEOUT):
                    await self._streams.restore(stream)

    async def _stream_of(self, subject: str, seconds: float) -> str:
        try:
            async with asyncio.timeout(seconds):
                return await self._streams.of_subject(subject)
        except TimeoutError as exc:
            raise TransportUnavailableError(f"publish on {subject}: the engine did not answer in time") from exc

    async def _publish_volatile(self, envelope: Envelope, seconds: float) -> None:
        """Straight to the live tails; waits for a connection, as every publish does."""
        deadline = time.monotonic() + seconds
        while not self._connection.is_connected or self._connection.unsent_bytes > _MOST_UNSENT:
            if time.monotonic() >= deadline:
                raise TransportUnavailableError(f"publish on {envelope.subject}: no connection to the engine")
            await asyncio.sleep(0.02)
        headers = wire.header_lines(envelope)
        self._connection.write(wire.frame(f"{wire.VOLATILE}.{envelope.subject}", "", headers, envelope.payload))
        await asyncio.sleep(0)  # nothing else waits here, and what is queued leaves between two turns of the loop

    # -- consume, tail, read

    def consume(self, pattern: str, group: str, options: ConsumeOptions | None = None) -> Consumption:
        check_pattern(pattern)
        check_group(group)
        self._check_open()
        if self._closing:
            raise TransportClosedError("the transport is closing")
        member = NatsConsumption(
            self._connection,
            self._groups,
            pattern,
            group,
            options or ConsumeOptions(),
            self._store_letter,
            self._members.discard,
        )
        self._members.add(member)
        return member

    def tail(self, patterns: Sequence[str], start: Start = LATEST) -> Tail:
        for pattern in patterns:
            check_pattern(pattern)
        self._check_open()
        if self._closing:
            raise TransportClosedError("the transport is closing")
        tail = NatsTail(self._connection, self._streams, self._history, patterns, start, self._tails.discard)
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

    async def stream_life(self, subject: str) -> str:
        check_subject(subject)
        self._check_open()
        return await self._streams.created(await self._streams.of_subject(subject))

    async def ensure_stream(self, config: StreamConfig) -> None:
        self._check_open()
        await self._streams.ensure(config)

    async def streams(self) -> list[StreamConfig]:
        self._check_open()
        return await self._streams.all()

    async def stream_figures(self, name: str) -> StreamFigures:
        self._check_open()
        check_stream(name)
        state = await self._streams.state(name)
        # not the stream's own first message: that may be one that waits for its time
        times = [await self._history.stored_at(name, pattern, 1) for pattern in state.config.subjects]
        oldest = min((time for time in times if time is not None), default=None)
        return StreamFigures(state.messages, state.bytes, oldest)

    async def memberships(self, name: str) -> list[Membership]:
        self._check_open()
        check_stream(name)
        await self._streams.state(name)
        return await self._groups.memberships(name)

    async def subjects(self, pattern: str) -> list[str]:
        check_pattern(pattern)
        self._check_open()
        found: list[str] = []
        for stream in await self._streams.overlapping(pattern):
            found += await self._streams.subjects(stream, pattern)
        return found

    async def trim(self, subject: str, before: int, *, through: Position | None = None) -> int:
        check_subject(subject)
        self._check_open()
        stream = await self._streams.of_subject(subject)
        # in this order: what is stored between the two questions is newer than the first answer, and stays
        newest = await self._history.last_sequence(subject)
        keep_from = await self._history.first_sequence_since(subject, before)
        if keep_from is None:
            keep_from = newest + 1
        floor = await self._groups.acknowledged_floor(stream, subject)
        sequence = keep_from if floor is None else min(keep_from, floor)
        if through is not None:
            sequence = min(sequence, through.major + 1)
        removed = 0
        while (first := await self._history.first_sequence(stream, subject)) is not None and first < sequence:
            # the engine stores nothing meanwhile, so a step is short
            upto = min(sequence, first + _TRIM_STEP)
            with translated(f"trim {subject}"):
                # "seq": everything of the filter below this sequence
                data = await self._connection.api(f"STREAM.PURGE.{stream}", {"filter": subject, "seq": upto})
            removed += msgspec.json.decode(data, type=_Purged).purged
            if upto < sequence:
                await asyncio.sleep(_TRIM_PAUSE)
        return removed

    async def lag(self, pattern: str, group: str) -> Lag:
        check_pattern(pattern)
        check_group(group)
        self._check_open()
        return await self._groups.lag(pattern, group)

    # -- life

    async def ping(self) -> float:
        self._check_open()
        started = time.perf_counter()
        await self._connection.flush()
        return time.perf_counter() - started

    async def close(self) -> None:
        # one closing for all callers: one that is cancelled must not leave it half done
        if self._closing_task is None:
            self._closing = True
            self._closing_task = asyncio.get_running_loop().create_task(self._close(), name="gbe.nats.close")
        await asyncio.shield(self._closing_task)

    async def _close(self) -> None:
        async with AsyncExitStack() as stack:  # each step, whatever becomes of the others
            stack.push_async_callback(self._connection.close)
            stack.push_async_callback(self._publisher.close)
            stack.callback(setattr, self, "_closed", True)  # a handler that ends until then may have to publish
            for member in list(self._members):
                stack.push_async_callback(member.stop)
            for tail in list(self._tails):
                stack.push_async_callback(tail.close)
            await asyncio.gather(*(member.drain(draining.DRAIN_TIMEOUT) for member in list(self._members)))

    def _check_open(self) -> None:
        if self._closed:
            raise TransportClosedError("the transport is closed")


def _dead_letter_size(payload_size: int) -> int:
    """What the engine must take so that the largest message can be given up: its payload becomes base64."""
    return payload_size * 4 // 3 + _LETTER_ROOM
