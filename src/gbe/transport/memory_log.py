"""The streams of the memory transport together: publishing, reading on from a place, and time.

Everything here happens at once, within one step of the event loop; waiting is the clients' part. One number counts
all messages, so positions of different streams compare too.
"""

import asyncio
import heapq
import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Final

from gbe.clock import Clock
from gbe.envelope import Envelope
from gbe.errors import MessageNotFoundError, StreamConfigError, StreamNotFoundError
from gbe.subjects import matches, overlaps
from gbe.transport.base import AfterId, AfterPosition, Edge, FromTime, Start, StreamConfig
from gbe.transport.memory_streams import Entry, Stream

_FEW_TIMERS: Final = 1000
_sequence: Final = attrgetter("sequence")
_stored_ms: Final = attrgetter("stored_ms")


class Cursor:
    """A place in all streams that some patterns touch, moving forward in the order of arrival."""

    def __init__(self, log: "MemoryLog", patterns: Sequence[str], start: Start) -> None:
        self._log, self.patterns = log, tuple(patterns)
        self._begin = log.begin(self.patterns, start)
        self._next: dict[str, int] = {}  # by stream; a stream made later is read from its beginning

    def peek(self) -> Entry | None:
        """The next message, which stays the next."""
        return self._find()[1]

    def pop(self) -> Entry | None:
        """The next message, left behind."""
        stream, entry = self._find()
        if stream is not None and entry is not None:
            self._next[stream.config.name] = entry.sequence + 1
        return entry

    def _find(self) -> tuple[Stream, Entry] | tuple[None, None]:
        found: tuple[Stream, Entry] | tuple[None, None] = (None, None)
        for stream in self._log.overlapping(self.patterns):
            entry = self._peek_in(stream)
            if entry is not None and (found[1] is None or entry.sequence < found[1].sequence):
                found = stream, entry
        return found

    def _peek_in(self, stream: Stream) -> Entry | None:
        first = bisect_left(stream.log, self.next_in(stream), key=_sequence)
        for index in range(first, len(stream.log)):
            entry = stream.log[index]
            if self.covers(entry.envelope.subject):
                self._next[stream.config.name] = entry.sequence
                return entry
            self._next[stream.config.name] = entry.sequence + 1
        return None

    def next_in(self, stream: Stream) -> int:
        """Everything of that stream below this sequence has been passed."""
        return self._next.get(stream.config.name, self._begin)

    def covers(self, subject: str) -> bool:
        return any(matches(pattern, subject) for pattern in self.patterns)

    def remaining(self) -> Iterator[Entry]:
        """Everything that lies ahead, stream by stream."""
        for stream in self._log.overlapping(self.patterns):
            first = bisect_left(stream.log, self.next_in(stream), key=_sequence)
            yield from (entry for entry in stream.log[first:] if self.covers(entry.envelope.subject))


class Waiter:
    """Somebody to wake when a message arrives that one of the patterns covers."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self.event = asyncio.Event()

    def covers(self, subject: str) -> bool:
        return any(matches(pattern, subject) for pattern in self.patterns)

    def take_volatile(self, envelope: Envelope, sequence: int) -> None:
        """A message that is not stored passes by; ``sequence`` is that of the next stored one."""


class Timer:
    """Something that happens later, unless it is called off."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """It does not happen."""
        self.action = None


class MemoryLog:
    """All streams, everyone who waits for a message, and everything that waits for its time."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._streams: dict[str, Stream] = {}
        self._waiters: set[Waiter] = set()
        self._delayed: dict[str, dict[str, Envelope]] = {}  # by subject, then by id
        self._next_sequence = 1
        self._last_ms = 0
        self._due: list[tuple[float, int, Timer]] = []
        self._crowded = _FEW_TIMERS
        self._tie = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._clients = 0

    # -- streams

    def ensure_stream(self, config: StreamConfig) -> None:
        """See ``Transport.ensure_stream``."""
        if config.replicas > 1:
            raise StreamConfigError(f"stream {config.name}: replicas is {config.replicas}; this engine keeps 1")
        for other in self._streams.values():
            if other.config.name != config.name and any(other.overlaps(pattern) for pattern in config.subjects):
                raise StreamConfigError(f"stream {config.name}: subjects overlap with stream {other.config.name}")
        for index, pattern in enumerate(config.subjects):
            if any(overlaps(pattern, other) for other in config.subjects[:index]):
                raise StreamConfigError(f"stream {config.name}: subjects overlap each other at {pattern}")
        existing = self._streams.get(config.name)
        if existing is None:
            self._streams[config.name] = Stream(config)
            return
        if existing.config.storage != config.storage:
            raise StreamConfigError(
                f"stream {config.name} is stored in {existing.config.storage}, the configuration says {config.storage}"
            )
        existing.config = config
        existing.retain(self.clock.now_ms())

    def stream_of(self, subject: str) -> Stream:
        """The stream that stores a subject, retention applied; ``StreamNotFoundError`` if none does."""
        for stream in self._streams.values():
            if stream.stores(subject):
                stream.retain(self.clock.now_ms())
                return stream
        raise StreamNotFoundError(subject)

    def streams(self) -> list[Stream]:
        """All of them, by name."""
        return [self._streams[name] for name in sorted(self._streams)]

    def stream_named(self, name: str) -> Stream:
        """A stream, retention applied; ``StreamNotFoundError`` if there is none of this name."""
        stream = self._streams.get(name)
        if stream is None:
            raise StreamNotFoundError(name)
        stream.retain(self.clock.now_ms())
        return stream

    def overlapping(self, patterns: Sequence[str]) -> list[Stream]:
        """The streams that store any subject of the patterns, retention applied."""
        found = [s for s in self._streams.values() if any(s.overlaps(pattern) for pattern in patterns)]
        for stream in found:
            stream.retain(self.clock.now_ms())
        return found

    def required(self, pattern: str) -> None:
        """Raise ``StreamNotFoundError`` if no stream stores any subject of the pattern."""
        if not self.overlapping([pattern]):
            raise StreamNotFoundError(pattern)

    # -- messages in

    @property
    def next_sequence(self) -> int:
        """The sequence of the next message that will be stored."""
        return self._next_sequence

    def publish(self, envelope: Envelope, idempotency_key: str | None, deliver_at: int | None) -> str:
        """Store a message now, or at ``deliver_at``; the id under which it was first published."""
        stream = self.stream_of(envelope.subject)
        now = self.clock.monotonic()
        if idempotency_key is None:
            keys = [f"id {envelope.subject} {envelope.id}"]
        else:
            keys = [f"key {envelope.subject} {idempotency_key}"]
        first = stream.first_id(keys, now)
        if first is not None:
            return first
        stream.remember(keys, envelope.id, now)
        wait_ms = 0 if deliver_at is None else deliver_at - self.clock.now_ms()
        if wait_ms > 0:
            self._delayed.setdefault(envelope.subject, {})[envelope.id] = envelope
            self.call_at(now + wait_ms / 1000, lambda: self._deliver(stream, envelope, deliver_at or 0))
        else:
            self._store(stream, envelope)
        return envelope.id

    def _deliver(self, stream: Stream, envelope: Envelope, deliver_at: int) -> None:
        """A delayed message's time has come, by the monotonic clock; the one on the wall has the last word."""
        early_ms = deliver_at - self.clock.now_ms()
        if early_ms > 0:
            self.call_at(self.clock.monotonic() + early_ms / 1000, lambda: self._deliver(stream, envelope, deliver_at))
        elif self.withdraw(envelope.subject, envelope.id):
            self._store(stream, envelope)

    def waiting(self, subject: str) -> list[Envelope]:
        """See ``Transport.waiting``."""
        self.stream_of(subject)
        return list(self._delayed.get(subject, {}).values())

    def withdraw(self, subject: str, message_id: str) -> bool:
        """See ``Transport.withdraw``; whoever takes a message from there has it alone."""
        self.stream_of(subject)
        ids = self._delayed.get(subject, {})
        found = ids.pop(message_id, None) is not None
        if found and not ids:
            del self._delayed[subject]
        return found

    def _store(self, stream: Stream, envelope: Envelope) -> None:
        self._last_ms = max(self._last_ms, self.clock.now_ms())  # a clock that steps back must not disorder a stream
        stream.add(Entry(envelope, self._next_sequence, self._last_ms))
        self._next_sequence += 1
        stream.retain(self.clock.now_ms())
        for waiter in self._waiters:
            if waiter.covers(envelope.subject):
                waiter.event.set()

    def publish_volatile(self, envelope: Envelope) -> None:
        """Hand a message to whoever is live."""
        for waiter in self._waiters:
            if waiter.covers(envelope.subject):
                waiter.take_volatile(envelope, self._next_sequence)

    # -- messages out

    def entries(self, subject: str, start: Start) -> list[Entry]:
        """The messages of a subject from ``start`` on, in order."""
        found = self.stream_of(subject).of_subject(subject)
        match start:
            case Edge.LATEST:
                return found[-1:]
            case _:
                return found[bisect_left(found, self.begin([subject], start), key=_sequence) :]

    def find(self, subject: str, id: str) -> Entry | None:
        """The newest message of a subject with this id."""
        return next((e for e in reversed(self.stream_of(subject).of_subject(subject)) if e.envelope.id == id), None)

    def begin(self, patterns: Sequence[str], start: Start) -> int:
        """The first sequence that lies at or behind ``start``."""
        match start:
            case Edge.EARLIEST:
                return 0
            case FromTime(ms):
                return self._first_since(patterns, ms)
            case AfterPosition(position):
                return position.major + 1
            case AfterId(id):
                return self._sequence_of(patterns, id) + 1
            case _:
                return self._next_sequence

    def _first_since(self, patterns: Sequence[str], ms: int) -> int:
        first = self._next_sequence
        for stream in self.overlapping(patterns):
            index = bisect_left(stream.log, ms, key=_stored_ms)
            if index < len(stream.log):
                first = min(first, stream.log[index].sequence)
        return first

    def _sequence_of(self, patterns: Sequence[str], id: str) -> int:
        for stream in self.overlapping(patterns):
            for entry in reversed(stream.log):
                if entry.envelope.id == id and any(matches(p, entry.envelope.subject) for p in patterns):
                    return entry.sequence
        raise MessageNotFoundError(id)

    def add_waiter(self, waiter: Waiter) -> None:
        self._waiters.add(waiter)

    def remove_waiter(self, waiter: Waiter) -> None:
        self._waiters.discard(waiter)

    # -- time

    def call_at(self, when: float, action: Callable[[], None]) -> Timer:
        """Do something at a moment of the clock's monotonic time, unless it is called off."""
        timer = Timer(action)
        heapq.heappush(self._due, (when, next(self._tie), timer))
        if len(self._due) > self._crowded:
            # most deliveries are answered long before their time: what was called off must not pile up
            self._due = [due for due in self._due if due[2].action is not None]
            heapq.heapify(self._due)
            self._crowded = 2 * len(self._due) + _FEW_TIMERS
        if self._due[0][0] >= when:
            self._arm()
        return timer

    def tick(self) -> None:
        """Do what is due; see ``MemoryEngine.tick``."""
        while self._due and self._due[0][0] <= self.clock.monotonic():
            action = heapq.heappop(self._due)[2].action
            if action is not None:
                action()
        self._arm()

    def attach(self) -> None:
        """A client opens."""
        self._clients += 1
        self._arm()

    def detach(self) -> None:
        """A client closes; time stands still while there is none."""
        self._clients -= 1
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due and self._clients:
            pause = max(0.0, self._due[0][0] - self.clock.monotonic())
            self._timer = asyncio.get_running_loop().call_later(pause, self.tick)
