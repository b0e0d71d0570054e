"""The engine behind ``MemoryTransport``: a log, and the groups that consume it.

Several clients may share one engine, as several processes share a server.
"""

import heapq
import logging
from abc import abstractmethod
from typing import Final

from gbe.clock import Clock, SystemClock
from gbe.envelope import Envelope
from gbe.errors import StreamNotFoundError
from gbe.ids import new_ulid
from gbe.schemas import deadletter
from gbe.subjects import overlaps
from gbe.transport.base import (
    ConsumeOptions,
    Delivery,
    Lag,
    Membership,
    Position,
    Start,
    deadletter_for,
    deadletter_subject,
)
from gbe.transport.memory_log import Cursor, MemoryLog, Timer, Waiter
from gbe.transport.memory_streams import Entry

logger = logging.getLogger(__name__)

_LETTER_RETRY: Final = 1.0  # seconds until a dead letter that no stream took is tried again


class Hold:
    """A message of a group, from its first delivery until the group is done with it."""

    __slots__ = ("attempt", "delivery", "entry", "timer", "turn")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.attempt = 0
        self.turn = 0  # rises with each delivery and each return, so that an answer that comes too late is known
        self.timer: Timer | None = None  # of the delivery's time
        self.delivery: ExpiringDelivery | None = None

    def stop_timer(self) -> None:
        """The delivery under way has ended, or has more time."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class ExpiringDelivery(Delivery):
    """A delivery that is told when its time is up."""

    __slots__ = ()

    @abstractmethod
    def expire(self) -> None:
        """Nobody answered in time: the place it took is free."""


class Group:
    """One group's subscription to one pattern: what it has been handed, and what it must be handed again."""

    def __init__(self, log: MemoryLog, pattern: str, name: str, start: Start) -> None:
        self._log, self.pattern, self.name = log, pattern, name
        self.max_deliver = 1  # the last member to join says
        self.members: set[Waiter] = set()
        self._cursor = Cursor(log, [pattern], start)
        self._holds: dict[int, Hold] = {}
        self._again: list[tuple[float, int, int]] = []  # when, sequence and turn of what waits for redelivery

    def take(self) -> Hold | None:
        """What a member may have next, or ``None``; ``hand_over`` follows."""
        hold = self._due_again()
        if hold is None:
            entry = self._cursor.pop()
            if entry is None:
                return None
            hold = self._holds[entry.sequence] = Hold(entry)
        hold.attempt += 1
        hold.turn += 1
        return hold

    def _due_again(self) -> Hold | None:
        now = self._log.clock.monotonic()
        while self._again and self._again[0][0] <= now:
            _, sequence, turn = heapq.heappop(self._again)
            hold = self._holds.get(sequence)
            if hold is None or hold.turn != turn:
                continue
            if not hold.entry.is_gone:
                return hold
            del self._holds[sequence]
        return None

    def hand_over(self, hold: Hold, delivery: ExpiringDelivery, ack_timeout: float) -> None:
        """The delivery of what was taken; from now on it has ``ack_timeout`` seconds."""
        hold.delivery = delivery
        self.extend(hold, hold.turn, ack_timeout)

    def extend(self, hold: Hold, turn: int, seconds: float) -> None:
        """A delivery has ``seconds`` from now on, if it is still the current one."""
        if self.is_current(hold, turn):
            hold.stop_timer()
            when = self._log.clock.monotonic() + seconds
            hold.timer = self._log.call_at(when, lambda: self._expire(hold, turn))

    def is_current(self, hold: Hold, turn: int) -> bool:
        """Whether nothing has happened to the message since that delivery."""
        return hold.turn == turn and self._holds.get(hold.entry.sequence) is hold

    def _expire(self, hold: Hold, turn: int) -> None:
        if not self.is_current(hold, turn) or hold.delivery is None:
            return
        hold.delivery.expire()
        if hold.attempt < self.max_deliver:
            self.give_back(hold, turn, 0.0)
        else:
            self._give_up(hold, turn)

    def _give_up(self, hold: Hold, turn: int) -> None:
        if hold.delivery is None or not self.is_current(hold, turn):
            return
        try:
            self.write_deadletter(hold.delivery, f"no answer in time, {hold.attempt} times")
        except StreamNotFoundError as exc:
            logger.warning("dead letter not stored, the message stays: %s", exc)
            self._log.call_at(self._log.clock.monotonic() + _LETTER_RETRY, lambda: self._give_up(hold, turn))
        else:
            self.finish(hold)

    def write_deadletter(self, delivery: Delivery, reason: str) -> None:
        """Store the dead letter; ``StreamNotFoundError`` if no stream takes it."""
        now_ms = self._log.clock.now_ms()
        letter = deadletter_for(delivery, reason, now_ms)
        subject = deadletter_subject(delivery.envelope.subject)
        trace = delivery.envelope.traceparent
        envelope = Envelope(new_ulid(), subject, now_ms, deadletter.encode(letter), trace)
        self._log.publish(envelope, letter.storage_key(), None)
        logger.warning(
            "message dead-lettered: %s",
            reason,
            extra={"message_id": delivery.envelope.id, "subject": delivery.envelope.subject, "group": self.name},
        )

    def finish(self, hold: Hold) -> None:
        """The group is done with a message, also when an earlier delivery than the current one says so."""
        if self._holds.get(hold.entry.sequence) is hold:
            del self._holds[hold.entry.sequence]
            hold.stop_timer()
            if hold.delivery is not None:
                hold.delivery.expire()

    def give_back(self, hold: Hold, turn: int, delay: float) -> None:
        """Deliver it again, ``delay`` seconds from now at the earliest, if that delivery is still the current one."""
        if not self.is_current(hold, turn):
            return
        hold.turn += 1
        hold.stop_timer()
        when = self._log.clock.monotonic() + delay
        heapq.heappush(self._again, (when, hold.entry.sequence, hold.turn))
        if delay > 0:
            self._log.call_at(when, self.wake)
        else:
            self.wake()

    def wake(self) -> None:
        """There may be something for a member."""
        for member in self.members:
            member.event.set()

    def floor(self) -> int:
        """Everything of the pattern below this sequence is settled."""
        ahead = self._cursor.peek()
        held = (hold.entry.sequence for hold in self._holds.values() if not hold.entry.is_gone)
        return min(held, default=self._log.next_sequence if ahead is None else ahead.sequence)

    def lag(self) -> Lag:
        """See ``Transport.lag``."""
        ahead = list(self._cursor.remaining())
        held = [hold.entry for hold in self._holds.values() if not hold.entry.is_gone]
        oldest = min((entry.stored_ms for entry in (*ahead, *held)), default=None)
        age = None if oldest is None else max(0.0, (self._log.clock.now_ms() - oldest) / 1000)
        return Lag(len(ahead), len(held), age)


class MemoryEngine:
    """Streams and groups in memory, for any number of ``MemoryTransport`` clients of one event loop.

    With a ``ManualClock`` call ``tick`` after moving it: delayed messages, ack timeouts and retention follow the clock.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.log = MemoryLog(clock or SystemClock())
        self._groups: dict[tuple[str, str], Group] = {}

    def tick(self) -> None:
        """Do what is due by the clock; happens by itself with the system clock."""
        self.log.tick()

    def join(self, pattern: str, name: str, options: ConsumeOptions) -> Group:
        """The group, made if it is new; see ``Transport.consume``."""
        self.log.required(pattern)
        group = self._groups.get((pattern, name))
        if group is None:
            group = self._groups[pattern, name] = Group(self.log, pattern, name, options.start)
        group.max_deliver = options.max_deliver
        return group

    def lag(self, pattern: str, name: str) -> Lag:
        """See ``Transport.lag``."""
        group = self._groups.get((pattern, name))
        return Lag(0, 0, None) if group is None else group.lag()

    def memberships(self, name: str) -> list[Membership]:
        """See ``Transport.memberships``."""
        stream = self.log.stream_named(name)
        return [Membership(pattern, group) for pattern, group in self._groups if stream.overlaps(pattern)]

    def trim(self, subject: str, before: int, through: Position | None) -> int:
        """See ``Transport.trim``."""
        stream = self.log.stream_of(subject)
        floors = [group.floor() for group in self._groups.values() if overlaps(group.pattern, subject)]
        floor = min(floors, default=self.log.next_sequence)
        if through is not None:
            floor = min(floor, through.major + 1)
        doomed = [e for e in stream.of_subject(subject) if e.stored_ms < before and e.sequence < floor]
        stream.remove(doomed)
        return len(doomed)
