"""``MemoryTransport``: the whole contract in process, for tests and examples.

Nothing outlives the engine object. Time is real unless a ``ManualClock`` is given (see ``MemoryEngine.tick``).
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Final, Self

from gbe.clock import Clock
from gbe.envelope import Envelope
from gbe.errors import InvalidCursorError, TransportClosedError
from gbe.subjects import check_pattern, check_subject, matches
from gbe.transport import draining
from gbe.transport.base import (
    EARLIEST,
    LATEST,
    AfterPosition,
    BeforeTime,
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
    UpTo,
    check_group,
    check_message_id,
)
from gbe.transport.memory_engine import ExpiringDelivery, Group, Hold, MemoryEngine
from gbe.transport.memory_log import Cursor, MemoryLog, Waiter
from gbe.transport.memory_streams import Entry
from gbe.transport.merge import PAGE_BYTES

DEFAULT_MAX_PAYLOAD_SIZE: Final = 1024 * 1024
_VOLATILE_BUFFER: Final = 4096  # messages that are not stored wait so many deep for a slow reader, no deeper


class MemoryTransport(Transport):
    """A transport in process.

    Args:
        engine: shared by all clients that model processes of one deployment; ``None`` makes an engine of its own.
        clock: of the engine that is made; give the engine its clock if you bring one.
        max_payload_size: bytes a payload may have.
    """

    def __init__(
        self,
        engine: MemoryEngine | None = None,
        *,
        clock: Clock | None = None,
        max_payload_size: int = DEFAULT_MAX_PAYLOAD_SIZE,
    ) -> None:
        self.max_payload_size = max_payload_size
        self.engine = engine or MemoryEngine(clock)
        self._log = self.engine.log
        self._log.attach()
        self._members: set[MemoryConsumption] = set()
        self._tails: set[MemoryTail] = set()
        self._closing = self._closed = False

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
        timeout: float | None = None,  # noqa: ARG002  nothing here takes time
    ) -> str:
        envelope, _ = self._draft(
            subject,
            bytes(payload),
            id=id,
            idempotency_key=idempotency_key,
            traceparent=traceparent,
            deliver_at=deliver_at,
            now_ms=self._log.clock.now_ms(),
        )
        self._check_open()
        id = envelope.id
        if durable:
            id = self._log.publish(envelope, idempotency_key, deliver_at)
        else:
            self._log.publish_volatile(envelope)
        await asyncio.sleep(0)  # a loop that only publishes must let others run
        return id

    async def waiting(self, subject: str, *, limit: int = 1000) -> list[Envelope]:
        check_subject(subject)
        self._check_open()
        return self._log.waiting(subject)[:limit]

    async def withdraw(self, subject: str, message_id: str) -> bool:
        check_subject(subject)
        check_message_id(message_id)
        self._check_open()
        return self._log.withdraw(subject, message_id)

    # -- consume, tail, read

    def consume(self, pattern: str, group: str, options: ConsumeOptions | None = None) -> Consumption:
        check_pattern(pattern)
        check_group(group)
        self._check_not_closing()
        member = MemoryConsumption(self.engine, pattern, group, options or ConsumeOptions(), self._members.discard)
        self._members.add(member)
        return member

    def tail(self, patterns: Sequence[str], start: Start = LATEST) -> Tail:
        for pattern in patterns:
            check_pattern(pattern)
        self._check_not_closing()
        tail = MemoryTail(self._log, patterns, start, self._tails.discard)
        self._tails.add(tail)
        return tail

    async def read(
        self, subject: str, *, start: Start = EARLIEST, stop: Stop | None = None, limit: int = 1000
    ) -> list[StoredMessage]:
        check_subject(subject)
        self._check_open()
        found = self._log.entries(subject, start)
        return [entry.message() for entry in found if _is_before(entry, stop)][:limit]

    async def read_page(
        self, patterns: Sequence[str], *, start: Start = EARLIEST, cursor: str | None = None, limit: int = 1000
    ) -> Page:
        for pattern in patterns:
            check_pattern(pattern)
        self._check_open()
        for pattern in patterns:
            self._log.required(pattern)
        ahead = Cursor(self._log, patterns, start if cursor is None else _behind(cursor))
        found: list[StoredMessage] = []
        size = 0
        while len(found) < limit and size < PAGE_BYTES and (entry := ahead.pop()) is not None:
            found.append(entry.message())
            size += len(entry.envelope.payload)
        return Page(found, str(found[-1].position) if found and ahead.peek() is not None else None)

    async def locate(self, subject: str, message_id: str) -> Position | None:
        check_subject(subject)
        self._check_open()
        entry = self._log.find(subject, message_id)
        return None if entry is None else Position(entry.sequence)

    # -- streams

    async def ensure_stream(self, config: StreamConfig) -> None:
        self._check_open()
        self._log.ensure_stream(config)

    async def streams(self) -> list[StreamConfig]:
        self._check_open()
        return [stream.config for stream in self._log.streams()]

    async def stream_figures(self, name: str) -> StreamFigures:
        self._check_open()
        return self._log.stream_named(name).figures()

    async def memberships(self, name: str) -> list[Membership]:
        self._check_open()
        return self.engine.memberships(name)

    async def subjects(self, pattern: str) -> list[str]:
        check_pattern(pattern)
        self._check_open()
        found = (subject for stream in self._log.overlapping([pattern]) for subject in stream.subjects())
        return [subject for subject in found if matches(pattern, subject)]

    async def trim(self, subject: str, before: int, *, through: Position | None = None) -> int:
        check_subject(subject)
        self._check_open()
        return self.engine.trim(subject, before, through)

    async def lag(self, pattern: str, group: str) -> Lag:
        check_pattern(pattern)
        check_group(group)
        self._check_open()
        return self.engine.lag(pattern, group)

    # -- life

    async def ping(self) -> float:
        self._check_open()
        started = self._log.clock.monotonic()
        await asyncio.sleep(0)
        return self._log.clock.monotonic() - started

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        for tail in list(self._tails):
            tail.close()
        await asyncio.gather(*(member.drain(draining.DRAIN_TIMEOUT) for member in list(self._members)))
        self._closed = True  # not earlier: a handler that ends meanwhile may have something to publish
        self._log.detach()

    def _check_open(self) -> None:
        if self._closed:
            raise TransportClosedError("the transport is closed")

    def _check_not_closing(self) -> None:
        if self._closing:
            raise TransportClosedError("the transport is closed")


def _behind(cursor: str) -> AfterPosition:
    try:
        return AfterPosition(Position.parse(cursor[:60]))
    except ValueError:
        raise InvalidCursorError(cursor) from None


def _is_before(entry: Entry, stop: Stop | None) -> bool:
    match stop:
        case BeforeTime(ms):
            return entry.stored_ms < ms
        case UpTo(position):
            return entry.sequence <= position.major
        case _:
            return True


class MemoryDelivery(ExpiringDelivery):
    """A delivery out of a group in memory. An answer that comes after its time does no harm."""

    __slots__ = ("_hold", "_member", "_turn")

    def __init__(self, hold: Hold, member: "MemoryConsumption") -> None:
        super().__init__(hold.entry.envelope, hold.attempt, member.subscription.name, Position(hold.entry.sequence))
        self._hold, self._turn, self._member = hold, hold.turn, member

    async def _ack(self) -> None:
        self._member.subscription.finish(self._hold)
        self._member.release(self)

    async def _nak(self, delay: float) -> None:
        if self.attempt >= self._member.options.max_deliver:
            await self._dead_letter(f"not acknowledged in {self.attempt} deliveries")
        else:
            self.give_back(delay)

    async def _dead_letter(self, reason: str) -> None:
        try:
            self._member.subscription.write_deadletter(self, reason)
        except BaseException:
            self._settled = False  # not stored: the caller may try again
            raise
        self._member.subscription.finish(self._hold)
        self._member.release(self)

    async def _in_progress(self) -> None:
        self._member.subscription.extend(self._hold, self._turn, self._member.options.ack_timeout)

    def expire(self) -> None:
        self._member.release(self)

    def give_back(self, delay: float = 0.0) -> None:
        """Return the message to its group."""
        self._member.subscription.give_back(self._hold, self._turn, delay)
        self._member.release(self)


class MemoryConsumption(Consumption):
    """One member of a group. Nothing is fetched ahead: a message is delivered when somebody asks for it."""

    subscription: Group

    def __init__(
        self,
        engine: MemoryEngine,
        pattern: str,
        group: str,
        options: ConsumeOptions,
        on_settled: "Callable[[MemoryConsumption], object]",
    ) -> None:
        self._engine, self._pattern, self._group, self.options = engine, pattern, group, options
        self._on_settled = on_settled
        self._waiter = Waiter([pattern])
        self._held: set[MemoryDelivery] = set()
        self._entered = self._stopped = False

    async def __aenter__(self) -> Self:
        if self._stopped:
            raise TransportClosedError("the transport is closed")
        self.subscription = self._engine.join(self._pattern, self._group, self.options)
        self._engine.log.add_waiter(self._waiter)
        self.subscription.members.add(self._waiter)
        self._entered = True
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the flow; safe to repeat."""
        self._stopped = True
        if self._entered:
            self._engine.log.remove_waiter(self._waiter)
            self.subscription.members.discard(self._waiter)
            self.subscription.wake()  # what this member was woken for is the others' now
        self._waiter.event.set()
        if not self._held:
            self._on_settled(self)  # nothing is left to drain

    async def drain(self, timeout: float) -> None:
        """Stop, give the deliveries that callers hold ``timeout`` seconds to end, then return those that did not."""
        self.stop()
        draining.tell_waiting(len(self._held), timeout, self._group)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while self._held:
                    self._waiter.event.clear()
                    await self._waiter.event.wait()
        draining.tell_returned(len(self._held), self._group)
        for delivery in list(self._held):
            delivery.give_back()

    def release(self, delivery: MemoryDelivery) -> None:
        """A delivery has ended: its place is free."""
        if delivery in self._held:
            self._held.discard(delivery)
            self._waiter.event.set()
            if self._stopped and not self._held:
                self._on_settled(self)

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        await asyncio.sleep(0)  # a handler that never waits must let others run
        while True:
            if self._stopped:
                raise StopAsyncIteration
            hold = self.subscription.take() if len(self._held) < self.options.max_inflight else None
            if hold is not None:
                delivery = MemoryDelivery(hold, self)
                self._held.add(delivery)
                self.subscription.hand_over(hold, delivery, self.options.ack_timeout)
                return delivery
            self._waiter.event.clear()
            await self._waiter.event.wait()


class _TailWaiter(Waiter):
    """Keeps what is not stored until the tail comes by, each with its place among what is."""

    def __init__(self, patterns: Sequence[str]) -> None:
        super().__init__(patterns)
        self.volatile: deque[tuple[int, Envelope]] = deque()

    def take_volatile(self, envelope: Envelope, sequence: int) -> None:
        if len(self.volatile) < _VOLATILE_BUFFER:
            self.volatile.append((sequence, envelope))
            self.event.set()


class MemoryTail(Tail):
    """A cursor that waits at the end of the log."""

    _cursor: Cursor

    def __init__(
        self, log: MemoryLog, patterns: Sequence[str], start: Start, on_close: "Callable[[MemoryTail], object]"
    ) -> None:
        self._log, self._start, self._on_close = log, start, on_close
        self._waiter = _TailWaiter(patterns)
        self._closed = False

    async def __aenter__(self) -> Self:
        if self._closed:
            raise TransportClosedError("the transport is closed")
        for pattern in self._waiter.patterns:
            self._log.required(pattern)
        self._cursor = Cursor(self._log, self._waiter.patterns, self._start)
        self._log.add_waiter(self._waiter)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop; iterators end. Safe to repeat."""
        self._closed = True
        self._log.remove_waiter(self._waiter)
        self._waiter.event.set()
        self._on_close(self)

    def __aiter__(self) -> AsyncIterator[StoredMessage]:
        return self

    async def __anext__(self) -> StoredMessage:
        await asyncio.sleep(0)  # a reader that never waits must let others run
        while not self._closed:
            message = self._next()
            if message is not None:
                return message
            self._waiter.event.clear()
            await self._waiter.event.wait()
        raise StopAsyncIteration

    def _next(self) -> StoredMessage | None:
        stored, volatile = self._cursor.peek(), self._waiter.volatile
        if volatile and (stored is None or volatile[0][0] <= stored.sequence):
            return StoredMessage(volatile.popleft()[1], None)
        if stored is None:
            return None
        self._cursor.pop()
        return stored.message()
