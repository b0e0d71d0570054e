"""What the fault tests of the Redis transport share: servers of their own, and clients that are opened alike."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from tests.naming import unique
from tests.total_queue import Load

from gbe.errors import TransportError
from gbe.redis.config import RedisConfig
from gbe.transport.base import EARLIEST, ConsumeOptions, StreamConfig, Transport
from gbe.transport.redis.transport import RedisTransport

OPTIONS = ConsumeOptions(start=EARLIEST, ack_timeout=3.0, max_deliver=1000)


@dataclass
class Clients:
    """Opens clients of one server or cluster, and closes them at the test's end."""

    stack: AsyncExitStack
    config: RedisConfig

    async def open(self, **changes: Any) -> RedisTransport:
        """One more, as another process would open it."""
        return await self.stack.enter_async_context(await RedisTransport.open(replace(self.config, **changes)))


def config_for(url: str) -> RedisConfig:
    """Patient with the engine, impatient with connections."""
    return RedisConfig(
        url=url, publish_timeout=30.0, request_timeout=20.0, stall_timeout=0.8, reconnect_wait=0.02, poll_interval=0.3
    )


async def new_root(transport: Transport, **limits: Any) -> str:
    """A stream of the test's own; returns what its subjects begin with."""
    name = unique()
    await transport.ensure_stream(StreamConfig(name=name, subjects=(f"gbe.{name}.>",), **limits))
    return f"gbe.{name}"


async def new_load(clients: Clients, *, elections: bool = False, **changes: Any) -> Load:
    """Two clients that publish, two that consume, and one for the tails."""
    one, two, three, four, five = [await clients.open(**changes) for _ in range(5)]
    root = await new_root(one)
    return Load([one, two], [three, four], five, root, OPTIONS, elections=elections)


async def answers(transport: Transport) -> bool:
    """Whether the engine is there for this client."""
    try:
        await transport.ping()
    except TransportError:
        return False
    return True
