"""Live messages: one tail per topic that somebody in this process follows, fanned out to all its subscribers.

A subscriber is a bounded queue of encoded frames. Handing a message over never waits: a subscriber whose queue is
full is told so and dropped, and nobody else notices.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from gbe.errors import TransportError
from gbe.notify.config import NotifyConfig
from gbe.notify.errors import Refusal
from gbe.notify.filters import Filters
from gbe.notify.live import Encode, TopicMessage, read_message
from gbe.notify.topics import masked
from gbe.transport.base import Position, Transport

logger = logging.getLogger(__name__)

LINGER: Final = 5.0
"""Seconds for which a topic is followed after its last subscriber left: clients that reconnect come back by then."""

TOO_SLOW: Final = "its client reads too slowly"
TURN: Final = 256
"""Subscribers that get a message in one turn of the event loop: others' requests go in between."""


def topic_subject(namespace: str, topic: str) -> str:
    """The subject of a topic (system.md section 3)."""
    return f"{namespace}.notify.topic.{topic}"


class Subscriber:
    """The receiving end of a stream: what it may see, and what waits for it.

    Args:
        topics: the topics it follows.
        filters: what it does not want.
        encode: its wire format.
        config: for the bounds of its queue.
        write: writes a frame at once and says so, or says that it cannot at this moment.
        wake: called when something has come to wait, or when the stream must end because too much waits.
    """

    __slots__ = (
        "_bytes",
        "_config",
        "_encode",
        "_filters",
        "_held",
        "_replayed",
        "_waiting",
        "_wake",
        "_write",
        "given_up",
        "topics",
    )

    def __init__(
        self,
        topics: tuple[str, ...],
        filters: Filters,
        encode: Encode,
        config: NotifyConfig,
        write: Callable[[bytes], bool],
        wake: Callable[[], None],
    ) -> None:
        self.topics = topics
        self._filters, self._config, self._encode = filters, config, encode
        self._write, self._wake = write, wake
        # nearly always empty, and there may be very many of them: nothing is made before it is needed
        self._waiting: list[bytes] | None = None
        self._bytes = 0
        self._replayed: dict[str, Position] | None = None
        self._held: list[TopicMessage] | None = None
        self.given_up: str | None = None
        """Why the stream must end; ``None`` as long as it need not."""

    def hold_back(self) -> None:
        """Keep live messages aside until ``release``: the replay may still bring the same ones."""
        self._held = []

    def release(self) -> None:
        """The replay is complete: queue what was kept aside and not replayed, then take live messages directly."""
        held, self._held = self._held or [], None
        for message in held:
            self.offer(message)

    def offer(self, message: TopicMessage) -> None:
        """Take a live message, if it passes the filters and was not part of the replay."""
        if self.given_up is not None:
            return
        if self._held is not None:
            if len(self._held) >= self._config.subscriber_queue_messages:
                self.give_up(TOO_SLOW)
            else:
                self._held.append(message)
            return
        if message.position is not None and self._replayed is not None:
            last = self._replayed.get(message.topic)
            if last is not None and message.position <= last:
                return
        if self._filters.matches(message.notification):
            self.put(message.frame(self._encode))

    def put(self, frame: bytes) -> None:
        """Write an encoded frame, or queue it, or give the subscriber up if its queue is full."""
        if self._waiting is None:
            if self._write(frame):
                return
            self._waiting = []
        self._bytes += len(frame)
        if len(self._waiting) >= self._config.subscriber_queue_messages or (
            self._waiting and self._bytes > self._config.subscriber_queue_bytes
        ):
            self.give_up(TOO_SLOW)
        else:
            self._waiting.append(frame)
            self._wake()

    def give_up(self, reason: str) -> None:
        """End the stream: it can no longer be complete, and its client will come back for what it missed."""
        if self.given_up is None:
            self.given_up = reason
            self._waiting = self._held = None
            self._wake()

    def replayed(self, message: TopicMessage) -> bytes | None:
        """Take a message of the replay: its frame if it passes the filters. Live copies of it are dropped later."""
        if message.position is not None:
            if self._replayed is None:
                self._replayed = {}
            last = self._replayed.get(message.topic)
            if last is None or message.position > last:  # a page is sorted by time, not by position
                self._replayed[message.topic] = message.position
        return message.frame(self._encode) if self._filters.matches(message.notification) else None

    def last_replayed(self, topic: str) -> Position | None:
        """The place of the last message of a topic that was replayed."""
        return self._replayed.get(topic) if self._replayed is not None else None

    def close(self) -> None:
        """Nothing more is wanted: let go of the stream, which holds this subscriber."""
        self.given_up = "closed"
        self._waiting = self._held = None
        self._write, self._wake = _no_longer_writes, _no_longer_wakes

    def take(self) -> bytes:
        """All frames that wait, oldest first, joined; empty if none does."""
        frames, self._waiting = self._waiting, None
        self._bytes = 0
        return b"".join(frames) if frames else b""

    @property
    def has_waiting(self) -> bool:
        """Whether a frame waits."""
        return self._waiting is not None


def _no_longer_writes(frame: bytes) -> bool:  # noqa: ARG001
    return True


def _no_longer_wakes() -> None:
    pass


class _Channel:
    """A followed topic."""

    __slots__ = ("leave_timer", "ready", "subscribers", "task")

    def __init__(self) -> None:
        self.subscribers: set[Subscriber] = set()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None
        self.leave_timer: asyncio.TimerHandle | None = None


class Hub:
    """The live side of all topics that subscribers of this process follow."""

    def __init__(
        self,
        transport: Transport,
        config: NotifyConfig,
        namespace: str,
        on_delivered: Callable[[int], object] = lambda _: None,
    ) -> None:
        """``on_delivered`` is told how many streams each message was handed to."""
        self._transport, self._config, self._namespace = transport, config, namespace
        self._on_delivered = on_delivered
        self._channels: dict[str, _Channel] = {}
        self._closed = False

    @property
    def followed_topics(self) -> int:
        """Topics that this process receives from the engine at this moment."""
        return len(self._channels)

    def is_followed(self, topic: str) -> bool:
        """Whether this process receives a topic at this moment."""
        return topic in self._channels

    def check_room(self, topics: tuple[str, ...]) -> None:
        """Raise ``NotifyError`` 42904 if these topics are more than may be followed beside the others."""
        fresh = sum(topic not in self._channels for topic in topics)
        if len(self._channels) + fresh > self._config.global_topic_limit:
            raise Refusal.TOO_MANY_TOPICS.error()

    async def join(self, subscriber: Subscriber) -> None:
        """Hand live messages of its topics to a subscriber from now on: whatever is stored after this returns.

        Raises:
            NotifyError: 42904, too many topics are followed.
            TransportError: the engine did not answer in time.
        """
        self.check_room(subscriber.topics)
        channels = [self._channel(topic) for topic in subscriber.topics]
        for channel in channels:
            channel.subscribers.add(subscriber)
            if channel.leave_timer is not None:
                channel.leave_timer.cancel()
                channel.leave_timer = None
        try:
            for channel in channels:
                await asyncio.shield(channel.ready)
        except BaseException:
            self.leave(subscriber)
            raise

    def leave(self, subscriber: Subscriber) -> None:
        """Stop handing anything to a subscriber. Safe to repeat."""
        for topic in subscriber.topics:
            channel = self._channels.get(topic)
            if channel is None:
                continue
            channel.subscribers.discard(subscriber)
            if not channel.subscribers and channel.leave_timer is None:
                channel.leave_timer = asyncio.get_running_loop().call_later(LINGER, self._drop, topic, channel)

    async def close(self) -> None:
        """Stop following everything."""
        self._closed = True
        tasks = [channel.task for channel in self._channels.values() if channel.task is not None]
        for channel in self._channels.values():
            if channel.leave_timer is not None:
                channel.leave_timer.cancel()
        self._channels.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _channel(self, topic: str) -> _Channel:
        channel = self._channels.get(topic)
        if channel is None:
            channel = self._channels[topic] = _Channel()
            channel.task = asyncio.get_running_loop().create_task(
                self._follow(topic, channel), name=f"gbe.topic.{topic}"
            )
        return channel

    def _drop(self, topic: str, channel: _Channel) -> None:
        channel.leave_timer = None
        if channel.subscribers or self._channels.get(topic) is not channel:
            return
        del self._channels[topic]
        if channel.task is not None:
            channel.task.cancel()

    async def _follow(self, topic: str, channel: _Channel) -> None:
        """Read a topic's tail until nobody follows it; a tail that cannot be opened fails those who wait for it."""
        try:
            async with self._transport.tail([topic_subject(self._namespace, topic)]) as tail:
                if not channel.ready.done():
                    channel.ready.set_result(None)
                async for stored in tail:
                    message = read_message(topic, stored)
                    if message is not None:
                        await self._fan_out(message, tuple(channel.subscribers))
        except TransportError as exc:
            if self._channels.get(topic) is channel:
                del self._channels[topic]
            if not channel.ready.done():
                channel.ready.set_exception(exc)
                with contextlib.suppress(TransportError):
                    channel.ready.exception()  # somebody may have stopped waiting: then nobody else asks for it
            elif not self._closed:
                logger.exception("topic no longer followed", extra={"topic": masked(topic)})
                for subscriber in tuple(channel.subscribers):
                    subscriber.give_up("its topic can no longer be followed")

    async def _fan_out(self, message: TopicMessage, subscribers: tuple[Subscriber, ...]) -> None:
        """Hand a message over; what is written leaves at the end of each turn of the loop, so there are several."""
        for start in range(0, len(subscribers), TURN):
            if start:
                await asyncio.sleep(0)
            for subscriber in subscribers[start : start + TURN]:
                subscriber.offer(message)
        self._on_delivered(len(subscribers))
