"""Watching: a short-lived consumer of the bucket, made anew behind the last message whenever it breaks.

The consumer numbers what it sends; a number that does not follow its predecessor means that something was lost on the
way. Behind the last message that arrived, the stream still has the last message of every record that changed, removals
included: nothing is missed, unless the removals themselves have aged out or the engine lost its stream.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, Self

import msgspec
from nats.aio.msg import Msg

from gbe.errors import StateError, TransportError
from gbe.state.base import Changed, Event, Resynchronised, Watch
from gbe.state.feed import watch_outage
from gbe.state.nats.errors import as_state
from gbe.state.nats.wire import TOMBSTONE_SECONDS, Names, stored
from gbe.transport.nats.connection import NatsConnection
from gbe.transport.nats.ordered import BrokenError, OrderedConsumer
from gbe.transport.nats.wire import AckSubject

logger = logging.getLogger(__name__)

_PULL: Final = 256  # messages asked for at a time: what a slow watcher keeps in memory
_PULL_EXPIRES: Final = 30.0
_HEARTBEAT: Final = 2.0
_RETRY_PAUSE: Final = 0.1


class _StreamState(msgspec.Struct):
    last_seq: int = 0


class _Info(msgspec.Struct):
    state: _StreamState
    created: str = ""


class NatsWatch(Watch):
    """One watcher; see the module's docstring."""

    def __init__(
        self, connection: NatsConnection, names: Names, prefix: str, on_close: "Callable[[NatsWatch], object]"
    ) -> None:
        self._connection, self._names, self._on_close = connection, names, on_close
        subject = names.record(prefix)
        self._consumer = OrderedConsumer(
            connection,
            names.stream,
            [subject, f"{subject}.>"],
            page=_PULL,
            expires=_PULL_EXPIRES,
            heartbeat=_HEARTBEAT,
        )
        self._stream_created = ""
        self._stop_listening: Callable[[], None] = lambda: None
        self._is_closed = False
        self._outage = watch_outage(logger)

    async def __aenter__(self) -> Self:
        with as_state("watch"):
            await self._open_consumer()
        self._stop_listening = self._connection.on_reconnect(self._consumer.interrupt)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the iteration."""
        self._is_closed = True
        self._stop_listening()
        self._consumer.interrupt()
        await self._consumer.close()
        self._on_close(self)

    # -- the consumer

    async def _open_consumer(self) -> bool:
        """Make the consumer: from now on nothing is missed. Returns whether something may have been missed before."""
        await self._consumer.close()
        data = await self._connection.api(f"STREAM.INFO.{self._names.stream}")
        info, last = msgspec.json.decode(data, type=_Info), self._consumer.last
        is_lost = last is not None and (
            info.created != self._stream_created  # a new stream of the same name
            or info.state.last_seq < last  # the engine lost its end
            or time.monotonic() - self._consumer.in_touch > TOMBSTONE_SECONDS / 2
        )
        if is_lost:
            self._consumer.last = None
        self._stream_created = info.created
        await self._consumer.open({"deliver_policy": "new"})
        return is_lost

    async def _reopen(self) -> bool:
        while not self._is_closed:
            try:
                with as_state("watch"):
                    is_lost = await self._open_consumer()
            except (StateError, TransportError) as exc:
                self._outage.failed(exc)
                await asyncio.sleep(_RETRY_PAUSE)
            else:
                self._outage.over()
                return is_lost
        return False

    # -- events

    async def __aiter__(self) -> AsyncIterator[Event]:
        while not self._is_closed:
            try:
                async for about, msg in self._consumer.pull():
                    yield self._event(about, msg)
            except BrokenError as exc:
                logger.debug("watch starts its consumer again: %s", exc)
                if await self._reopen():
                    yield Resynchronised()

    def _event(self, about: AckSubject, msg: Msg) -> Event:
        return Changed(self._names.key(msg.subject), stored(msg.data, msg.headers or {}, about.sequence).fields)
