"""Publishing: many at once, each confirmed by the engine, none stored twice.

What is published within one loop tick leaves in one write, and all confirmations arrive on one subscription. Where
every store costs a disk sync, concurrent publishes of a stream share one: while one atomic batch (ADR-50) commits,
the next gathers.

A publish that goes unanswered is sent again, at once after a reconnect, with the same ``Nats-Msg-Id``; the engine
drops the second copy. So a message is stored once or its caller gets an error.
"""

import asyncio
import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
from nats.aio.msg import Msg

from gbe.envelope import Envelope
from gbe.errors import (
    PayloadTooLargeError,
    PublishOutcomeUnknownError,
    TransportClosedError,
    TransportError,
    TransportUnavailableError,
)
from gbe.transport.nats import wire
from gbe.transport.nats.connection import NatsConnection, status_of
from gbe.transport.nats.errors import DUPLICATE_IN_BATCH, DUPLICATE_IN_PROCESS, ApiErrorBody

logger = logging.getLogger(__name__)

MAX_BATCH_MESSAGES: Final = 1000  # the engine's limit (ADR-50)
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024  # the engine stages a batch in memory
MIN_BATCH_MESSAGES: Final = (
    8  # measured: a batch costs the engine as much as 6 to 8 single messages, each with its sync
)
MAX_BATCHES_IN_FLIGHT: Final = 2  # one syncs its writes while the next is staged
_FRAME_ROOM: Final = 512  # for the header lines of a batch, beside those of the message
_TICK: Final = 0.1  # how often deadlines are looked at
_REFUSAL_PAUSE: Final = 0.25  # no leader, no space: how long until the next try


class _PubAck(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    error: ApiErrorBody | None = None


_ack_decoder = msgspec.json.Decoder(_PubAck)


class Publication:
    """One message on its way: the frame's parts, its deadline, and the future that its caller awaits.

    The future yields the sequence of the first stored copy if the engine knew the message already, else 0.
    """

    __slots__ = ("body", "deadline", "future", "headers", "message_id", "refusal", "retry_at", "subject", "unanswered")

    def __init__(self, envelope: Envelope, subject: str, headers: str, deadline: float) -> None:
        self.message_id, self.subject, self.headers = envelope.id, subject, headers
        self.body = envelope.payload
        self.deadline = deadline
        self.retry_at = 0.0
        self.unanswered = 0  # copies sent that the engine has neither stored nor refused, as far as we know
        self.refusal = ""
        self.future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def give_up(self) -> None:
        """The deadline has passed."""
        if self.unanswered:
            self.fail(PublishOutcomeUnknownError(self.subject, self.message_id))
        else:
            reason = self.refusal or "no connection to the engine"
            self.fail(TransportUnavailableError(f"publish on {self.subject}: {reason}"))

    def fail(self, error: TransportError) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def succeed(self, first_sequence: int) -> None:
        if not self.future.done():
            self.future.set_result(first_sequence)


class _Lane:
    """The publishes of one stream that wait to share an atomic batch."""

    __slots__ = ("in_flight", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Publication] = deque()
        self.in_flight = 0


class Publisher:
    """Sends publications and resolves their futures; see the module's docstring."""

    def __init__(self, connection: NatsConnection) -> None:
        self._connection = connection
        self._config = connection.config
        self._lanes: dict[str, _Lane] = {}
        self._dirty: list[_Lane] = []
        self._outstanding: dict[str, Publication] = {}  # by reply subject, singles only
        self._batches: dict[str, tuple[_Lane, Sequence[Publication], float]] = {}
        self._postponed: list[Publication] = []
        self._batch_prefix = f"{os.getpid():x}{time.time_ns():x}"
        self._batch_ids = itertools.count(1)
        self._queued_bytes = 0
        self._space = asyncio.Event()
        self._space.set()
        self._stop_listening = connection.on_reconnect(self._resend_all)
        connection.on_refusal(self._on_refusal)
        self._clockwork = asyncio.get_running_loop().create_task(self._watch_deadlines(), name="gbe.nats.publisher")
        self._closed = False

    async def publish(self, publication: Publication, batch_key: str | None) -> int:
        """Send one message and wait for its confirmation.

        Args:
            publication: what to send.
            batch_key: the stream that will store it, if it may share an atomic batch; ``None`` sends it alone.

        Returns:
            The sequence of the first copy if this message was stored before, else 0.
        """
        if self._closed or self._connection.is_closed:
            raise TransportClosedError("the transport is closed")
        size = len(publication.body)
        most = self._connection.server_max_payload - _FRAME_ROOM
        if size + len(publication.headers) > most:  # a server drops the whole connection for a message over its limit
            raise PayloadTooLargeError(size, most - len(publication.headers))
        while self._queued_bytes > self._config.max_queued_bytes:
            await self._wait_for_space(publication)
            if self._closed:
                raise TransportClosedError("the transport is closed")
        self._queued_bytes += size
        try:
            if batch_key is None:
                self._send_single(publication)
            else:
                self._enqueue(publication, batch_key)
            return await publication.future
        finally:
            self._queued_bytes -= size
            if not self._space.is_set() and self._queued_bytes <= self._config.max_queued_bytes:
                self._space.set()

    async def _wait_for_space(self, publication: Publication) -> None:
        self._space.clear()
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + publication.deadline - time.monotonic()):
                await self._space.wait()
        except TimeoutError:
            raise TransportUnavailableError(
                f"{self._queued_bytes} bytes wait for the engine; publish on {publication.subject} again later"
            ) from None

    async def close(self) -> None:
        """Wait for what is under way (bounded by its deadlines), then stop."""
        self._closed = True
        self._space.set()  # who waits for space waits in vain
        pending = [p.future for p in self._everything()]
        if pending and not self._connection.is_closed:
            await asyncio.wait(pending, timeout=self._config.publish_timeout)
        self._clockwork.cancel()
        self._stop_listening()
        for publication in list(self._everything()):
            publication.fail(TransportClosedError("the transport was closed before the engine confirmed"))

    def _everything(self) -> list[Publication]:
        queued = [p for lane in self._lanes.values() for p in lane.waiting]
        batched = [p for _, members, _ in self._batches.values() for p in members]
        return [*queued, *batched, *self._outstanding.values(), *self._postponed]

    # -- one by one

    def _send_single(self, publication: Publication) -> None:
        if publication.future.done():
            return
        if not self._connection.is_connected:
            self._postponed.append(publication)
            return
        reply = self._connection.expect(self._on_ack)
        self._outstanding[reply] = publication
        publication.unanswered += 1
        publication.retry_at = time.monotonic() + self._config.retry_after
        self._connection.write(wire.frame(publication.subject, reply, publication.headers, publication.body))

    def _on_ack(self, msg: Msg) -> None:
        self._connection.forget(msg.subject)
        publication = self._outstanding.pop(msg.subject, None)
        if publication is None:
            return
        if status_of(msg) == "503":
            self._postpone(publication, "no stream, or no leader for it at this moment")
            return
        ack = _ack_decoder.decode(msg.data)
        if ack.error is None:
            publication.succeed(ack.seq if ack.duplicate else 0)
        else:
            self._refuse(publication, ack.error)

    def _refuse(self, publication: Publication, error: ApiErrorBody) -> None:
        reason = f"the engine refuses: {error.description} ({error.err_code})"
        # leader election, JetStream starting or short of resources; or an earlier copy is not replicated yet: may pass
        if error.code >= 500 or error.err_code == DUPLICATE_IN_PROCESS:
            self._postpone(publication, reason)
        else:
            publication.fail(TransportError(f"publish on {publication.subject}: {reason}"))

    def _postpone(self, publication: Publication, reason: str) -> None:
        publication.unanswered -= 1
        publication.refusal = reason
        publication.retry_at = time.monotonic() + _REFUSAL_PAUSE
        self._postponed.append(publication)

    def _on_refusal(self, subject: str, reason: str) -> None:
        """The account may not publish there: no answer will come."""
        for reply, publication in list(self._outstanding.items()):
            if publication.subject.lower() == subject:
                del self._outstanding[reply]
                self._connection.forget(reply)
                what = f"publish on {publication.subject}: the server's permissions do not allow it: {reason}"
                publication.fail(TransportUnavailableError(what))

    # -- in atomic batches

    def _enqueue(self, publication: Publication, batch_key: str) -> None:
        lane = self._lanes.get(batch_key)
        if lane is None:
            lane = self._lanes[batch_key] = _Lane()
        lane.waiting.append(publication)
        self._wake(lane)

    def _wake(self, lane: _Lane) -> None:
        if lane not in self._dirty:
            if not self._dirty:
                asyncio.get_running_loop().call_soon(self._send_lanes)
            self._dirty.append(lane)

    def _send_lanes(self) -> None:
        lanes, self._dirty = self._dirty, []
        for lane in lanes:
            while lane.waiting and lane.in_flight < MAX_BATCHES_IN_FLIGHT:
                self._send_batch(lane, _take_batch(lane.waiting))

    def _send_batch(self, lane: _Lane, members: list[Publication]) -> None:
        if len(members) < MIN_BATCH_MESSAGES or not self._connection.is_connected:
            for publication in members:
                self._send_single(publication)
            return
        reply = self._connection.expect(self._on_batch_ack)
        now = time.monotonic()
        self._batches[reply] = (lane, members, now + self._config.retry_after)
        lane.in_flight += 1
        batch = f"Nats-Batch-Id: {self._batch_prefix}-{next(self._batch_ids)}\r\nNats-Batch-Sequence: "
        last = len(members)
        for number, publication in enumerate(members, 1):
            publication.unanswered += 1
            ending = "\r\nNats-Batch-Commit: 1\r\n" if number == last else "\r\n"
            headers = f"{publication.headers}{batch}{number}{ending}"
            self._connection.write(
                wire.frame(publication.subject, reply if number == last else "", headers, publication.body)
            )

    def _on_batch_ack(self, msg: Msg) -> None:
        self._connection.forget(msg.subject)
        entry = self._batches.pop(msg.subject, None)
        if entry is None:
            return
        lane, members, _ = entry
        lane.in_flight -= 1
        ack = None if status_of(msg) else _ack_decoder.decode(msg.data)
        if ack is not None and ack.error is None and ack.seq:
            for publication in members:
                publication.succeed(0)
        else:
            # one bad message fails its batch; alone, each gets its own answer
            if ack is None or ack.error is None or ack.error.err_code != DUPLICATE_IN_BATCH:
                logger.warning("atomic batch refused, storing one by one: %s", ack.error if ack else status_of(msg))
            for publication in members:
                publication.unanswered -= 1  # an atomic batch is refused as a whole
                self._send_single(publication)
        if lane.waiting:
            self._wake(lane)

    # -- time and reconnects

    def _resend_all(self) -> None:
        """Answers that were under way died with the connection: ask again for all of them, one by one."""
        again = list(self._outstanding.values())
        for reply in list(self._outstanding):
            self._connection.forget(reply)
        self._outstanding.clear()
        for reply in list(self._batches):
            again.extend(self._dissolve(reply))
        again.extend(self._postponed)
        self._postponed = []
        for publication in again:
            self._send_single(publication)

    def _dissolve(self, reply: str) -> Sequence[Publication]:
        lane, members, _ = self._batches.pop(reply)
        self._connection.forget(reply)
        lane.in_flight -= 1
        if lane.waiting:
            self._wake(lane)
        return members

    async def _watch_deadlines(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            self._retry_singles(now)
            self._retry_batches(now)
            self._retry_postponed(now)
            for lane in self._lanes.values():
                for publication in lane.waiting:
                    if now >= publication.deadline:
                        publication.give_up()

    def _retry_singles(self, now: float) -> None:
        for reply, publication in list(self._outstanding.items()):
            if now < publication.retry_at and now < publication.deadline and not publication.future.done():
                continue
            del self._outstanding[reply]
            self._connection.forget(reply)
            if now >= publication.deadline:
                publication.give_up()
            else:
                self._send_single(publication)

    def _retry_batches(self, now: float) -> None:
        for reply, (_, members, retry_at) in list(self._batches.items()):
            for publication in members:
                if now >= publication.deadline:
                    publication.give_up()
            if now >= retry_at:
                for publication in self._dissolve(reply):
                    self._send_single(publication)

    def _retry_postponed(self, now: float) -> None:
        postponed, self._postponed = self._postponed, []
        for publication in postponed:
            if now >= publication.deadline:
                publication.give_up()
            elif now < publication.retry_at:
                self._postponed.append(publication)
            else:
                self._send_single(publication)


def _take_batch(waiting: deque[Publication]) -> list[Publication]:
    """The next members of a batch, in order; callers that gave up meanwhile are left out."""
    members: list[Publication] = []
    size = 0
    while waiting and len(members) < MAX_BATCH_MESSAGES:
        if members and size + len(waiting[0].body) > MAX_BATCH_BYTES:
            break
        publication = waiting.popleft()
        if not publication.future.done():
            members.append(publication)
            size += len(publication.body)
    return members
