"""Members of consumer groups.

A member reads from the subjects that a wake-up or the index of subjects has named, never from idle ones, and without
blocking the connection: so ten thousand idle subjects cost it nothing. What comes back (refused, or not answered in
time) is claimed by a script that counts deliveries; what has been delivered ``max_deliver`` times is written to the
dead letters, and only then acknowledged.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from math import ceil
from operator import attrgetter
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from gbe.envelope import Envelope
from gbe.errors import TransportClosedError, TransportError
from gbe.redis.client import RedisClient
from gbe.redis.errors import RedisFailedError
from gbe.redis.protocol import Argument, ReplyError
from gbe.schemas import deadletter
from gbe.subjects import is_literal
from gbe.transport import draining
from gbe.transport.base import (
    ConsumeOptions,
    Consumption,
    Delivery,
    Parcel,
    deadletter_for,
    deadletter_subject,
    in_parcels,
)
from gbe.transport.redis import wire
from gbe.transport.redis.activity import Activity, Watch
from gbe.transport.redis.errors import is_missing_group, translated
from gbe.transport.redis.groups import Groups, Subscription
from gbe.transport.redis.inflight import Inflight
from gbe.transport.redis.keys import SubjectKeys, keys_of
from gbe.transport.redis.parcels import Parcels, RedisParcel
from gbe.transport.redis.scripts import ACTIVE, CLAIM, EXTEND, GIVE_BACK
from gbe.transport.redis.sources import Reading, Source
from gbe.transport.redis.streams import StreamRegistry
from gbe.transport.redis.wakes import Follower, Wakes

logger = logging.getLogger(__name__)

T = TypeVar("T")

StoreLetter = Callable[[str, bytes, str, str | None], Awaitable[None]]
"""Stores a dead letter: subject, payload, idempotency key, trace context."""

_LOOK_EVERY: Final = 1.0  # for what was not answered, at the latest
_LETTER_RETRY_MS: Final = 1_000
_MOST_SUBJECTS: Final = 16  # read at a time
_WAITED_LITTLE: Final = 0.95  # of the ack timeout left on handing over: not worth a message to the engine
_EXTEND_BELOW: Final = 0.6  # of the ack timeout left: a message that waits in this member is kept for it
_FAILURE_PAUSE: Final = 0.2
_LEAVE_TIMEOUT: Final = 2.0  # for a read that is under way when a member leaves
_AT_ONCE: Final = 500
_MOST_IN_A_SCRIPT: Final = 1_000  # deliveries: some milliseconds of the server's time
_MOST_ROUNDS: Final = 16  # of one turn: then the others are looked at again
_MOST_BYTES_AHEAD: Final = 1024 * 1024  # of payload in a read after which the next one may be asked for ahead
_ONE_OF: Final = 8  # messages tells about how large they are


class RedisDelivery(Delivery):
    """A delivery, known on the engine by its entry id and its count."""

    __slots__ = ("count", "entry_id", "expires_at", "member", "names", "number")

    def __init__(
        self,
        envelope: Envelope,
        count: int,
        member: "RedisConsumption",
        names: SubjectKeys,
        entry_id: bytes,
        expires_at: float,
        number: int = 0,
    ) -> None:
        self.envelope, self.attempt, self.group = envelope, count, member.group
        self.position = self.since = wire.position_of(entry_id)
        self.failure = None
        self._settled = False
        self.member, self.names, self.entry_id, self.count = member, names, entry_id, count
        self.expires_at, self.number = expires_at, number

    async def _ack(self) -> None:
        self.member.acknowledge(self)

    def settled(self) -> bytes:
        """End the delivery, which is open; returns its entry id, which somebody is to acknowledge."""
        self._settled = True
        return self.entry_id

    async def _nak(self, delay: float) -> None:
        if self.expires_at <= time.monotonic():
            self.member.release(self)  # the message is another delivery's by now: do not take it from there
        elif self.attempt >= self.member.options.max_deliver:
            await self._dead_letter(f"not acknowledged in {self.attempt} deliveries")
        else:
            self.member.give_back(self, self.count, delay)

    async def _dead_letter(self, reason: str) -> None:
        try:
            await self.member.write_deadletter(self, reason)
        except BaseException:
            self._settled = False  # not stored: the caller may try again, or the message comes back by itself
            raise
        self.member.acknowledge(self)

    async def _in_progress(self) -> None:
        self.member.extend(self)


class _Outbox:
    """Answers to deliveries: gathered for one step of the loop, then sent, one command for each subject and kind."""

    def __init__(self, client: RedisClient, group: str) -> None:
        self._client, self._group = client, group
        self._loop = asyncio.get_running_loop()
        self._acks: dict[SubjectKeys, list[Argument]] = {}
        self._returns: dict[SubjectKeys, list[Argument]] = {}
        self._extensions: dict[SubjectKeys, list[Argument]] = {}
        self._is_scheduled = False
        self.sending: set[asyncio.Task[None]] = set()

    def acknowledge(self, names: SubjectKeys, entry_id: bytes) -> None:
        acks = self._acks.get(names)
        if acks is None:
            acks = self._acks[names] = []
        acks.append(entry_id)
        if not self._is_scheduled:
            self._schedule()

    def acknowledge_all(self, names: SubjectKeys, entry_ids: Iterable[bytes]) -> None:
        self._acks.setdefault(names, []).extend(entry_ids)
        self._schedule()

    def give_back(self, names: SubjectKeys, entry_id: bytes, count: int, leave: int, delay_ms: int) -> None:
        self._returns.setdefault(names, []).extend((entry_id, count, leave, delay_ms))
        self._schedule()

    def extend(self, names: SubjectKeys, entry_id: bytes, count: int) -> None:
        self._extensions.setdefault(names, []).extend((entry_id, count))
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what is gathered."""
        self._is_scheduled = False
        acks, self._acks = self._acks, {}
        for names, ids in acks.items():
            self._send(self._client.call("XACK", names.stream, self._group, *ids, slot=names.slot))
        returns, self._returns = self._returns, {}
        for names, arguments in returns.items():
            script_keys = [names.stream, names.waiting(self._group)]
            for some in _portions(arguments, 4):
                self._send(self._client.run(GIVE_BACK, script_keys, [self._group, *some]))
        extensions, self._extensions = self._extensions, {}
        for names, arguments in extensions.items():
            for some in _portions(arguments, 2):
                self._send(self._client.run(EXTEND, [names.stream], [self._group, *some]))

    def _send(self, command: Coroutine[Any, Any, Any]) -> None:
        task = self._loop.create_task(self._carry_out(command))
        self.sending.add(task)
        task.add_done_callback(self.sending.discard)

    async def _carry_out(self, command: Coroutine[Any, Any, Any]) -> None:
        try:
            await command
        except (RedisFailedError, ReplyError) as exc:
            logger.warning("answer not taken, the messages come back: %s", exc, extra={"group": self._group})

    async def flushed(self) -> None:
        """Wait until everything that was answered before has arrived, or cannot."""
        self.flush()
        if self.sending:
            await asyncio.wait(set(self.sending))  # those that follow are not waited for: they might never end


def _portions(arguments: Sequence[Argument], words: int) -> Iterator[Sequence[Argument]]:
    """What one script is told at a time, of ``words`` for each delivery: nobody else is served while it runs."""
    size = words * _MOST_IN_A_SCRIPT
    return (arguments[begin : begin + size] for begin in range(0, len(arguments), size))


class RedisConsumption(Consumption):
    """One member of a group; see the module's docstring."""

    def __init__(
        self,
        client: RedisClient,
        streams: StreamRegistry,
        groups: Groups,
        activity: Activity,
        wakes: Wakes,
        pattern: str,
        group: str,
        options: ConsumeOptions,
        store_letter: StoreLetter,
        on_settled: "Callable[[RedisConsumption], object]",
    ) -> None:
        self._client, self._streams, self._groups = client, streams, groups
        self._activity, self._wakes = activity, wakes
        self._store_letter, self._on_settled = store_letter, on_settled
        self._pattern, self.group, self.options = pattern, group, options
        self._buffer: deque[RedisDelivery] = deque()
        self._held: set[RedisDelivery] = set()
        self._arrived = asyncio.Event()
        self._work = asyncio.Event()
        self._ready: dict[str, None] = {}  # subjects that may have messages for us, in the order of their turns
        self._returning: dict[str, None] = {}  # subjects where something may have come back
        self._returned: dict[str, None] = {}  # subjects to which we have given messages back since the last look
        self._returned_before: dict[str, None] = {}  # the same since the one before
        self._timers: set[asyncio.TimerHandle] = set()
        self._chosen: list[str] = []  # subjects whose turn it is
        self._asked = 0  # messages for which a read is under way, until they are taken
        self._gives_parcels = False
        self.parcels_kept = Parcels()
        self._sources: dict[str, Source] = {}  # by subject, where gaps are to be told
        self._followers: dict[str, Follower] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pump_task: asyncio.Task[None] | None = None
        self._watch: Watch | None = None
        self._inflight: Inflight | None = None
        self._forgetting: asyncio.TimerHandle | None = None
        self._stopped = False

    subscription: Subscription
    _outbox: _Outbox

    # -- life

    async def __aenter__(self) -> Self:
        if self._stopped:
            raise TransportClosedError("the transport is closed")
        try:
            await self._join()
        except BaseException:
            await self.stop()
            raise
        return self

    async def _join(self) -> None:
        self.subscription = await self._groups.ensure(self._pattern, self.group, self.options.start)
        self._outbox = _Outbox(self._client, self.subscription.name)
        with translated(f"join group {self.group} of {self._pattern}"):
            if is_literal(self._pattern):
                await self._follow([self._pattern], looks=True)
            else:
                self._inflight = Inflight(self._client, self.subscription.name, self.options.ack_timeout)
                self._watch = await self._activity.watch([self._pattern], self._on_subject)
                streams = self._streams.overlapping(self._pattern)
                subjects = await self._activity.subjects(streams, [self._pattern])
                for begin in range(0, len(subjects), _AT_ONCE):
                    await self._follow(subjects[begin : begin + _AT_ONCE], looks=False)
        self._pump_task = asyncio.get_running_loop().create_task(self._pump(), name=f"gbe.consume.{self.group}")
        self._spawn(self._look_after())

    async def _follow(self, subjects: list[str], *, looks: bool) -> None:
        """Be woken for these subjects, and be known on them."""
        fresh = [subject for subject in subjects if subject not in self._followers]
        for subject in fresh:
            self._followers[subject] = self._wakes.follow(subject, self._on_wake, looks=looks)
        async with asyncio.timeout(self._client.config.request_timeout):
            for subject in fresh:
                await asyncio.shield(self._followers[subject].confirmed)
        await asyncio.gather(*(self._groups.ensure_on(self.subscription, subject) for subject in fresh))
        for subject in fresh:
            self._ready[subject] = None
            if looks:
                self._returning[subject] = None
        self._work.set()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End the flow and return what nobody has taken; safe to repeat."""
        if self._stopped:
            return
        self._stopped = True
        self._arrived.set()
        self._work.set()
        if self._watch is not None:
            self._activity.unwatch(self._watch)
        for follower in self._followers.values():
            self._wakes.leave(follower)
        for timer in self._timers:
            timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._pump_task is not None:
            # a read that is under way has taken messages: they are returned, not left to their ack timeout
            await asyncio.wait({self._pump_task}, timeout=_LEAVE_TIMEOUT)
            self._pump_task.cancel()
            await asyncio.gather(self._pump_task, return_exceptions=True)
            unseen = [*self._buffer]
            for parcel in self.parcels_kept.hand_over(lambda _: True):
                unseen += self.take_apart(parcel)
            self._buffer.clear()
            for delivery in unseen:
                self.give_back(delivery, delivery.count - 1, 0.0)  # the delivery does not count
            self._outbox.flush()
            if self._outbox.sending:
                await asyncio.wait(self._outbox.sending, timeout=_LEAVE_TIMEOUT)
            await self._tell_who_comes_next()
        self._tell_if_settled()  # nothing is left to drain
        self._forget_later()

    async def drain(self, timeout: float) -> None:
        """Stop, give the deliveries that callers hold ``timeout`` seconds to end, then return those that did not."""
        await self.stop()
        if self._forgetting is not None:
            self._forgetting.cancel()
        kept = self.parcels_kept
        await draining.ended(
            lambda: [*self._held, *kept.held], timeout, self.group, messages=lambda: len(self._held) + kept.messages
        )
        for parcel in list(kept.held):
            self.take_apart(parcel)
        for delivery in list(self._held):
            self.give_back(delivery, delivery.count, 0.0)
        if self._pump_task is not None:
            await self._outbox.flushed()
            await self._tell_who_comes_next()

    async def _tell_who_comes_next(self) -> None:
        """Perhaps nobody is left to be woken by what we have returned: then the next member is to look at once."""
        subjects = [*self._returned_before, *self._returned]
        self._returned, self._returned_before = {}, {}
        if self._inflight is not None and subjects:
            try:
                await self._inflight.returned(subjects, _LEAVE_TIMEOUT)
            except (RedisFailedError, ReplyError) as exc:
                logger.debug("returned messages not announced: %s", exc)  # they are found, though later

    async def answered(self) -> None:
        """Wait until every answer that was given before has arrived."""
        if self._pump_task is not None:
            await self._outbox.flushed()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"gbe.consume.{self.group}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- deliveries out

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        while True:
            if self._stopped:
                raise StopAsyncIteration
            while self._buffer:
                delivery = self._buffer.popleft()
                if len(self._buffer) <= self.options.batch_size // 2:
                    self._work.set()
                if self._is_handed_over(delivery, time.monotonic()):
                    return delivery
            self._arrived.clear()
            await self._arrived.wait()

    def batches(self) -> AsyncIterator[list[Delivery]]:
        """See ``Consumption.batches``."""
        return self._whenever_there_are(self._hand_over)

    def parcels(self) -> AsyncIterator[list[Parcel]]:
        """See ``Consumption.parcels``. What comes back to the group comes as a delivery, and is a parcel of its own."""
        return self._whenever_there_are(self._hand_over_parcels)

    async def _whenever_there_are(self, hand_over: Callable[[float], list[T]]) -> AsyncIterator[list[T]]:
        while not self._stopped:
            taken = hand_over(time.monotonic())
            self._work.set()
            if taken:
                yield taken
            else:
                self._arrived.clear()
                await self._arrived.wait()

    def _hand_over(self, now: float) -> list[Delivery]:
        buffer, self._buffer = self._buffer, deque()
        return [delivery for delivery in buffer if self._is_handed_over(delivery, now)]

    def _hand_over_parcels(self, now: float) -> list[Parcel]:
        self._gives_parcels = True
        return [
            *in_parcels(self._hand_over(now)),
            *self.parcels_kept.hand_over(partial(self._is_parcel_handed_over, now=now)),
        ]

    def _is_parcel_handed_over(self, parcel: RedisParcel, now: float) -> bool:
        """As for a delivery."""
        left = parcel.expires_at - now
        if left <= 0:
            return False
        if parcel.number:
            source = self._sources[parcel.subject]
            parcel.since = source.since(parcel.number, parcel.first, len(parcel))
        else:
            parcel.since = parcel.first
        if left < _WAITED_LITTLE * self.options.ack_timeout:
            self.extend_parcel(parcel)
        return True

    def _is_handed_over(self, delivery: RedisDelivery, now: float) -> bool:
        """Whether the group still counts on this delivery; then its whole ack timeout begins now."""
        left = delivery.expires_at - now
        if left <= 0:
            return False  # others have it by now
        self._held.add(delivery)
        if delivery.number:
            source = self._sources[delivery.names.subject]
            delivery.since = source.since(delivery.number, delivery.position)
        if left < _WAITED_LITTLE * self.options.ack_timeout:
            self.extend(delivery)
        return True

    def acknowledge(self, delivery: RedisDelivery) -> None:
        """Done: nobody of the group sees it again."""
        self._outbox.acknowledge(delivery.names, delivery.entry_id)
        self.release(delivery)

    def acknowledge_all(self, names: SubjectKeys, deliveries: list[RedisDelivery]) -> None:
        """The same of many, all of one subject."""
        self._outbox.acknowledge_all(names, [delivery.settled() for delivery in deliveries])
        self._held.difference_update(deliveries)
        self._work.set()
        if self._stopped:
            self._tell_if_settled()

    def acknowledge_parcel(self, parcel: RedisParcel) -> None:
        """The same of a parcel."""
        self._outbox.acknowledge_all(parcel.names, parcel.entry_ids)
        self.release_parcel(parcel)

    def take_apart(self, parcel: RedisParcel) -> list[RedisDelivery]:
        """Deliveries in place of a parcel."""
        parcel.settle()
        self.parcels_kept.release(parcel)
        deliveries = [
            RedisDelivery(envelope, 1, self, parcel.names, entry_id, parcel.expires_at)
            for envelope, entry_id in zip(parcel.envelopes, parcel.entry_ids, strict=True)
        ]
        self._held.update(deliveries)
        return deliveries

    def _tell_if_settled(self) -> None:
        if not self._held and not self.parcels_kept.messages:
            self._on_settled(self)

    def give_back(self, delivery: RedisDelivery, count: int, delay: float) -> None:
        """Return a message to the group, with the number of deliveries that it is to have."""
        # the server counts from the beginning of its millisecond: one more, or what is refused would come back early
        delay_ms = ceil(delay * 1000) + 1 if delay > 0 else 0
        self._outbox.give_back(delivery.names, delivery.entry_id, delivery.count, count, delay_ms)
        self._returned[delivery.names.subject] = None
        self.release(delivery)
        if delay > 0 and not self._stopped:
            self._return_at(delivery.names.subject, delay)

    def extend(self, delivery: RedisDelivery) -> None:
        """The ack timeout of a delivery starts again now."""
        delivery.expires_at = time.monotonic() + self.options.ack_timeout
        self._outbox.extend(delivery.names, delivery.entry_id, delivery.count)

    def extend_parcel(self, parcel: RedisParcel) -> None:
        """The same of a parcel."""
        parcel.expires_at = time.monotonic() + self.options.ack_timeout
        for entry_id in parcel.entry_ids:
            self._outbox.extend(parcel.names, entry_id, 1)

    def release(self, delivery: RedisDelivery) -> None:
        """The place of a delivery is free, whatever the engine thinks of the message."""
        if delivery in self._held:
            self._held.discard(delivery)
            self._is_released()

    def release_parcel(self, parcel: RedisParcel) -> None:
        """The same of a parcel."""
        if self.parcels_kept.release(parcel):
            self._is_released()

    def replace_parcel(self, parcel: RedisParcel, part: RedisParcel | None) -> None:
        """A part takes the place of a parcel; of the other part the same is said."""
        self.parcels_kept.replace(parcel, part)
        if part is None:
            self._is_released()

    def _is_released(self) -> None:
        self._work.set()
        if self._stopped:
            self._tell_if_settled()

    async def write_deadletter(self, delivery: Delivery, reason: str) -> None:
        """Store the dead letter; returns when the engine has it."""
        letter = deadletter_for(delivery, reason, time.time_ns() // 1_000_000)
        envelope = delivery.envelope
        await self._store_letter(
            deadletter_subject(envelope.subject), deadletter.encode(letter), letter.storage_key(), envelope.traceparent
        )
        logger.warning(
            "message dead-lettered: %s",
            reason,
            extra={"message_id": envelope.id, "subject": envelope.subject, "group": self.group},
        )

    # -- what there is to do

    def _on_wake(self, subject: str, message: bytes | None) -> None:
        if message == wire.REDELIVERY or (message is None and self._inflight is None):
            self._returning[subject] = None
        if message != wire.REDELIVERY:
            self._ready[subject] = None
        self._work.set()

    def _on_subject(self, subject: str) -> None:
        if subject in self._followers:
            self._ready[subject] = None
            self._work.set()
        elif not self._stopped:
            self._spawn(self._adopt(subject))

    async def _adopt(self, subject: str) -> None:
        try:
            with translated(f"follow {subject}"):
                await self._follow([subject], looks=False)
        except (TransportError, TimeoutError) as exc:
            logger.warning("subject not followed yet: %s", exc, extra={"subject": subject})
            follower = self._followers.pop(subject, None)  # the index names it again while it is in use
            if follower is not None:
                self._wakes.leave(follower)

    def _return_at(self, subject: str, delay: float) -> None:
        """Look for what comes back on a subject, ``delay`` seconds from now."""
        loop = asyncio.get_running_loop()

        def due() -> None:
            self._timers.discard(timer)
            self._returning[subject] = None
            self._work.set()

        timer = loop.call_later(delay + 0.002, due)
        self._timers.add(timer)

    async def _look_after(self) -> None:
        """Keep what waits here for its turn, free the places of deliveries that nobody answered, and see what others
        have left unanswered."""
        timeout = self.options.ack_timeout
        while True:
            now = time.monotonic()
            self._returned_before, self._returned = self._returned, {}
            for delivery in self._buffer:
                if 0 < delivery.expires_at - now < _EXTEND_BELOW * timeout:
                    self.extend(delivery)
            for parcel in self.parcels_kept.here:
                if 0 < parcel.expires_at - now < _EXTEND_BELOW * timeout:
                    self.extend_parcel(parcel)
            self._free_expired(now)
            if self._inflight is None:
                self._returning[self._pattern] = None
            else:
                try:
                    for subject in await self._inflight.due():
                        self._returning[subject] = None
                except (RedisFailedError, ReplyError) as exc:
                    logger.debug("unanswered messages not looked for: %s", exc)
            self._work.set()
            await asyncio.sleep(min(_LOOK_EVERY, max(timeout / 4, 0.02)))

    def _free_expired(self, now: float) -> None:
        """What nobody answered in time takes no place any more."""
        for delivery in [delivery for delivery in self._held if delivery.expires_at <= now]:
            self.release(delivery)
        for parcel in [parcel for parcel in self.parcels_kept.held if parcel.expires_at <= now]:
            self.release_parcel(parcel)

    def _forget_later(self) -> None:
        """What a caller holds of a member that has left, and never answers, is not kept for ever."""
        if self._held or self.parcels_kept.held:
            pause = max(self.options.ack_timeout / 4, 0.1)
            self._forgetting = asyncio.get_running_loop().call_later(pause, self._forget)

    def _forget(self) -> None:
        self._free_expired(time.monotonic())
        self._forget_later()

    # -- deliveries in

    def _room(self) -> int:
        """For how many messages to ask, once there is room enough to be worth a request."""
        batch, ahead = self.options.batch_size, self._ahead
        if ahead > batch // 2:
            return 0
        return min(self._places(), batch - ahead)

    @property
    def _ahead(self) -> int:
        """Messages that are here and not handed over."""
        return len(self._buffer) + self.parcels_kept.ahead

    def _places(self) -> int:
        """How many more messages this member may have."""
        return self.options.max_inflight - len(self._held) - len(self._buffer) - self.parcels_kept.messages

    async def _pump(self) -> None:
        while not self._stopped:
            room = self._room()
            try:
                if room > 0 and self._returning:
                    await self._turn(self._returning, room, self._claim)
                elif room > 0 and self._ready:
                    await self._turn(self._ready, room, self._read)
                else:
                    self._work.clear()
                    await self._work.wait()
            except (RedisFailedError, ReplyError, TransportError) as exc:
                logger.warning("no messages read for now: %s", exc, extra={"group": self.group})
                await asyncio.sleep(_FAILURE_PAUSE)

    async def _turn(self, subjects: dict[str, None], room: int, work: Callable[[str, int], Awaitable[bool]]) -> None:
        """Look at the subjects whose turn it is; those that have more get another turn."""
        chosen = [subject for subject, _ in zip(subjects, range(min(room, _MOST_SUBJECTS)), strict=False)]
        self._chosen = chosen
        for subject in chosen:
            del subjects[subject]
        if self._inflight is not None:
            try:
                await self._inflight.mark(chosen)
            except BaseException:
                subjects.update(dict.fromkeys(chosen))
                raise
        share = room // len(chosen)
        if len(chosen) == 1:
            results: list[Any] = [await _outcome(work(chosen[0], share))]
        else:
            results = await asyncio.gather(*(work(subject, share) for subject in chosen), return_exceptions=True)
        failure: BaseException | None = None
        for subject, more in zip(chosen, results, strict=True):
            if isinstance(more, BaseException):
                failure = more
                subjects[subject] = None
            elif more:
                subjects[subject] = None
        if failure is not None:
            raise failure

    async def _read(self, subject: str, limit: int) -> bool:
        """Take new messages of a subject; whether there may be more.

        While it is full of messages and the caller takes them as they come, the next ones are asked for before these
        are looked at: so the server and this member work at the same time.
        """
        reading = self._start_reading(subject, limit)
        for rounds_left in range(_MOST_ROUNDS, 0, -1):
            following = 0
            try:
                entries = await reading.entries()
                is_full = len(entries) >= reading.limit
                if is_full and rounds_left > 1:
                    following = self._room_ahead(subject, entries)
                if following:
                    next_reading = self._start_reading(subject, following)
                    await asyncio.sleep(0)  # the link writes in the next step of the loop
                if entries:
                    self._take(subject, entries, reading.came)
            except ReplyError as exc:
                if not is_missing_group(exc):
                    raise
                return await self._restore(subject)
            finally:
                self._asked -= reading.limit  # until they are here: others count them meanwhile
            if not following:
                if entries and self._inflight is not None and not self._inflight.is_valid(subject):
                    await self._inflight.mark([subject])
                return is_full
            reading = next_reading
        return True

    async def _restore(self, subject: str) -> bool:
        """The engine knows the group there no more: nor what it had; whether it has the stream."""
        if subject in self._sources:
            self._sources[subject].interrupt()
        return await self._groups.restore(self.subscription, self.group, subject)

    def _start_reading(self, subject: str, limit: int) -> Reading:
        names = keys_of(subject)
        source = self._sources.setdefault(subject, Source()) if self.options.tells_gaps else None
        command = ("XREADGROUP", "GROUP", self.subscription.name, ACTIVE, "COUNT", limit, "STREAMS", names.stream, ">")
        self._asked += limit
        return Reading(self._client, command, names, limit, source)

    def _room_ahead(self, subject: str, coming: Sequence[Any]) -> int:
        """For how many messages to ask while others of the subject are coming in already."""
        page = self.options.batch_size // len(self._chosen)
        is_full = self._ahead > self.options.batch_size // 2
        room = self._places() - self._asked  # those that are coming in are among them
        if not self._gives_parcels or self._stopped or is_full or not 0 < page <= room or self._has_others_to_read():
            return 0
        if _ONE_OF * sum(len(fields[-1]) for _, fields in coming[::_ONE_OF]) > _MOST_BYTES_AHEAD:
            return 0
        return page if self._inflight is None or self._inflight.is_fresh(subject) else 0

    def _has_others_to_read(self) -> bool:
        return bool(self._returning) or any(subject not in self._chosen for subject in self._ready)

    def _take(self, subject: str, entries: Sequence[Any], came: float) -> None:
        """Messages of a subject are here, since a moment."""
        names = keys_of(subject)
        source = self._sources.get(subject)
        expires_at = came + self.options.ack_timeout
        alive = self._alive(names, entries)
        number = 0
        if source is not None:
            source.number(len(entries) - len(alive))
            number = source.number(len(alive))
        if not alive:
            return
        if self._gives_parcels:
            self.parcels_kept.arrive(RedisParcel(self, names, alive, expires_at, number))
        else:
            buffer, is_told = self._buffer, source is not None
            for place, (entry_id, fields) in enumerate(alive):
                envelope = wire.entry_envelope(subject, entry_id, fields)
                its_number = number + place if is_told else 0
                buffer.append(RedisDelivery(envelope, 1, self, names, entry_id, expires_at, its_number))
        self._arrived.set()

    def _alive(self, names: SubjectKeys, entries: Sequence[Any]) -> Sequence[Any]:
        """Without those that are too old for anybody: they are the first ones, and done with."""
        stream = self._streams.known(names.subject)
        border = self._client.now_ms() - stream.age_ms if stream is not None and stream.age_ms else 0
        if border <= 0 or wire.position_of(entries[0][0]).major > border:
            return entries
        old = sum(wire.position_of(entry_id).major <= border for entry_id, _ in entries)
        self._outbox.acknowledge_all(names, [entry_id for entry_id, _ in entries[:old]])
        return entries[old:]

    async def _claim(self, subject: str, limit: int) -> bool:
        """Take what came back; whether there may be more."""
        names, group = keys_of(subject), self.subscription.name
        timeout_ms = round(self.options.ack_timeout * 1000)
        arguments: list[Argument] = [group, timeout_ms, limit, self.options.max_deliver, _LETTER_RETRY_MS]
        try:
            found, following, unanswered, now = await self._client.run(
                CLAIM, [names.stream, names.waiting(group)], arguments
            )
        except ReplyError as exc:
            if not is_missing_group(exc):
                raise
            await self._restore(subject)
            return False
        expires_at = time.monotonic() + self.options.ack_timeout
        for entry_id, count, is_given_up, fields in found:
            envelope = wire.entry_envelope(subject, entry_id, fields)
            delivery = RedisDelivery(envelope, count, self, names, entry_id, expires_at)
            if is_given_up:
                self._spawn(self._give_up(delivery))
            else:
                self._buffer.append(delivery)
        self._arrived.set()
        if following and float(following) - now < _LOOK_EVERY * 1000:
            self._return_at(subject, max(0.0, (float(following) - now) / 1000))
        if self._inflight is not None and not unanswered:
            await self._inflight.done(subject)
        return len(found) >= limit

    async def _give_up(self, delivery: RedisDelivery) -> None:
        reason = f"no answer within {self.options.ack_timeout:g} s, {delivery.attempt} times"
        try:
            await delivery.dead_letter(reason)
        except TransportError as exc:
            logger.warning("dead letter not stored, the message stays: %s", exc)  # and is tried again


def acknowledge_all(deliveries: Iterable[RedisDelivery]) -> None:
    """``ack`` each that has not ended, with one command for those that follow on one another in a member's subject."""
    for (member, names), those in groupby(deliveries, _place_of):
        member.acknowledge_all(names, [delivery for delivery in those if not delivery._settled])  # noqa: SLF001  ours


_place_of: Final[Callable[[RedisDelivery], tuple[RedisConsumption, SubjectKeys]]] = attrgetter("member", "names")


async def _outcome(work: Awaitable[bool]) -> bool | BaseException:
    try:
        return await work
    except Exception as exc:  # noqa: BLE001  told apart by the caller
        return exc
