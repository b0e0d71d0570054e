"""Consumer groups on the engine: one durable consumer per group, pattern and stream that the pattern touches."""

import hashlib
import time
from dataclasses import replace
from typing import Any, Final

import msgspec

from gbe.subjects import overlaps
from gbe.transport.base import AfterId, ConsumeOptions, Lag, Membership, Start
from gbe.transport.nats.connection import NatsConnection
from gbe.transport.nats.errors import CONSUMER_EXISTS, CONSUMER_NOT_FOUND, ApiError, translated
from gbe.transport.nats.history import History, deliver_policy
from gbe.transport.nats.streams import StreamRegistry

_NANO: Final = 1_000_000_000


class _SequenceInfo(msgspec.Struct):
    stream_seq: int = 0


class ConsumerInfo(msgspec.Struct):
    """What the engine knows of a durable consumer."""

    config: dict[str, Any]
    num_pending: int = 0
    num_ack_pending: int = 0
    ack_floor: _SequenceInfo = msgspec.field(default_factory=_SequenceInfo)


def durable_name(group: str, pattern: str) -> str:
    """The engine's name for a group's subscription: readable, and unique per pattern."""
    return f"{group}-{hashlib.blake2s(pattern.encode(), digest_size=6).hexdigest()}"


class GroupRegistry:
    """The durable consumers behind the groups."""

    def __init__(self, connection: NatsConnection, streams: StreamRegistry, history: History) -> None:
        self._connection, self._streams, self._history = connection, streams, history

    async def ensure(self, pattern: str, group: str, options: ConsumeOptions) -> list[str]:
        """Create what is missing of a group's subscription; returns the streams it spans."""
        streams = await self._streams.required(pattern)
        anchor = None
        for stream in streams:
            start = options.start
            # the start of a group that exists does not matter any more, and its message may be gone
            if isinstance(start, AfterId) and not await self._exists(stream, pattern, group):
                anchor = anchor or await self._history.anchor([pattern], start.id)
                start = anchor.start_in(stream)
            await self.ensure_on(stream, pattern, group, replace(options, start=start))
        return streams

    async def _exists(self, stream: str, pattern: str, group: str) -> bool:
        with translated(f"consumer {group} of {pattern}"):
            return await self._info(stream, durable_name(group, pattern)) is not None

    async def restore_on(self, stream: str, pattern: str, group: str, options: ConsumeOptions) -> None:
        """As ``ensure_on``, and the stream too if somebody has deleted it."""
        await self._streams.restore(stream)
        await self.ensure_on(stream, pattern, group, options)

    async def ensure_on(self, stream: str, pattern: str, group: str, options: ConsumeOptions) -> None:
        """Create or update the consumer on one stream. A consumer that exists keeps its place."""
        name = durable_name(group, pattern)
        ack_wait = round(options.ack_timeout * _NANO)
        with translated(f"consumer {group} of {pattern}"):
            current = await self._info(stream, name)
            if current is None:
                config = _new_consumer(name, pattern, group, options.start) | {"ack_wait": ack_wait}
                if await self._create(stream, name, config):
                    return
                current = await self._info(stream, name)
            if current is not None and current.config.get("ack_wait") != ack_wait:
                config = current.config | {"ack_wait": ack_wait}
                await self._connection.api(
                    f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": config, "action": "update"}
                )

    async def _create(self, stream: str, name: str, config: dict[str, Any]) -> bool:
        """Whether the consumer was made; it is not when another member was faster and wanted another one."""
        try:
            await self._connection.api(
                f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": config, "action": "create"}
            )
        except ApiError as exc:
            if exc.err_code != CONSUMER_EXISTS:
                raise
            return False
        return True

    async def _info(self, stream: str, name: str) -> ConsumerInfo | None:
        try:
            data = await self._connection.api(f"CONSUMER.INFO.{stream}.{name}")
        except ApiError as exc:
            if exc.err_code == CONSUMER_NOT_FOUND:
                return None
            raise
        return msgspec.json.decode(data, type=ConsumerInfo)

    async def lag(self, pattern: str, group: str) -> Lag:
        """See ``Transport.lag``."""
        pending = unacknowledged = 0
        oldest: list[int] = []
        name = durable_name(group, pattern)
        for stream in await self._streams.overlapping(pattern):
            with translated(f"lag of {group}"):
                info = await self._info(stream, name)
            if info is None:
                continue
            pending += info.num_pending
            unacknowledged += info.num_ack_pending
            if info.num_pending or info.num_ack_pending:
                stored = await self._history.stored_at(stream, pattern, info.ack_floor.stream_seq + 1)
                oldest.extend([stored] if stored is not None else [])
        age = max(0.0, time.time() - min(oldest) / 1000) if oldest else None
        return Lag(pending, unacknowledged, age)

    async def acknowledged_floor(self, stream: str, subject: str) -> int | None:
        """The lowest sequence that some group consuming ``subject`` has not settled yet; ``None`` without a group."""
        floors = [
            info.ack_floor.stream_seq + 1
            for info in await self._consumers(stream)
            if "durable_name" in info.config and overlaps(info.config.get("filter_subject") or ">", subject)
        ]
        return min(floors, default=None)

    async def memberships(self, stream: str) -> list[Membership]:
        """The groups of ours that consume from a stream."""
        named = (info.config.get("metadata") or {} for info in await self._consumers(stream))
        return [
            Membership(metadata["gbe-pattern"], metadata["gbe-group"])
            for metadata in named
            if "gbe-pattern" in metadata and "gbe-group" in metadata
        ]

    async def _consumers(self, stream: str) -> list[ConsumerInfo]:
        found: list[ConsumerInfo] = []
        while True:
            with translated(f"consumers of {stream}"):
                data = await self._connection.api(f"CONSUMER.LIST.{stream}", {"offset": len(found)})
            page = msgspec.json.decode(data, type=_ConsumerList)
            found += page.consumers or []
            if not page.consumers or len(found) >= page.total:
                return found


class _ConsumerList(msgspec.Struct):
    total: int = 0
    consumers: list[ConsumerInfo] | None = None


def _new_consumer(name: str, pattern: str, group: str, start: Start) -> dict[str, Any]:
    config: dict[str, Any] = {
        "durable_name": name,
        "name": name,
        "description": f"group {group}, {pattern}",
        "ack_policy": "explicit",
        "filter_subject": pattern,
        "max_deliver": -1,  # ours: see the module's docstring
        "max_ack_pending": -1,  # each member limits itself
        "metadata": {"gbe-group": group, "gbe-pattern": pattern},
    }
    return config | deliver_policy(start)
