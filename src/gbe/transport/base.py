"""The transport contract (system.md section 4).

A transport moves envelopes between processes, at least once and in order per subject (redeliveries excepted). It
never looks into a payload and never retries a *job*. Every back end passes ``tests/conformance/transport``; what a
back end cannot do natively it builds, so nothing here has the shape of one engine.

Streams, named by retention class, store what is published; a message is *stored* once ``publish`` has returned.
Reconnecting is the back end's business: a caller sees ``TransportUnavailableError`` only when the deadline of its own
operation has passed.
"""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from typing import ClassVar, Final, Literal, NamedTuple, Self

import msgspec

from gbe.envelope import Envelope, check_traceparent
from gbe.errors import (
    ConfigError,
    DeliverySettledError,
    InvalidEnvelopeError,
    PayloadTooLargeError,
    StreamNotFoundError,
    TransportError,
)
from gbe.ids import encode_ulid, is_ulid, new_ulid
from gbe.schemas.deadletter import VERSION, DeadLetter, OriginalMessage
from gbe.schemas.fingerprint import fingerprint
from gbe.subjects import check_pattern, check_subject, is_token
from gbe.tracing import current_traceparent

logger = logging.getLogger(__name__)

MAX_IDEMPOTENCY_KEY_BYTES: Final = 128
MAX_REASON_CHARACTERS: Final = 1024
MAX_ERROR_TYPE_CHARACTERS: Final = 128
_MOST_FAILURES: Final = 1000  # of how many messages a member remembers when they first failed
_MOST_MS: Final = 1 << 48  # what a ULID can name


class Position(NamedTuple):
    """Where a message lies in its stream: opaque, ordered by arrival, valid as long as the stream exists.

    Positions of different subjects of one stream compare by arrival too. ``str(position)`` and ``Position.parse`` are
    the form to keep or to send elsewhere.
    """

    major: int
    minor: int = 0

    def __str__(self) -> str:
        return f"{self.major}-{self.minor}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` wrote; raises ``ValueError`` on anything else."""
        major, dash, minor = text.partition("-")
        if not (dash and major.isascii() and major.isdigit() and minor.isascii() and minor.isdigit()):
            raise ValueError(f"not a position: {text[:60]!r}")
        return cls(int(major), int(minor))


class Edge(Enum):
    """The two ends of a stream, as places to start."""

    EARLIEST = auto()
    LATEST = auto()


EARLIEST: Final = Edge.EARLIEST
LATEST: Final = Edge.LATEST


@dataclass(frozen=True, slots=True)
class FromTime:
    """Start with the first message stored at or after this moment, unix milliseconds of the engine's clock."""

    ms: int


@dataclass(frozen=True, slots=True)
class AfterId:
    """Start behind the message with this id. An id that is not stored: ``MessageNotFoundError``."""

    id: str


@dataclass(frozen=True, slots=True)
class AfterPosition:
    """Start behind this position, whether or not the message there still exists."""

    position: Position


Start = Edge | FromTime | AfterId | AfterPosition


@dataclass(frozen=True, slots=True)
class BeforeTime:
    """Stop ahead of the first message stored at or after this moment, unix milliseconds."""

    ms: int


@dataclass(frozen=True, slots=True)
class UpTo:
    """Stop behind this position: its message is included."""

    position: Position


Stop = BeforeTime | UpTo


class StoredMessage(msgspec.Struct, frozen=True, gc=False):
    """A message as ``tail`` and ``read`` show it. ``position`` is ``None`` for one that was never stored."""

    envelope: Envelope
    position: Position | None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the history of some patterns, from ``Transport.read_page``.

    Attributes:
        cursor: opaque, where the next page begins; ``None`` if nothing more was stored when this one was read.
    """

    messages: list[StoredMessage]
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """One retention class: which subjects it stores and for how long.

    Attributes:
        name: ``[A-Za-z0-9_-]+``, unique in the engine; operators see it.
        subjects: patterns; no two streams may overlap.
        max_age: seconds a message is kept; ``None`` keeps it.
        max_bytes: bytes the stream may take, the oldest messages go first; ``None`` is no limit.
        max_msgs: messages it may hold, the oldest go first; ``None`` is no limit.
        storage: ``file`` survives a restart of the engine; ``memory`` does not.
        replicas: copies in a cluster, 1 to 5; a single engine takes 1.
        dedup_window: seconds for which an idempotency key (or a message id) is remembered. The engine holds the keys
            of that window in memory.
    """

    name: str
    subjects: tuple[str, ...]
    max_age: float | None = None
    max_bytes: int | None = None
    max_msgs: int | None = None
    storage: Literal["file", "memory"] = "file"
    replicas: int = 1
    dedup_window: float = 120.0

    def __post_init__(self) -> None:
        if not is_token(self.name):
            raise ConfigError(f"stream name {self.name!r}: expected letters, digits, _ and -")
        if not self.subjects:
            raise ConfigError(f"stream {self.name}: subjects is empty; name at least one pattern")
        for pattern in self.subjects:
            check_pattern(pattern)
        for key, value in (
            ("max_age", self.max_age),
            ("max_bytes", self.max_bytes),
            ("max_msgs", self.max_msgs),
        ):
            if value is not None and value <= 0:
                raise ConfigError(f"stream {self.name}: {key} is {value}; expected more than 0, or leave it out")
        if self.storage not in ("file", "memory"):
            raise ConfigError(f"stream {self.name}: storage is {self.storage!r}; expected file or memory")
        if not 1 <= self.replicas <= 5:
            raise ConfigError(f"stream {self.name}: replicas is {self.replicas}; expected 1 to 5")
        if self.dedup_window <= 0:
            raise ConfigError(f"stream {self.name}: dedup_window is {self.dedup_window}; expected seconds above 0")


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a consumer group is behind.

    Attributes:
        pending: stored messages that the group has not been handed yet.
        unacknowledged: messages handed out and neither acked nor dead-lettered; waiting naks count.
        oldest_age: seconds since the oldest message of either kind was stored; ``None`` if there is none.
    """

    pending: int
    unacknowledged: int
    oldest_age: float | None


@dataclass(frozen=True, slots=True)
class Membership:
    """A consumer group and the pattern that it consumes."""

    pattern: str
    group: str


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """What a stream holds.

    Attributes:
        messages: that are stored; on NATS, those that wait for their time count.
        bytes: they take, as the engine counts: about right.
        oldest: when the oldest was stored, unix milliseconds; ``None`` if there is none.
    """

    messages: int
    bytes: int
    oldest: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumeOptions:
    """How a group consumes; see ``Transport.consume``.

    Attributes:
        tells_gaps: whether ``Delivery.since`` is wanted; on Redis it costs a look at the stream with each read, in
            memory it tells nothing.
    """

    batch_size: int = 10
    max_inflight: int = 100
    ack_timeout: float = 30.0
    max_deliver: int = 5
    start: Start = LATEST
    tells_gaps: bool = False

    def __post_init__(self) -> None:
        for key, value in (
            ("batch_size", self.batch_size),
            ("max_inflight", self.max_inflight),
            ("max_deliver", self.max_deliver),
        ):
            if value < 1:
                raise ConfigError(f"consume: {key} is {value}; expected at least 1")
        if self.ack_timeout <= 0:
            raise ConfigError(f"consume: ack_timeout is {self.ack_timeout}; expected seconds above 0")


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with a delivery: the letter tells, if it was the last one.

    Attributes:
        error_type: the name of the error's class, or a word of the handler's own.
        message: the error's text.
        first_ms: when this member first saw the message fail, unix milliseconds.
    """

    error_type: str | None
    message: str
    first_ms: int


class Delivery(ABC):
    """One message handed to one member of a group.

    Exactly one of ``ack``, ``nak`` and ``dead_letter`` ends it; a second one raises ``DeliverySettledError``. Without
    any, the message comes back to the group after the ack timeout.

    Attributes:
        envelope: the message.
        attempt: 1 for the first delivery to this group, then 2, …
        group: the consumer group.
        position: where the message lies in its stream.
        failure: what its handler raised, for the letter.
        since: every message of its subject from here to ``position`` was handed to this member; what is delivered for
            the first time comes without gaps, and this is how far back. ``position`` itself where that is not known.
    """

    __slots__ = ("_settled", "attempt", "envelope", "failure", "group", "position", "since")

    def __init__(self, envelope: Envelope, attempt: int, group: str, position: Position) -> None:
        self.envelope, self.attempt, self.group, self.position = envelope, attempt, group, position
        self.since = position
        self.failure: Failure | None = None
        self._settled = False

    @property
    def is_settled(self) -> bool:
        """Whether the delivery has ended."""
        return self._settled

    async def ack(self) -> None:
        """Done: the group never sees this message again."""
        self._settle()
        await self._ack()

    async def nak(self, delay: float = 0.0) -> None:
        """Not done: deliver it again, ``delay`` seconds from now at the earliest.

        On the last permitted delivery the message is dead-lettered instead.
        """
        self._settle()
        await self._nak(delay)

    async def dead_letter(self, reason: str, *, error_type: str | None = None) -> None:
        """Give the message up: it goes to the dead letters of its domain, and the group never sees it again.

        Args:
            reason: why, for an operator; at most 1,024 characters are kept.
            error_type: the kind of error, by which letters are grouped.
        """
        self._settle()
        if error_type is not None:
            self.failure = Failure(error_type[:MAX_ERROR_TYPE_CHARACTERS], "", _now_ms())
        await self._dead_letter(reason[:MAX_REASON_CHARACTERS])

    async def in_progress(self) -> None:
        """Still working: the ack timeout starts again now."""
        if self._settled:
            raise DeliverySettledError(f"delivery of {self.envelope.id} has already ended")
        await self._in_progress()

    def _settle(self) -> None:
        if self._settled:
            raise DeliverySettledError(f"delivery of {self.envelope.id} has already ended")
        self._settled = True

    @abstractmethod
    async def _ack(self) -> None: ...

    @abstractmethod
    async def _nak(self, delay: float) -> None: ...

    @abstractmethod
    async def _dead_letter(self, reason: str) -> None: ...

    @abstractmethod
    async def _in_progress(self) -> None: ...


class Parcel(ABC):
    """Messages of one subject that were handed to a member together, in stream order: many deliveries in one.

    ``ack`` or ``nak`` ends it, once; ``split`` and ``without`` replace it. Without any, its messages come back to the
    group after the ack timeout.

    Attributes:
        subject: of all of them.
        positions: where they lie, ascending; at least one.
        envelopes: the messages, in the same order.
        since: every message of the subject from here to the last one was handed to this member, as ``Delivery.since``
            says it. Where that is not known, something may lie between any two: then it is the last one's position.
    """

    __slots__ = ("envelopes", "positions", "since", "subject")

    def __init__(self, subject: str, positions: list[Position], envelopes: list[Envelope], since: Position) -> None:
        self.subject, self.positions, self.envelopes, self.since = subject, positions, envelopes, since

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def first(self) -> Position:
        """Where it begins."""
        return self.positions[0]

    @property
    def last(self) -> Position:
        """Where it ends; its message is part of it."""
        return self.positions[-1]

    def split(self, behind: Position) -> "tuple[Parcel | None, Parcel | None]":
        """What lies up to a position, and what lies behind it. This parcel is not to be used any more."""
        border = bisect_right(self.positions, behind)
        if border in (0, len(self)):
            return (self, None) if border else (None, self)
        return self._part(range(border), self.since), self._part(range(border, len(self)), self.since)

    def without(self, positions: Container[Position]) -> "Parcel | None":
        """What is left when some have come again, and are another delivery's: a parcel that vouches for nothing any
        more, in place of this one."""
        kept = [number for number, position in enumerate(self.positions) if position not in positions]
        return self._part(kept, self.positions[kept[-1]] if kept else self.last)

    @abstractmethod
    def _part(self, numbers: Sequence[int], since: Position) -> "Parcel | None":
        """A parcel of these messages alone; ``None`` if there are none."""

    @abstractmethod
    async def ack(self) -> None:
        """Done, all of them: as ``Delivery.ack``."""

    @abstractmethod
    async def nak(self) -> None:
        """Not done, none of them: as ``Delivery.nak``."""

    @abstractmethod
    async def in_progress(self) -> None:
        """The ack timeout of all of them starts again now."""


class DeliveryParcel(Parcel):
    """Deliveries as a parcel."""

    __slots__ = ("_deliveries",)

    def __init__(self, deliveries: Sequence[Delivery], since: Position) -> None:
        positions, envelopes = [one.position for one in deliveries], [one.envelope for one in deliveries]
        super().__init__(envelopes[0].subject, positions, envelopes, since)
        self._deliveries = deliveries

    def _part(self, numbers: Sequence[int], since: Position) -> Parcel | None:
        if not numbers:
            return None
        part = DeliveryParcel([self._deliveries[number] for number in numbers], since)
        part.envelopes = [self.envelopes[number] for number in numbers]  # whose payloads may have been let go
        return part

    async def ack(self) -> None:
        for delivery in self._deliveries:
            if not delivery.is_settled:
                await delivery.ack()

    async def nak(self) -> None:
        for delivery in self._deliveries:
            if not delivery.is_settled:
                await delivery.nak()

    async def in_progress(self) -> None:
        for delivery in self._deliveries:
            if not delivery.is_settled:
                await delivery.in_progress()


def in_parcels(deliveries: Iterable[Delivery]) -> list[Parcel]:
    """Deliveries in as few parcels as may be. Those between which something may lie are not together with others."""
    by_subject: dict[str, list[Delivery]] = {}
    for delivery in deliveries:
        by_subject.setdefault(delivery.envelope.subject, []).append(delivery)
    return [parcel for those in by_subject.values() for parcel in _parcels_of(those)]


def _parcels_of(deliveries: list[Delivery]) -> Iterator[Parcel]:
    begin, is_told, before = 0, True, deliveries[0]
    for number, delivery in enumerate(deliveries[1:], 1):
        follows = delivery.attempt == before.attempt == 1 and delivery.since <= before.position
        if delivery.position <= before.position or (number - begin > 1 and follows != is_told):
            yield _parcel(deliveries[begin:number], is_told=is_told)
            begin, is_told = number, True
        else:
            is_told = follows
        before = delivery
    yield _parcel(deliveries[begin:], is_told=is_told)


def _parcel(deliveries: list[Delivery], *, is_told: bool) -> Parcel:
    return DeliveryParcel(deliveries, deliveries[0].since if is_told else deliveries[-1].position)


Handler = Callable[[Delivery], Awaitable[None]]


class Consumption(AbstractAsyncContextManager["Consumption"], ABC):
    """A member of a consumer group, from ``Transport.consume``: enter it, then iterate over its deliveries.

    Leaving the block stops the flow and returns to the group what was fetched and not yet iterated over; deliveries
    that the caller already holds stay valid until the transport closes.
    """

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[Delivery]: ...

    async def batches(self) -> AsyncIterator[list[Delivery]]:
        """Iterate over the same deliveries many at a time: all that are here, at least one, in their order."""
        async for delivery in self:
            yield [delivery]

    async def parcels(self) -> AsyncIterator[list[Parcel]]:
        """The same in parcels: what a caller needs that handles very many messages, and answers them together.

        A caller takes parcels only, from the beginning. It is taken to take what is here at once: the member may read
        another ``batch_size`` messages ahead.
        """
        async for batch in self.batches():
            yield in_parcels(batch)

    async def run(self, handler: Handler, *, concurrency: int = 1) -> None:
        """Call ``handler`` for every delivery, ``concurrency`` at a time, until cancelled.

        A handler that returns without ending its delivery acks it; one that raises naks it. Cancelling waits for
        nothing: unfinished deliveries are nak'ed.
        """
        slots = asyncio.Semaphore(concurrency)
        first_failures: dict[str, int] = {}

        async def one(delivery: Delivery) -> None:
            try:
                await settle_with(handler, delivery, first_failures)
            finally:
                slots.release()

        async with asyncio.TaskGroup() as group:
            await slots.acquire()
            async for delivery in self:
                group.create_task(one(delivery))
                await slots.acquire()


async def settle_with(handler: Handler, delivery: Delivery, first_failures: dict[str, int] | None = None) -> None:
    """Run one handler: ack when it returns, nak when it raises or is cancelled, unless it ended the delivery itself.

    An engine that cannot take the answer is logged, not raised: the message comes back by itself.

    Args:
        first_failures: message id to the moment it first failed (unix ms), kept from delivery to delivery.
    """
    answer = delivery.ack
    try:
        await handler(delivery)
    except Exception as exc:
        logger.exception("handler failed, message returned to its group", extra=_log_context(delivery))
        delivery.failure = _failure(delivery.envelope.id, exc, {} if first_failures is None else first_failures)
        answer = delivery.nak
    except asyncio.CancelledError:
        await _answer(delivery, delivery.nak)
        raise
    await _answer(delivery, answer)


def _failure(message_id: str, exc: Exception, first_failures: dict[str, int]) -> Failure:
    first_ms = first_failures.setdefault(message_id, _now_ms())
    if len(first_failures) > _MOST_FAILURES:
        del first_failures[next(iter(first_failures))]
    return Failure(type(exc).__name__[:MAX_ERROR_TYPE_CHARACTERS], str(exc)[:MAX_REASON_CHARACTERS], first_ms)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _answer(delivery: Delivery, answer: Callable[[], Awaitable[None]]) -> None:
    if delivery.is_settled:
        return
    try:
        await answer()
    except TransportError as exc:
        logger.warning("delivery not ended, it will come back: %s", exc, extra=_log_context(delivery))


def _log_context(delivery: Delivery) -> dict[str, object]:
    envelope = delivery.envelope
    return {"message_id": envelope.id, "subject": envelope.subject, "attempt": delivery.attempt}


class Tail(AbstractAsyncContextManager["Tail"], ABC):
    """A reader of everything, from ``Transport.tail``: enter it, then iterate.

    Once entered, each message stored later is seen, and with a ``start`` each earlier one from there on: without gap,
    without duplicate, in order per subject. A reader that falls behind costs no memory: it catches up from the stream.
    """

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[StoredMessage]: ...


class Transport(ABC):
    """Moves envelopes between processes; see the module's docstring for the promises.

    Use it as ``async with``. All methods may be called from many tasks at once, of the loop that opened it.

    Attributes:
        max_payload_size: bytes a payload may have.
        native_retention: whether the engine applies the limits of a stream by itself. Where it does not, they are
            applied with what is published, without regard to what groups have still to do.
    """

    max_payload_size: int
    native_retention: ClassVar[bool] = True

    @abstractmethod
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
        """Store a message and return its id once the engine has stored it.

        Args:
            subject: a subject without wildcards, stored by some stream.
            payload: opaque bytes, at most ``max_payload_size``.
            id: a ULID of the caller's making; publishing one id twice within the stream's ``dedup_window``, with the
                same ``idempotency_key`` or without one, stores it once. ``None`` makes one.
            idempotency_key: up to 128 printable characters; a second publish to the same subject with the same key
                within the window is a no-op that returns the first id. Where a key is given it alone decides: the same
                id with another key is stored again.
            traceparent: W3C trace context that travels with the message.
            deliver_at: unix milliseconds; consumers and readers see the message from then on, never earlier. The past
                means now, and so does anything for what is not stored.
            durable: ``False`` hands the message to the tails that are live at this moment and stores nothing.
            timeout: seconds until the call gives up; ``None`` is the transport's configured ``publish_timeout``.

        Raises:
            InvalidSubjectError, InvalidEnvelopeError: an argument is not what it must be; nothing was sent.
            PayloadTooLargeError: do not try again.
            StreamNotFoundError: no stream stores this subject.
            PublishOutcomeUnknownError: no confirmation in time; publishing again with the same ``id`` is safe.
            TransportUnavailableError: the engine could not be reached, or refused for lack of space.
            TransportClosedError: after ``close``.
        """

    @abstractmethod
    async def waiting(self, subject: str, *, limit: int = 1000) -> list[Envelope]:
        """Up to ``limit`` messages of one subject whose ``deliver_at`` has not come; in no promised order.

        Fewer, if they are large: about 16 MiB of payload at most. One whose time comes meanwhile may be among them, or
        be delivered already.

        Raises:
            StreamNotFoundError: no stream stores this subject.
            TransportUnavailableError: the engine did not answer in time.
        """

    @abstractmethod
    async def withdraw(self, subject: str, message_id: str) -> bool:
        """Take back a message whose ``deliver_at`` has not come: it is never delivered.

        Returns whether it was still waiting; if not, it is delivered, or was never published. Its id stays known to
        the de-duplication: do not publish it again.

        Raises:
            InvalidEnvelopeError: the id is no ULID.
            StreamNotFoundError: no stream stores this subject.
            TransportUnavailableError: no answer in time; it may have been taken back.
        """

    @abstractmethod
    def consume(self, pattern: str, group: str, options: ConsumeOptions | None = None) -> Consumption:
        """Join a group of competing consumers: each message goes to one member of the group.

        Args:
            pattern: the subjects to consume.
            group: a token; groups are independent of each other. Group and pattern together name the subscription,
                which the engine remembers when all members are gone.
            options: ``batch_size`` messages are asked for at a time; at most ``max_inflight`` are unacknowledged in
                this member (back-pressure); after ``ack_timeout`` seconds without an answer a message is delivered
                again, ``max_deliver`` times in all, then it is dead-lettered; ``start`` counts when the group is new.
                A member fetches up to ``batch_size`` messages ahead; what it returns unhandled when it leaves has been
                delivered once more all the same.

        Raises:
            InvalidSubjectError, ConfigError: at once.
            StreamNotFoundError, TransportUnavailableError, MessageNotFoundError: on entering.
        """

    async def ack_all(self, deliveries: Sequence[Delivery]) -> None:
        """``ack`` each of them that has not ended, in less time than one call after the other takes."""
        for delivery in deliveries:
            if not delivery.is_settled:
                await delivery.ack()

    @abstractmethod
    def tail(self, patterns: Sequence[str], start: Start = LATEST) -> Tail:
        """Read every message of these patterns, from ``start`` and then live (``LATEST``: live only).

        Raises:
            InvalidSubjectError: at once.
            MessageNotFoundError, StreamNotFoundError, TransportUnavailableError: on entering.
        """

    @abstractmethod
    async def read(
        self, subject: str, *, start: Start = EARLIEST, stop: Stop | None = None, limit: int = 1000
    ) -> list[StoredMessage]:
        """Up to ``limit`` stored messages of one subject, in stream order, from ``start`` to ``stop``.

        ``LATEST`` is the newest message alone. A full page may have a successor: go on with
        ``AfterPosition(page[-1].position)``. What was delivered or acknowledged is still there: retention alone
        removes.

        Raises:
            MessageNotFoundError: ``start`` is an id that is not stored on this subject.
            TransportUnavailableError: the engine did not answer in time.
        """

    @abstractmethod
    async def read_page(
        self, patterns: Sequence[str], *, start: Start = EARLIEST, cursor: str | None = None, limit: int = 1000
    ) -> Page:
        """Up to ``limit`` stored messages of these patterns, in the order in which they were stored.

        The order is that of each subject, and between subjects as exact as the engine's clocks are. A page of large
        messages is shorter, and has one at least. Going on with the cursor of each page shows everything that was
        stored when the first one was read, once.

        Args:
            start: of the first page; ``LATEST`` is nothing.
            cursor: of the page before, read with the same patterns; ``start`` no longer counts then.

        Raises:
            InvalidSubjectError, InvalidCursorError: an argument is not what it must be.
            MessageNotFoundError: ``start`` is an id that is not stored on these patterns.
            StreamNotFoundError: no stream stores a pattern.
            TransportUnavailableError: the engine did not answer in time.
        """

    @abstractmethod
    async def locate(self, subject: str, message_id: str) -> Position | None:
        """Where the message with this id (a ULID) lies, or ``None`` if it is not stored on this subject.

        The id's own time says where to look: the cost does not grow with what is stored.
        """

    async def stream_life(self, subject: str) -> str:
        """Names the life of the stream that has this subject: another name once it was deleted and made anew.

        Only where positions begin again then; ``""`` where they go on, as moments do.

        Raises:
            StreamNotFoundError: no stream has the subject.
        """
        check_subject(subject)
        return ""

    @abstractmethod
    async def ensure_stream(self, config: StreamConfig) -> None:
        """Create a stream, or bring an existing one to this configuration. Safe to repeat, and from many processes.

        Raises:
            StreamConfigError: the engine refuses, for example a changed ``storage`` or overlapping subjects.
        """

    @abstractmethod
    async def streams(self) -> list[StreamConfig]:
        """The streams of the engine that ``ensure_stream`` made, whoever called it, by name."""

    @abstractmethod
    async def stream_figures(self, name: str) -> StreamFigures:
        """What a stream holds now; raises ``StreamNotFoundError``.

        Costs a look at each of its subjects where the engine has no streams of many subjects.
        """

    @abstractmethod
    async def memberships(self, name: str) -> list[Membership]:
        """The groups that consume from a stream, also those without a member; raises ``StreamNotFoundError``."""

    @abstractmethod
    async def subjects(self, pattern: str) -> list[str]:
        """The subjects of a pattern that have messages, and perhaps some that had lately; in no order."""

    @abstractmethod
    async def trim(self, subject: str, before: int, *, through: Position | None = None) -> int:
        """Remove the stored messages of one subject that are older than ``before``, unix milliseconds.

        What a consumer group has not acknowledged stays, and everything behind it; so does what lies behind
        ``through``. Works in bounded steps, so that publishers go on meanwhile. Returns how many were removed.
        """

    @abstractmethod
    async def lag(self, pattern: str, group: str) -> Lag:
        """How far the group that consumes this pattern is behind; zeros for a group that never existed."""

    @abstractmethod
    async def ping(self) -> float:
        """A round trip to the engine, in seconds; raises ``TransportUnavailableError`` if it is not there."""

    @abstractmethod
    async def close(self) -> None:
        """Drain and close: publishes under way end, tails and consumers stop, what they hold unfinished is returned.

        Handlers under way have 10 s to end. A delivery that somebody keeps and never answers costs as much, or what
        is left of its ``ack_timeout``; the log says so. Safe to repeat. Later calls raise ``TransportClosedError``.
        """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _draft(
        self,
        subject: str,
        payload: bytes,
        *,
        id: str | None,
        idempotency_key: str | None,
        traceparent: str | None,
        deliver_at: int | None,
        now_ms: int,
    ) -> tuple[Envelope, int | None]:
        """The checks of ``publish`` that need no engine; the envelope, and when it is due if that is later than now."""
        check_subject(subject)
        if len(payload) > self.max_payload_size:
            raise PayloadTooLargeError(len(payload), self.max_payload_size)
        if id is not None:
            check_message_id(id)
        if idempotency_key is not None:
            check_idempotency_key(idempotency_key)
        if traceparent is not None:
            check_traceparent(traceparent)
        if deliver_at is not None and deliver_at >= _MOST_MS:
            raise InvalidEnvelopeError(f"deliver_at is unix milliseconds, below 2**48: {deliver_at}")
        due = deliver_at if deliver_at is not None and deliver_at > now_ms else None
        if id is None:
            # the id of a delayed message names the time of its delivery: that is where it will be looked for
            id = new_ulid() if due is None else encode_ulid(due, new_ulid.randomness())
        return Envelope(id, subject, now_ms, payload, traceparent or current_traceparent()), due


def check_idempotency_key(key: str) -> str:
    """Return ``key`` if every back end can carry it; raise ``InvalidEnvelopeError`` otherwise."""
    if not key or len(key) > MAX_IDEMPOTENCY_KEY_BYTES or not key.isascii() or not key.isprintable():
        raise InvalidEnvelopeError(
            f"an idempotency key is 1 to {MAX_IDEMPOTENCY_KEY_BYTES} printable ASCII characters: {key[:40]!r}"
        )
    return key


def check_message_id(message_id: str) -> str:
    """Return ``message_id`` if it is one; raise ``InvalidEnvelopeError`` otherwise."""
    if not is_ulid(message_id):
        raise InvalidEnvelopeError(f"a message id is a ULID (26 characters): {message_id[:40]!r}")
    return message_id


def check_group(group: str) -> str:
    """Return ``group`` if it can name a consumer group; raise ``ConfigError`` otherwise."""
    if not is_token(group) or len(group) > 100:
        raise ConfigError(f"consumer group {group[:80]!r}: expected at most 100 letters, digits, _ and -")
    return group


def check_stream(name: str) -> str:
    """Return ``name`` if a stream may have it; raise ``StreamNotFoundError`` otherwise."""
    if not is_token(name):
        raise StreamNotFoundError(name)
    return name


def deadletter_subject(subject: str) -> str:
    """Where the dead letters of a subject's domain go: ``{namespace}._deadletter.{domain}``."""
    namespace, _, rest = subject.partition(".")
    domain = rest.partition(".")[0] or "unknown"
    return f"{namespace}._deadletter.{domain}"


def deadletter_for(delivery: Delivery, reason: str, now_ms: int, *, with_payload: bool = True) -> DeadLetter:
    """The letter for a delivery that is given up. Its id is the original's, so that writing it twice stores it once."""
    envelope, failure = delivery.envelope, delivery.failure
    error_type = None if failure is None else failure.error_type
    if failure is not None and failure.message:
        reason = f"{reason}: {error_type}: {failure.message}"[:MAX_REASON_CHARACTERS]
    return DeadLetter(
        v=VERSION,
        ts=now_ms,
        id=f"{envelope.id}.{delivery.group}",
        reason=reason,
        group=delivery.group,
        deliveries=delivery.attempt,
        error_type=error_type,
        first_failed_at=now_ms if failure is None else min(failure.first_ms, now_ms),
        last_failed_at=now_ms,
        fingerprint=fingerprint(group=delivery.group, subject=envelope.subject, error_type=error_type, reason=reason),
        payload_left_out=None if with_payload else len(envelope.payload),
        original=OriginalMessage(
            id=envelope.id,
            subject=envelope.subject,
            timestamp=envelope.timestamp,
            payload=envelope.payload if with_payload else b"",
            traceparent=envelope.traceparent,
        ),
    )
