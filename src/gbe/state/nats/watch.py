"""Watching: a short-lived consumer of the bucket, made anew behind the last message whenever it breaks.

The consumer numbers what it sends; a number that does not follow its predecessor means that something was lost on the
way. Behind the last message that arrived, the stream still has the last message of every record that changed, removals
included: nothing is missed, unless the removals themselves have aged out or the engine lost its stream.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Self

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from gbe.errors import StateError, TransportError
from gbe.state.base import Changed, Event, Resynchronised, Watch
from gbe.state.nats.errors import as_state
from gbe.state.nats.wire import TOMBSTONE_SECONDS, Names, stored
from gbe.transport.nats.connection import NatsConnection, status_of
from gbe.transport.nats.consumer import AckSubject
from gbe.transport.nats.wire import plain_frame

logger = logging.getLogger(__name__)

_NANO: Final = 1_000_000_000
_PULL: Final = 256  # messages asked for at a time: what a slow watcher keeps in memory
_PULL_EXPIRES: Final = 30 * _NANO
_HEARTBEAT: Final = 2 * _NANO
_RETRY_PAUSE: Final = 0.1


class _Delivered(msgspec.Struct):
    stream_seq: int = 0


class _Created(msgspec.Struct):
    name: str
    delivered: _Delivered = msgspec.field(default_factory=_Delivered)


class _StreamState(msgspec.Struct):
    last_seq: int = 0


class _Info(msgspec.Struct):
    state: _StreamState
    created: str = ""


class _BrokenError(Exception):
    """The consumer is gone, or something was lost on the way from it."""


class NatsWatch(Watch):
    """One watcher; see the module's docstring."""

    def __init__(
        self, connection: NatsConnection, names: Names, prefix: str, on_close: "Callable[[NatsWatch], object]"
    ) -> None:
        self._connection, self._names, self._on_close = connection, names, on_close
        subject = names.record(prefix)
        self._filters = [subject, f"{subject}.>"]
        self._last: int | None = None  # the sequence behind which to go on
        self._expected = 1
        self._stream_created = ""
        self._consumer = self._inbox = ""
        self._mail: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._subscriptions: list[Subscription] = []
        self._stop_listening: Callable[[], None] = lambda: None
        self._in_touch = time.monotonic()
        self._is_closed = False

    async def __aenter__(self) -> Self:
        with as_state("watch"):
            await self._open_consumer()
        self._stop_listening = self._connection.on_reconnect(self._interrupt)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the iteration."""
        self._is_closed = True
        self._stop_listening()
        self._interrupt()
        await self._close_consumer()
        self._on_close(self)

    def _interrupt(self) -> None:
        self._mail.put_nowait(None)

    # -- the consumer

    async def _open_consumer(self) -> bool:
        """Make the consumer: from now on nothing is missed. Returns whether something may have been missed before."""
        await self._close_consumer()
        data = await self._connection.api(f"STREAM.INFO.{self._names.stream}")
        info = msgspec.json.decode(data, type=_Info)
        is_lost = self._last is not None and (
            info.created != self._stream_created  # a new stream of the same name
            or info.state.last_seq < self._last  # the engine lost its end
            or time.monotonic() - self._in_touch > TOMBSTONE_SECONDS / 2
        )
        if is_lost:
            self._last = None
        self._stream_created = info.created
        self._inbox, self._mail = self._connection.new_inbox(), asyncio.Queue()
        self._subscriptions.append(await self._connection.subscribe(self._inbox, self._mail.put_nowait))
        start: dict[str, Any] = {"deliver_policy": "new"}
        if self._last is not None:
            start = {"deliver_policy": "by_start_sequence", "opt_start_seq": self._last + 1}
        config = {
            "ack_policy": "none",
            "filter_subjects": self._filters,
            "inactive_threshold": 60 * _NANO,
            "mem_storage": True,
            "num_replicas": 1,
            "max_deliver": 1,
            **start,
        }
        data = await self._connection.api(
            f"CONSUMER.CREATE.{self._names.stream}", {"stream_name": self._names.stream, "config": config}
        )
        created = msgspec.json.decode(data, type=_Created)
        self._consumer, self._expected = created.name, 1
        if self._last is None:
            self._last = created.delivered.stream_seq
        self._in_touch = time.monotonic()
        return is_lost

    async def _close_consumer(self) -> None:
        await self._connection.unsubscribe(self._subscriptions)
        self._subscriptions.clear()
        if self._consumer:
            subject = f"$JS.API.CONSUMER.DELETE.{self._names.stream}.{self._consumer}"
            self._connection.write(plain_frame(subject, f"{self._inbox}.deleted", b""))
            self._consumer = ""

    async def _reopen(self) -> bool:
        while not self._is_closed:
            try:
                with as_state("watch"):
                    return await self._open_consumer()
            except (StateError, TransportError) as exc:
                logger.warning("watch waits for the engine: %s", exc)
                await asyncio.sleep(_RETRY_PAUSE)
        return False

    # -- events

    async def __aiter__(self) -> AsyncIterator[Event]:
        while not self._is_closed:
            try:
                async for event in self._pull():
                    yield event
            except _BrokenError as exc:
                logger.debug("watch starts its consumer again: %s", exc)
                if await self._reopen():
                    yield Resynchronised()

    async def _pull(self) -> AsyncIterator[Event]:
        """One request: up to a page of messages, until it is used up or has expired."""
        request = b'{"batch":%d,"expires":%d,"idle_heartbeat":%d}' % (_PULL, _PULL_EXPIRES, _HEARTBEAT)
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._names.stream}.{self._consumer}"
        self._connection.write(plain_frame(subject, self._inbox, request))
        left = _PULL
        while left:
            msg = await self._next()
            if msg.reply:
                left -= 1
                yield self._event(msg)
                continue
            status = status_of(msg)
            if status in {"404", "408"}:
                return
            if status != "100":
                raise _BrokenError(f"{status} {(msg.headers or {}).get('Description', '')}")

    async def _next(self) -> Msg:
        try:
            async with asyncio.timeout(2.5 * _HEARTBEAT / _NANO):
                msg = await self._mail.get()
        except TimeoutError:
            raise _BrokenError("no sign of life") from None
        if msg is None:
            raise _BrokenError("the connection was lost")
        self._in_touch = time.monotonic()
        return msg

    def _event(self, msg: Msg) -> Event:
        about = AckSubject(msg.reply)
        if about.consumer_sequence != self._expected:
            raise _BrokenError(f"message {self._expected} of the consumer is missing")
        self._expected += 1
        self._last = about.sequence
        return Changed(self._names.key(msg.subject), stored(msg.data, msg.headers or {}, about.sequence).fields)
