"""An ephemeral consumer that shows messages in order and tells when one is missing.

The engine numbers what a consumer sends; a number that does not follow its predecessor means that something was lost
on the way. Whoever reads makes the consumer again then, behind the last message that arrived: nothing is acknowledged,
and the stream still has what was lost.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from gbe.transport.nats.connection import NatsConnection, status_of
from gbe.transport.nats.wire import AckSubject, plain_frame

NANO: Final = 1_000_000_000
_FORGOTTEN_AFTER: Final = 60 * NANO  # without a pull, the engine removes it
_PATIENCE: Final = 2.5  # heartbeats without a sign of life


class BrokenError(Exception):
    """The consumer is gone, or something was lost on the way from it: ``open`` it again."""


class _Delivered(msgspec.Struct):
    stream_seq: int = 0


class _Created(msgspec.Struct):
    name: str
    delivered: _Delivered = msgspec.field(default_factory=_Delivered)


class OrderedConsumer:
    """Reads one stream, a page after the other.

    Args:
        stream: the engine's name of it.
        filters: the subjects to read.
        page: messages asked for at a time, which is what a slow reader keeps in memory.
        expires: seconds after which a request that brought less ends.
        heartbeat: seconds between two signs of life.

    Attributes:
        last: the sequence of the last message, behind which the next ``open`` goes on; ``None`` before the first.
        in_touch: when the engine last showed a sign of life, on the monotonic clock.
    """

    def __init__(
        self,
        connection: NatsConnection,
        stream: str,
        filters: Sequence[str],
        *,
        page: int,
        expires: float,
        heartbeat: float,
    ) -> None:
        self._connection, self._stream, self._page, self._heartbeat = connection, stream, page, heartbeat
        self._filters = {"filter_subject": filters[0]} if len(filters) == 1 else {"filter_subjects": list(filters)}
        self._request = b'{"batch":%d,"expires":%d,"idle_heartbeat":%d}' % (
            page,
            round(expires * NANO),
            round(heartbeat * NANO),
        )
        self._expected = 1
        self._name = self._inbox = ""
        self._mail: asyncio.Queue[Msg | None] = asyncio.Queue()  # no more than a page, and what says how it ended
        self._subscriptions: list[Subscription] = []
        self.last: int | None = None
        self.in_touch = time.monotonic()

    async def open(self, start: Mapping[str, object]) -> None:
        """Make the consumer, or make it again: from now on nothing is missed.

        Args:
            start: its deliver policy, as long as there is no last message.

        Raises:
            ApiError: and the other errors of ``NatsConnection.api``.
        """
        await self.close()
        self._inbox, self._mail = self._connection.new_inbox(), asyncio.Queue()
        self._subscriptions.append(await self._connection.subscribe(self._inbox, self._mail.put_nowait))
        if self.last is not None:
            start = {"deliver_policy": "by_start_sequence", "opt_start_seq": self.last + 1}
        config = {
            "ack_policy": "none",
            **self._filters,
            "inactive_threshold": _FORGOTTEN_AFTER,
            "mem_storage": True,
            "num_replicas": 1,
            "max_deliver": 1,
            **start,
        }
        data = await self._connection.api(
            f"CONSUMER.CREATE.{self._stream}", {"stream_name": self._stream, "config": config}
        )
        created = msgspec.json.decode(data, type=_Created)
        self._name, self._expected = created.name, 1
        if self.last is None:
            self.last = created.delivered.stream_seq
        self.in_touch = time.monotonic()

    async def close(self) -> None:
        """Give up the consumer, if there is one, with what it has on the way; never raises."""
        await self._connection.unsubscribe(self._subscriptions)
        self._subscriptions.clear()
        if self._name:
            subject = f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._name}"
            self._connection.write(plain_frame(subject, f"{self._inbox}.deleted", b""))
            self._name = ""

    def interrupt(self) -> None:
        """Whoever pulls gets a ``BrokenError``: the connection was lost, or the reader is to end."""
        self._mail.put_nowait(None)

    async def pull(self) -> AsyncIterator[tuple[AckSubject, Msg]]:
        """One request: up to a page of messages, until it is used up or has expired. Raises ``BrokenError``."""
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
        self._connection.write(plain_frame(subject, self._inbox, self._request))
        left = self._page
        while left:
            msg = await self._next()
            if msg.reply:
                left -= 1
                yield self._in_order(msg.reply), msg
                continue
            status = status_of(msg)
            if status in {"404", "408"}:
                return
            if status != "100":
                raise BrokenError(f"{status} {(msg.headers or {}).get('Description', '')}")

    async def _next(self) -> Msg:
        try:
            async with asyncio.timeout(_PATIENCE * self._heartbeat):
                msg = await self._mail.get()
        except TimeoutError:
            raise BrokenError("no sign of life") from None
        if msg is None:
            raise BrokenError("the connection was lost")
        self.in_touch = time.monotonic()
        return msg

    def _in_order(self, reply: str) -> AckSubject:
        about = AckSubject(reply)
        if about.consumer_sequence != self._expected:
            raise BrokenError(f"message {self._expected} of the consumer is missing")
        self._expected += 1
        self.last = about.sequence
        return about
