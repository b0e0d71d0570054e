"""The subscriptions of consumer groups: where each began, so that it has its place on subjects that come later."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gbe.redis.client import RedisClient
from gbe.redis.protocol import Argument
from gbe.subjects import is_literal, matches
from gbe.transport.base import AfterId, AfterPosition, Edge, FromTime, Lag, Membership, Position, Start
from gbe.transport.redis import keys, wire
from gbe.transport.redis.activity import Activity
from gbe.transport.redis.errors import translated
from gbe.transport.redis.history import History
from gbe.transport.redis.scripts import COUNT, ENSURE_GROUP, LAG, REGISTER
from gbe.transport.redis.streams import Stream, StreamRegistry

_CLOCK_MARGIN_MS: Final = 60_000
"""A group that began with the latest message begins so much earlier on a subject that is new, or was lost: the clocks
of two nodes differ, and to see a message twice is better than not to see it."""
_COUNT_PAGE: Final = 1000
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Subscription:
    """A group's subscription to a pattern.

    Attributes:
        name: of the consumer group in each stream.
        begins: the entry id behind which it begins on a subject where it is not known yet.
    """

    pattern: str
    name: str
    begins: str
    is_literal: bool


class Groups:
    """Makes subscriptions, and knows them."""

    def __init__(self, client: RedisClient, streams: StreamRegistry, activity: Activity, history: History) -> None:
        self._client, self._streams, self._activity, self._history = client, streams, activity, history

    async def ensure(self, pattern: str, group: str, start: Start) -> Subscription:
        """The subscription, made if it is new; ``start`` counts only then. Raises as ``Transport.consume`` does."""
        streams = await self._streams.required(pattern)
        with translated(f"join group {group} of {pattern}"):
            found = await self.find(pattern, group, streams)
            if found is None:
                found = await self._create(pattern, group, start, streams)
            # streams that came later know it from now on too
            await self._register(found, group, streams)
            return found

    async def find(self, pattern: str, group: str, streams: Iterable[Stream]) -> Subscription | None:
        """The subscription if there is one; raises as the client does."""
        field = _field(group, pattern)
        for stream in streams:
            begins = await self._client.call("HGET", keys.groups_index(stream.name), field)
            if begins is not None:
                return _subscription(pattern, group, begins.decode())
        return None

    async def _create(self, pattern: str, group: str, start: Start, streams: Sequence[Stream]) -> Subscription:
        literal = is_literal(pattern)
        subjects = [pattern] if literal else await self._activity.subjects(streams, [pattern])
        match start:
            case Edge.EARLIEST:
                begins = first = "0-0"
            case FromTime(ms):
                begins = first = wire.entry_id(wire.before(ms))
            case AfterPosition(position):
                begins = first = wire.entry_id(position)
            case AfterId(message_id):
                begins = first = wire.entry_id(await self._history.anchor(subjects, message_id))
            case _:
                begins, first = wire.entry_id(Position(max(0, self._client.now_ms() - _CLOCK_MARGIN_MS))), "$"
        subscription = _subscription(pattern, group, begins)
        for some in _chunks(subjects):
            await asyncio.gather(*(self._ensure_on(subscription, subject, first) for subject in some))
        return subscription

    async def _register(self, subscription: Subscription, group: str, streams: Iterable[Stream]) -> None:
        field = _field(group, subscription.pattern)
        for stream in streams:
            await self._client.run(REGISTER, [keys.groups_index(stream.name)], [field, subscription.begins])

    async def ensure_on(self, subscription: Subscription, subject: str) -> bool:
        """Make sure that the group is known on a subject; whether there is a stream. Raises as the client does."""
        return await self._ensure_on(subscription, subject, subscription.begins)

    async def restore(self, subscription: Subscription, group: str, subject: str) -> bool:
        """As ``ensure_on``, for a group that was known there: the engine has lost it, and perhaps all it had."""
        streams = await self._streams.required(subscription.pattern)
        await self._register(subscription, group, streams)
        return await self.ensure_on(subscription, subject)

    async def _ensure_on(self, subscription: Subscription, subject: str, begins: str) -> bool:
        arguments: list[Argument] = [subscription.name, begins, int(subscription.is_literal)]
        made: int = await self._client.run(ENSURE_GROUP, [keys.keys_of(subject).stream], arguments)
        return made >= 0

    async def of_stream(self, stream: Stream) -> list[Membership]:
        """See ``Transport.memberships``."""
        fields = (await self._client.call("HGETALL", keys.groups_index(stream.name)))[::2]
        found = (field.decode().partition("@") for field in fields)
        return [Membership(pattern, group) for group, _, pattern in found]

    async def names_on(self, stream: Stream, subject: str) -> list[str]:
        """The consumer groups that a subject must have: those of every subscription that covers it."""
        return [
            keys.group_name(known.group, known.pattern, literal=is_literal(known.pattern))
            for known in await self.of_stream(stream)
            if matches(known.pattern, subject)
        ]

    async def lag(self, pattern: str, group: str) -> Lag:
        """See ``Transport.lag``."""
        with translated(f"lag of {group}"):
            streams = self._streams.overlapping(pattern)
            subscription = await self.find(pattern, group, streams)
            if subscription is None:
                return Lag(0, 0, None)
            subjects = [pattern] if subscription.is_literal else await self._activity.subjects(streams, [pattern])
            pending = unacknowledged = 0
            ages: list[int] = []
            for some in _chunks(subjects):
                for ahead, held, age in await asyncio.gather(*(self._lag_on(subscription, one) for one in some)):
                    pending, unacknowledged = pending + ahead, unacknowledged + held
                    if age is not None:
                        ages.append(age)
            return Lag(pending, unacknowledged, max(ages) / 1000 if ages else None)

    async def _lag_on(self, subscription: Subscription, subject: str) -> tuple[int, int, int | None]:
        """On one subject: pending, unacknowledged, and milliseconds since the oldest of both was stored."""
        stream = self._streams.known(subject)
        stream_key = keys.keys_of(subject).stream
        age_ms = stream.age_ms if stream is not None else 0
        pending, unacknowledged, oldest, border, now = await self._client.run(
            LAG, [stream_key], [subscription.name, subscription.begins, age_ms]
        )
        if pending < 0:  # something was deleted in the middle, and Redis counts no more
            pending = 0
            while border:
                counted, border = await self._client.run(COUNT, [stream_key], [border, _COUNT_PAGE])
                pending += counted
                if counted < _COUNT_PAGE:
                    break
        return pending, unacknowledged, max(0, now - oldest) if pending or unacknowledged else None


def _field(group: str, pattern: str) -> str:
    return f"{group}@{pattern}"


def _subscription(pattern: str, group: str, begins: str) -> Subscription:
    literal = is_literal(pattern)
    return Subscription(pattern, keys.group_name(group, pattern, literal=literal), begins, literal)


def _chunks(subjects: Sequence[str]) -> Iterable[Sequence[str]]:
    return (subjects[begin : begin + _AT_ONCE] for begin in range(0, len(subjects), _AT_ONCE))
