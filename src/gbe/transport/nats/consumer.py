"""Consumer groups on durable pull consumers.

Each stream that a pattern touches has one durable consumer per (group, pattern); members pull from all of them. A
member keeps pull requests open for as many messages as its ``max_inflight`` leaves room for, and asks again before
the last have arrived, so that the engine never waits for it.

``max_deliver`` is ours, not the engine's: the engine would stop delivering in silence and move its acknowledgement
floor past the message. Instead the delivery beyond the last permitted one is written to the dead letters, and only
when that is stored is the original acknowledged.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from gbe.envelope import Envelope
from gbe.errors import ConfigError, PayloadTooLargeError, TransportError
from gbe.schemas import deadletter
from gbe.transport import draining
from gbe.transport.base import (
    ConsumeOptions,
    Consumption,
    Delivery,
    Position,
    deadletter_for,
    deadletter_subject,
)
from gbe.transport.nats import wire
from gbe.transport.nats.connection import NatsConnection, status_of
from gbe.transport.nats.groups import GroupRegistry, durable_name
from gbe.transport.runs import Run

logger = logging.getLogger(__name__)

StoreLetter = Callable[[str, bytes, str, str | None], Awaitable[None]]
"""Stores a dead letter: subject, payload, idempotency key, trace context."""

_NANO: Final = 1_000_000_000
_PULL_EXPIRES: Final = 30 * _NANO
_HEARTBEAT: Final = 5 * _NANO  # the engine's sign of life on an open pull; two missed mean that it forgot the pull
_CHECK_INTERVAL: Final = 1.0
_WAITED_LITTLE: Final = 0.95  # of the ack timeout left on handing over: not worth a message to the engine
_EXTEND_BELOW: Final = 0.6  # of the ack timeout left: a message that waits in this member is kept for it


class _Puller:
    """One stream's part of a member: how many messages are asked for and not here yet, and how many are held."""

    __slots__ = ("asked", "held", "inbox", "ready", "restoring", "run", "seen", "stream", "subscription")

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.inbox = ""
        self.subscription: Subscription | None = None
        self.asked = self.ready = self.held = 0  # not here yet; here, and not handed over; here, and not settled
        self.seen = time.monotonic()
        self.restoring = False
        self.run = Run()


class NatsDelivery(Delivery):
    """A delivery whose answers are messages to its acknowledgement subject."""

    __slots__ = ("_member", "expires_at", "number", "puller", "reply")

    def __init__(
        self, envelope: Envelope, about: wire.AckSubject, member: "NatsConsumption", puller: _Puller, reply: str
    ) -> None:
        super().__init__(envelope, about.attempt, member.group, Position(about.sequence))
        self._member, self.puller, self.reply = member, puller, reply
        self.number = puller.run.base + about.consumer_sequence  # the engine's own count of what it delivers
        self.expires_at = time.monotonic() + member.options.ack_timeout

    async def _ack(self) -> None:
        self._member.answer(self, b"+ACK")

    async def _nak(self, delay: float) -> None:
        if self.expires_at <= time.monotonic():
            self._member.release(self)  # the message is another delivery's by now: do not take it from there
        elif self.attempt >= self._member.options.max_deliver:
            await self._dead_letter(f"not acknowledged in {self.attempt} deliveries")
        elif delay > 0:
            self._member.answer(self, b'-NAK {"delay": %d}' % round(delay * _NANO))
        else:
            self._member.answer(self, b"-NAK")

    async def _dead_letter(self, reason: str) -> None:
        try:
            await self._member.write_deadletter(self, reason)
        except BaseException:
            self._settled = False  # not stored: the caller may try again, or the message comes back by itself
            raise
        self._member.answer(self, b"+TERM")

    async def _in_progress(self) -> None:
        self._member.extend(self)


class NatsConsumption(Consumption):
    """One member of a group; see the module's docstring."""

    def __init__(
        self,
        connection: NatsConnection,
        groups: GroupRegistry,
        pattern: str,
        group: str,
        options: ConsumeOptions,
        store_letter: StoreLetter,
        on_settled: "Callable[[NatsConsumption], object]",
    ) -> None:
        self._connection, self._groups = connection, groups
        self._store_letter, self._on_settled = store_letter, on_settled
        self._pattern, self.group, self.options = pattern, group, options
        self._durable = durable_name(group, pattern)
        self._ready: deque[NatsDelivery] = deque()
        self._arrived = asyncio.Event()
        self._held: set[NatsDelivery] = set()
        self._pullers: dict[str, _Puller] = {}
        self._share = options.max_inflight
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop_listening: Callable[[], None] = lambda: None
        self._stopped = False

    # -- life

    async def __aenter__(self) -> Self:
        try:
            await self._join()
        except BaseException:
            await self.stop()
            raise
        return self

    async def _join(self) -> None:
        streams = await self._groups.ensure(self._pattern, self.group, self.options)
        if len(streams) > self.options.max_inflight:
            raise ConfigError(
                f"consume {self._pattern}: max_inflight is {self.options.max_inflight}; expected at least "
                f"{len(streams)}, one for each stream that the pattern touches"
            )
        self._share = self.options.max_inflight // len(streams)
        self._pullers = {stream: _Puller(stream) for stream in streams}
        for puller in self._pullers.values():
            await self._listen(puller)
        self._stop_listening = self._connection.on_reconnect(self._pull_afresh)
        self._spawn(self._watch())
        self._pull_all()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End the flow and return what nobody has taken; safe to repeat."""
        if self._stopped:
            return
        self._stopped = True
        self._stop_listening()
        for task in list(self._tasks):
            task.cancel()
        self._arrived.set()
        # first this, so that what is returned does not come here again; what was on its way is returned on arrival
        await asyncio.gather(
            *(self._connection.retire(p.subscription) for p in self._pullers.values() if p.subscription)
        )
        while self._ready:
            self.answer(self._ready.popleft(), b"-NAK")
        if not self._held:
            self._on_settled(self)  # nothing is left to drain
        if self._connection.is_connected:
            with suppress(TransportError):
                await self._connection.flush()

    async def drain(self, timeout: float) -> None:
        """Stop, give the deliveries that callers hold ``timeout`` seconds to end, then return those that did not."""
        await self.stop()
        await draining.ended(
            lambda: self._held, timeout, self.group, is_reachable=lambda: self._connection.is_connected
        )
        for delivery in list(self._held):
            self.answer(delivery, b"-NAK")

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
            while self._ready:
                delivery = self._ready.popleft()
                delivery.puller.ready -= 1
                self._pull(delivery.puller)
                if self._is_handed_over(delivery, time.monotonic()):
                    return delivery
            self._arrived.clear()
            await self._arrived.wait()

    async def batches(self) -> AsyncIterator[list[Delivery]]:
        """See ``Consumption.batches``."""
        while not self._stopped:
            ready, self._ready = self._ready, deque()
            for puller in self._pullers.values():
                puller.ready = 0
            now = time.monotonic()
            taken: list[Delivery] = [delivery for delivery in ready if self._is_handed_over(delivery, now)]
            self._pull_all()
            if taken:
                yield taken
            else:
                self._arrived.clear()
                await self._arrived.wait()

    def _is_handed_over(self, delivery: NatsDelivery, now: float) -> bool:
        """Whether the group still counts on this delivery; then its whole ack timeout begins now."""
        if delivery.expires_at <= now:
            self.release(delivery)
            return False
        if now > delivery.expires_at - _WAITED_LITTLE * self.options.ack_timeout:
            self.extend(delivery)
        is_first = delivery.attempt == 1
        delivery.since = delivery.puller.run.follow(delivery.number, delivery.position, is_first=is_first)
        return True

    def extend(self, delivery: NatsDelivery) -> None:
        """The ack timeout of a delivery starts again now."""
        delivery.expires_at = time.monotonic() + self.options.ack_timeout
        self.say(delivery, b"+WPI")

    def say(self, delivery: NatsDelivery, word: bytes) -> None:
        """Send one word of the acknowledgement protocol (+ACK, -NAK, +WPI, +TERM)."""
        self._connection.write(wire.plain_frame(delivery.reply, "", word))

    def answer(self, delivery: NatsDelivery, word: bytes) -> None:
        """End a delivery on the engine, and use its place for the next."""
        self.say(delivery, word)
        self.release(delivery)

    def release(self, delivery: NatsDelivery) -> None:
        """The place of a delivery is free, whatever the engine thinks of the message."""
        if delivery in self._held:
            self._held.discard(delivery)
            delivery.puller.held -= 1
            if not self._stopped:
                self._pull(delivery.puller)
            elif not self._held:
                self._on_settled(self)

    async def write_deadletter(self, delivery: Delivery, reason: str) -> None:
        """Store the dead letter; returns when the engine has it."""
        now_ms = time.time_ns() // 1_000_000
        letter = deadletter_for(delivery, reason, now_ms)
        envelope = delivery.envelope
        subject = deadletter_subject(envelope.subject)
        try:
            await self._store_letter(subject, deadletter.encode(letter), letter.storage_key(), envelope.traceparent)
        except PayloadTooLargeError:  # another program's message: its letter goes without what the engine cannot take
            note = f"{reason} (payload of {len(envelope.payload)} bytes left out, too large for a letter)"
            letter = deadletter_for(delivery, note, now_ms, with_payload=False)
            await self._store_letter(subject, deadletter.encode(letter), letter.storage_key(), envelope.traceparent)
        logger.warning(
            "message dead-lettered: %s",
            reason,
            extra={"message_id": envelope.id, "subject": envelope.subject, "group": self.group},
        )

    # -- deliveries in

    def _pull_all(self) -> None:
        for puller in self._pullers.values():
            self._pull(puller)

    def _pull(self, puller: _Puller) -> None:
        """Ask for as many messages as there is room for, once there is room enough to be worth a request."""
        batch = self.options.batch_size
        ahead = puller.asked + puller.ready  # what a member fetches ahead, no other member can have
        room = min(self._share - puller.held - puller.asked, batch - ahead)
        if room <= 0 or ahead > batch // 2:
            return
        if puller.restoring or not self._connection.is_connected:
            return  # whoever restores it asks afresh
        if not puller.asked:
            puller.seen = time.monotonic()
        puller.asked += room
        request = b'{"batch":%d,"expires":%d,"idle_heartbeat":%d}' % (room, _PULL_EXPIRES, _HEARTBEAT)
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{puller.stream}.{self._durable}"
        self._connection.write(wire.plain_frame(subject, puller.inbox, request))

    async def _listen(self, puller: _Puller) -> None:
        """Give a puller a new inbox. What the engine still keeps of requests to the old one ends with that."""
        if puller.subscription is not None:
            retired, puller.subscription = puller.subscription, None
            puller.run.break_off()
            await self._connection.retire(retired)
        inbox = puller.inbox = self._connection.new_inbox()

        def on_message(msg: Msg) -> None:
            was_asked = inbox == puller.inbox  # and not by a request that is given up since
            if self._stopped:
                if msg.reply:
                    self._connection.write(wire.plain_frame(msg.reply, "", b"-NAK"))
            elif msg.reply:
                puller.asked -= was_asked and puller.asked > 0
                self._on_delivery(msg, puller)
            elif was_asked:
                self._on_status(msg, puller)

        puller.subscription = await self._connection.subscribe(inbox, on_message)

    def _on_delivery(self, msg: Msg, puller: _Puller) -> None:
        about = wire.AckSubject(msg.reply)
        puller.seen = time.monotonic()
        puller.held += 1
        envelope = wire.envelope_of(msg.subject, msg.data, msg.headers, about.sequence, about.stored_ms)
        delivery = NatsDelivery(envelope, about, self, puller, msg.reply)
        self._held.add(delivery)
        if msg.subject.startswith(wire.SCHEDULED):  # a pattern that begins with a wildcard meets the waiting ones too
            self.answer(delivery, b"+ACK")
        elif about.attempt > self.options.max_deliver:
            self._spawn(self._give_up(delivery))
        else:
            self._ready.append(delivery)
            puller.ready += 1
            self._arrived.set()

    async def _give_up(self, delivery: NatsDelivery) -> None:
        # the engine has counted one delivery more than any caller has seen
        delivery.attempt = self.options.max_deliver
        try:
            await delivery.dead_letter(f"no answer within {self.options.ack_timeout:g} s, {delivery.attempt} times")
        except asyncio.CancelledError:
            self.answer(delivery, b"-NAK")  # this member leaves: the next one does it
            raise
        except TransportError as exc:
            logger.warning("dead letter not stored, the message stays: %s", exc)
            self.release(delivery)  # it comes back after the ack timeout, and is tried again

    def _on_status(self, msg: Msg, puller: _Puller) -> None:
        puller.seen = time.monotonic()
        status = status_of(msg)
        if status == "100":  # idle heartbeat
            return
        headers = msg.headers or {}
        description = headers.get("Description", "")
        if status == "503" or "Consumer Deleted" in description:
            self._restore_soon(puller)
            return
        # 408: the request expired; 409: leader changed or server shutting down. The rest of the request is void.
        if status != "408":
            puller.run.break_off()  # a new leader may count differently
        puller.asked = max(0, puller.asked - int(headers.get("Nats-Pending-Messages", puller.asked)))
        self._pull(puller)

    # -- keeping it going

    def _pull_afresh(self) -> None:
        """After a reconnect, and when the engine has gone silent: what was asked for is forgotten there."""
        for puller in self._pullers.values():
            puller.asked = 0
            self._restore_soon(puller)

    def _restore_soon(self, puller: _Puller) -> None:
        if not puller.restoring:
            puller.restoring = True
            self._spawn(self._restore(puller))

    async def _restore(self, puller: _Puller) -> None:
        """Make sure that the durable consumer exists, then pull again."""
        try:
            while True:
                try:
                    await self._groups.restore_on(puller.stream, self._pattern, self.group, self.options)
                    await self._listen(puller)
                    break
                except Exception as exc:  # noqa: BLE001 - whatever it is: who gives up here never pulls again
                    logger.warning("consumer not restored yet: %s", exc, extra={"group": self.group})
                    await asyncio.sleep(_CHECK_INTERVAL)
        finally:
            puller.restoring = False
        puller.asked = 0
        self._pull(puller)

    async def _watch(self) -> None:
        """Keep what waits here for its turn, free the places of deliveries that nobody answered, and notice pulls that
        the engine has forgotten."""
        while True:
            await asyncio.sleep(min(_CHECK_INTERVAL, self.options.ack_timeout / 4))
            now = time.monotonic()
            for delivery in self._ready:
                left = delivery.expires_at - now
                if 0 < left < _EXTEND_BELOW * self.options.ack_timeout and self._connection.is_connected:
                    self.extend(delivery)
            for delivery in [d for d in self._held if d.expires_at <= now and d not in self._ready]:
                self.release(delivery)
            for puller in self._pullers.values():
                silent = now - puller.seen
                if puller.asked and silent > 2.5 * _HEARTBEAT / _NANO and self._connection.is_connected:
                    logger.warning("no sign of life from a pull, asking again", extra={"stream": puller.stream})
                    puller.asked, puller.seen = 0, now
                    self._restore_soon(puller)
                elif not puller.asked:
                    self._pull(puller)
