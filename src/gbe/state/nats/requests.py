"""Questions to the engine and conditional writes, over the connection's one reply subscription.

A question that goes unanswered is asked again, each time after a longer wait. A write that goes unanswered is sent
again too, and must not be applied twice nor be taken for a stranger's: it carries a ``Nats-Msg-Id``. When a repetition
is told that somebody else was first, that may have been its own first copy. The stored message carries its id, so
reading it tells, unless it has been overwritten already. Then the repetition goes once more as an atomic batch of its
own, because for a batch the engine looks for known ids *before* it compares the last sequence (for a single message it
compares first: tried on 2.15.1). Batches are for that rare case only: one costs the engine four milliseconds.
"""

import asyncio
import itertools
import json
import os
import time
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

import msgspec
from nats.aio.msg import Msg

from gbe.errors import StateClosedError, StateError, StateUnavailableError
from gbe.state.base import Keep, Ttl
from gbe.state.nats.errors import LostReplyError, as_state
from gbe.state.nats.wire import (
    EXPIRES,
    MARKER,
    MESSAGE_ID,
    NOTHING,
    OPERATION,
    SEQUENCE,
    TOMBSTONE_SECONDS,
    Names,
    Stored,
    encode,
    parse_headers,
    stored,
)
from gbe.transport.nats.connection import NatsConnection, status_of
from gbe.transport.nats.errors import (
    DUPLICATE_IN_BATCH,
    DUPLICATE_IN_PROCESS,
    NO_MESSAGE_FOUND,
    ApiError,
    ApiErrorBody,
)
from gbe.transport.nats.wire import frame, plain_frame

WRONG_LAST_SEQUENCE: Final = frozenset({10071, 10164})
DEDUP_WINDOW: Final = 60
"""Seconds for which the engine tells a write from its repetition; it keeps the ids of that time in memory."""
_LONGEST_WRITE: Final = 50.0
_PAUSE: Final = 0.05  # no leader, no space: until the next try
_RECONNECT_POLL: Final = 0.01
_TICK: Final = 0.05  # how often deadlines are looked at


class _PubAck(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    error: ApiErrorBody | None = None


class _GottenMessage(msgspec.Struct):
    seq: int
    hdrs: str = ""
    data: str = ""


class _Gotten(msgspec.Struct):
    message: _GottenMessage


_ack_decoder: Final = msgspec.json.Decoder(_PubAck)
_gotten_decoder: Final = msgspec.json.Decoder(_Gotten)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a write; ``headers`` are lines, each ended."""

    subject: str
    headers: str = ""
    body: bytes = b""


class _Exchange:
    """Something sent, and the replies that have come so far."""

    __slots__ = ("_replies", "_until", "ends_at", "future", "subject")

    def __init__(
        self,
        subject: str,
        until: Callable[[list[Msg]], bool],
        ends_at: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.subject, self.ends_at, self._until = subject, ends_at, until
        self._replies: list[Msg] = []
        self.future: asyncio.Future[list[Msg]] = loop.create_future()

    def on_reply(self, msg: Msg) -> None:
        self._replies.append(msg)
        if not self.future.done() and self._until(self._replies):
            self.future.set_result(self._replies)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Requests:
    """Asks and writes for one store."""

    def __init__(self, connection: NatsConnection, names: Names) -> None:
        self._connection, self._names = connection, names
        self._under_way: dict[str, _Exchange] = {}  # by reply subject
        self._is_watched = False
        self._ids = itertools.count(1)
        self._id_prefix = f"{os.getpid():x}{time.time_ns():x}{os.urandom(4).hex()}"
        self._stop_listening = connection.on_reconnect(self._on_reconnect)
        connection.on_refusal(self._on_refusal)

    def deadline(self) -> float:
        """When an operation that begins now must be done, on the loop's clock."""
        return asyncio.get_running_loop().time() + self._connection.config.request_timeout

    def close(self) -> None:
        """Fail whatever is under way."""
        self._stop_listening()
        for exchange in self._under_way.values():
            exchange.fail(StateClosedError("the state store was closed before the engine answered"))

    # -- one exchange

    async def exchange(
        self,
        subject: str,
        make: Callable[[str], bytes],
        deadline: float,
        until: Callable[[list[Msg]], bool],
        patience: float,
    ) -> list[Msg]:
        """Send what ``make`` builds for a reply subject; the replies, once ``until`` is true of them.

        ``patience`` is how many seconds to wait for them, within the deadline.

        Raises:
            TimeoutError, LostReplyError: they did not come; the engine may have got it.
            StateUnavailableError: there was no connection until the deadline: the engine has not got it.
        """
        connection, loop = self._connection, asyncio.get_running_loop()
        while not connection.is_connected:
            if connection.is_closed:
                raise StateClosedError("the state store is closed")
            if loop.time() >= deadline:
                raise StateUnavailableError("no connection to the engine")
            await asyncio.sleep(_RECONNECT_POLL)
        exchange = _Exchange(subject, until, min(deadline, loop.time() + patience), loop)
        reply = connection.expect(exchange.on_reply)
        self._under_way[reply] = exchange
        if not self._is_watched:
            self._is_watched = True
            loop.call_later(_TICK, self._look_at_the_clock)
        connection.write(make(reply))
        try:
            return await exchange.future
        finally:
            connection.forget(reply)
            del self._under_way[reply]

    def _look_at_the_clock(self) -> None:
        """End what has waited for long enough. One timer for all: that of each exchange cost as much as its frame."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for exchange in self._under_way.values():
            if now >= exchange.ends_at:
                exchange.fail(TimeoutError())
        self._is_watched = bool(self._under_way)
        if self._is_watched:
            loop.call_later(_TICK, self._look_at_the_clock)

    def _on_reconnect(self) -> None:
        """What was under way died with the connection."""
        for exchange in self._under_way.values():
            exchange.fail(LostReplyError())

    def _on_refusal(self, subject: str, reason: str) -> None:
        """The account may not publish there: no answer will come."""
        for exchange in self._under_way.values():
            if exchange.subject.lower() == subject:
                exchange.fail(StateUnavailableError(f"{subject}: the server's permissions do not allow it: {reason}"))

    # -- questions

    async def ask(
        self, what: str, subject: str, body: bytes, until: Callable[[Msg], bool] = lambda _: True
    ) -> list[Msg]:
        """Ask until it is answered. Raises ``StateUnavailableError`` when the deadline has passed."""
        deadline = self.deadline()
        reason, patience = "the engine did not answer in time", self._connection.config.retry_after
        while True:
            try:
                replies = await self.exchange(
                    subject,
                    lambda reply: plain_frame(subject, reply, body),
                    deadline,
                    lambda replies: status_of(replies[-1]) == "503" or until(replies[-1]),
                    patience,
                )
            except LostReplyError:
                pass
            except TimeoutError:
                patience *= 2  # it may be busy: to ask it more often does not help
            else:
                if status_of(replies[-1]) != "503":
                    return replies
                reason = "no stream, or no leader for it at this moment"
                await asyncio.sleep(_PAUSE)
            if asyncio.get_running_loop().time() + _PAUSE >= deadline:
                raise StateUnavailableError(f"{what}: {reason}")

    async def last(self, key: str) -> Stored:
        """A record's last message, as every confirmed write left it."""
        return await self._last_on(self._names.record(key))

    async def _last_on(self, subject: str) -> Stored:
        if self._connection.is_clustered:  # a replica may lag; only the leader knows
            return await self._last_of_leader(subject)
        (msg,) = await self.ask("read", f"$JS.API.DIRECT.GET.{self._names.stream}.{subject}", b"")
        status = status_of(msg)
        if status == "404":
            return NOTHING
        if status:
            raise StateUnavailableError(f"read: {status} {(msg.headers or {}).get('Description', '')}")
        headers = msg.headers or {}
        return stored(msg.data, headers, int(headers[SEQUENCE]))

    async def _last_of_leader(self, subject: str) -> Stored:
        with as_state("read"):
            try:
                data = await self._connection.api(f"STREAM.MSG.GET.{self._names.stream}", {"last_by_subj": subject})
            except ApiError as exc:
                if exc.err_code == NO_MESSAGE_FOUND:
                    return NOTHING
                raise
        message = _gotten_decoder.decode(data).message
        return stored(b64decode(message.data), parse_headers(b64decode(message.hdrs)), message.seq)

    async def many(self, body: Mapping[str, Any]) -> list[Msg]:
        """A direct get of several messages (``multi_last``, ``batch``), in stream order; its last reply is a status.

        What ``multi_last`` finds is one snapshot of the stream, of a replica that may lag.
        """
        subject, request = f"$JS.API.DIRECT.GET.{self._names.stream}", json.dumps(body).encode()
        replies = await self.ask("read", subject, request, lambda msg: bool(status_of(msg)))
        status = status_of(replies[-1])
        if status not in {"204", "404"}:
            raise StateUnavailableError(f"read: {status} {(replies[-1].headers or {}).get('Description', '')}")
        return replies

    # -- writes

    async def write(
        self, record: Message, expected: int | None, deadline: float, entries: Sequence[Message] = ()
    ) -> int | None:
        """Store a record, if its subject still ends at the sequence ``expected``, and index entries ahead of it.

        When a record is stored, its entries are. A server of its own handles what comes over one connection in its
        order, so they are sent together, and whatever loses or refuses the entries does so to the record behind them.
        In a cluster the leader may change between the two: there the entries are confirmed first.

        Args:
            record: what to store.
            expected: ``None`` stores in any case.
            deadline: on the loop's clock.
            entries: harmless where the record is not stored.

        Returns:
            Its sequence, or 0 where an earlier try may have stored it; ``None``: somebody else wrote the record
            meanwhile, and it was not stored.

        Raises:
            StateUnavailableError: it is not known, or it was not possible before the deadline.
        """
        if entries and self._connection.is_clustered:
            for entry in entries:
                await self.write(entry, None, deadline)
            entries = ()
        condition = "" if expected is None else f"Nats-Expected-Last-Subject-Sequence: {expected}\r\n"
        write_id = f"{self._id_prefix}-{next(self._ids)}"
        headers = f"{MESSAGE_ID}: {write_id}\r\n{condition}{record.headers}"
        unanswered, is_probe, reason = 0, False, "no connection to the engine"
        patience = self._connection.config.retry_after
        deadline = min(deadline, asyncio.get_running_loop().time() + _LONGEST_WRITE)
        while True:
            message = Message(record.subject, headers + (self._as_batch() if is_probe else ""), record.body)
            try:
                replies = await self.exchange(
                    record.subject,
                    lambda reply, message=message: b"".join(_framed(m, reply) for m in (*entries, message)),  # type: ignore[misc]
                    deadline,
                    lambda replies: len(replies) > len(entries),
                    patience,
                )
            except (TimeoutError, LostReplyError) as exc:
                unanswered += 1
                reason = "the engine did not answer in time"
                if isinstance(exc, TimeoutError):
                    patience *= 2  # it may be busy: to send more does not help
            except StateUnavailableError as exc:
                if not unanswered:
                    raise
                reason = str(exc)
            else:
                if len(replies) > len(entries) + 1:
                    unanswered += 1  # an old leader answered beside the new one: what is stored tells who is right
                *accepted, error = map(_error_in, replies[-len(entries) - 1 :])  # in the order in which they were sent
                if error is None or error.err_code == DUPLICATE_IN_BATCH:
                    for entry, refusal in zip(entries, accepted, strict=True):
                        if refusal is not None:
                            await self.write(entry, None, deadline)
                    return 0 if unanswered or error is not None else _ack_decoder.decode(replies[-1].data).seq
                if error.err_code in WRONG_LAST_SEQUENCE:
                    if is_probe or not unanswered:
                        return None
                    if (await self._last_on(record.subject)).write == write_id:
                        return 0
                    is_probe = True
                    continue
                reason = f"the engine refuses: {error.description} ({error.err_code})"
                if not _may_pass(error):
                    raise StateError(f"write: {reason}")
                await asyncio.sleep(_PAUSE)
            if asyncio.get_running_loop().time() + _PAUSE >= deadline:
                known = "it may have happened: read before trying again" if unanswered else "nothing was written"
                raise StateUnavailableError(f"write: {reason}; {known}")

    def _as_batch(self) -> str:
        """The headers that make a message an atomic batch of its own."""
        return (
            f"Nats-Batch-Id: {self._id_prefix}-b{next(self._ids)}\r\nNats-Batch-Sequence: 1\r\nNats-Batch-Commit: 1\r\n"
        )


def record_message(subject: str, fields: Mapping[str, bytes], ttl: Ttl, current: Stored | None) -> Message:
    """The message that makes a record, or without fields the one that removes it."""
    if fields:
        return Message(subject, _end_of_life(ttl, current), encode(fields))
    # the marker's header keeps the engine from leaving one more marker when this one ages out
    return Message(subject, f"{OPERATION}: DEL\r\n{MARKER}: Remove\r\nNats-TTL: {TOMBSTONE_SECONDS}\r\n")


def _end_of_life(ttl: Ttl, current: Stored | None) -> str:
    """The headers that say when a record ends. The engine counts whole seconds: never earlier, so rounded up."""
    now = time.time_ns() // 1_000_000
    if isinstance(ttl, Keep):
        ends = None if current is None or current.fields is None else current.expires
    else:
        ends = None if ttl is None else now + ceil(ttl * 1000)
    if ends is None:
        return ""
    return f"Nats-TTL: {max(1, ceil((ends - now) / 1000))}\r\n{EXPIRES}: {ends}\r\n"


def _framed(message: Message, reply: str) -> bytes:
    if not message.headers:
        return plain_frame(message.subject, reply, message.body)
    return frame(message.subject, reply, message.headers, message.body)


def _error_in(reply: Msg) -> ApiErrorBody | None:
    """What a confirmation says; ``None`` if all is well."""
    if status_of(reply) == "503":
        return ApiErrorBody(503, 0, "no stream, or no leader for it at this moment")
    return _ack_decoder.decode(reply.data).error


def _may_pass(error: ApiErrorBody) -> bool:
    """Whether the same write may succeed later: no leader, no space, a batch that the engine gave up half-way."""
    return error.code >= 500 or error.err_code == DUPLICATE_IN_PROCESS or 10174 <= error.err_code <= 10211
