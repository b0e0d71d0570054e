"""Streams of short life on every engine, with a state store beside them."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from tests.deployment_fixtures import any_engine
from tests.deployments import Engine
from tests.naming import unique
from tests.waiting import eventually

from gbe.schemas.archive import POSITION, ArchiveRule, progress_key
from gbe.schemas.system import Fault
from gbe.state.base import StateStore
from gbe.sweeper.retention import Pass, Retention
from gbe.sweeper.streams import Streams
from gbe.transport.base import EARLIEST, ConsumeOptions, StreamConfig, Transport

__all__ = ["any_engine"]

AGE = 0.5
"""Seconds after which the messages of these tests are too old."""


@dataclass
class World:
    """One deployment: three streams, of which ``audit`` is archived by the group ``archiver``."""

    namespace: str
    transport: Transport
    state: StateStore
    clients: list[Any] = field(default_factory=list)

    def streams(self, *, archiver_runs: bool = False, **limits: Any) -> Streams:
        """What a process has of them; ``limits`` replace those of ``audit`` and ``work``."""
        ns, kept = self.namespace, {"max_age": AGE, **limits}
        configured = (
            StreamConfig(name=f"{ns}-audit", subjects=(f"{ns}.events.audit.*",), **kept),
            StreamConfig(name=f"{ns}-work", subjects=(f"{ns}.work.>",), **kept),
            StreamConfig(name=f"{ns}-system", subjects=(f"{ns}.events.system.*",)),
        )
        rule = ArchiveRule("archiver", (f"{ns}.events.audit.*",)) if archiver_runs else None
        return Streams(self.transport, self.state, ns, configured, rule)

    @property
    def audit(self) -> str:
        return f"{self.namespace}.events.audit.change"

    async def publish(self, subject: str, count: int, *, first: int = 0) -> list[str]:
        """Numbered messages; their ids."""
        numbers = range(first, first + count)
        return [await self.transport.publish(subject, b"%d" % number) for number in numbers]

    async def stored(self, subject: str) -> list[bytes]:
        """The payloads that are there."""
        return [message.envelope.payload for message in await self.transport.read(subject)]

    async def join(self, pattern: str, group: str) -> None:
        """Make a group that begins with the oldest message, and leave it."""
        async with self.transport.consume(pattern, group, ConsumeOptions(start=EARLIEST)):
            pass

    async def consume(self, pattern: str, group: str, count: int, *, settle: bool = True) -> None:
        """Take and acknowledge so many messages of a group."""
        async with self.transport.consume(pattern, group, ConsumeOptions(start=EARLIEST)) as deliveries:
            source = aiter(deliveries)
            for _ in range(count):
                delivery = await asyncio.wait_for(anext(source), 30.0)
                if settle:
                    await delivery.ack()

        async def is_settled() -> bool:
            return (await self.transport.lag(pattern, group)).unacknowledged == 0

        await eventually(is_settled, "all acknowledged")

    async def confirm(self, subject: str, message_id: str, *, group: str = "archiver") -> None:
        """Say that everything up to this message is archived, as an archiver does."""
        place = await self.transport.locate(subject, message_id)
        assert place is not None
        key = progress_key(self.namespace, group, subject)
        await self.state.set_fields(key, {POSITION: str(place).encode()})

    async def alerts(self) -> list[Fault]:
        """What the system's errors say."""
        found = await self.transport.read(f"{self.namespace}.events.system.error")
        return [msgspec.json.decode(message.envelope.payload, type=Fault) for message in found]

    async def sweep_until(self, retention: Retention, subject: str, expected: Sequence[bytes]) -> Pass:
        """Sweep until a subject holds just this; the last pass."""
        last = Pass()

        async def is_so() -> bool:
            nonlocal last
            last = await retention.sweep()
            return await self.stored(subject) == list(expected)

        await eventually(is_so, f"{len(expected)} messages left", interval=0.05)
        return last


async def aged() -> None:
    """Wait until what was published before this is too old, beyond the slack between clocks."""
    end = time.monotonic() + AGE + 1.2

    def is_over() -> bool:
        return time.monotonic() > end

    await eventually(is_over, "the messages' age")


@pytest.fixture
async def world(engine: Engine) -> AsyncIterator[World]:
    """A deployment of the test's own."""
    namespace = unique("r")
    async with await engine.transport() as transport, await engine.state(unique("b")) as state:
        yield World(namespace, transport, state)
