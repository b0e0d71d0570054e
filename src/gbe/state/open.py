"""Opens the state store that the configuration names."""

from gbe.redis.config import RedisConfig
from gbe.state.base import StateConfig, StateStore
from gbe.state.memory import MemoryStateStore
from gbe.transport.nats.config import NatsConfig


def open_memory(config: StateConfig | None = None) -> StateStore:
    """A state store within this process; nothing outlives it."""
    return MemoryStateStore(config=config)


async def open_nats(nats: NatsConfig, config: StateConfig | None = None, *, replicas: int = 1) -> StateStore:
    """A state store on a NATS server or cluster, or on the embedded engine (``gbe.transport.open.embedded_endpoint``).

    Raises:
        StateUnavailableError, UnsupportedEngineError, StateError: as ``NatsStateStore.open`` does.
    """
    from gbe.state.nats.store import NatsStateStore

    return await NatsStateStore.open(nats, config, replicas=replicas)


async def open_redis(redis: RedisConfig, config: StateConfig | None = None) -> StateStore:
    """A state store on a Redis server or cluster.

    Raises:
        StateUnavailableError, UnsupportedEngineError: as ``RedisStateStore.open`` does.
    """
    # its client takes a fifth of a second to load, and loads OpenTelemetry where that is installed
    from gbe.state.redis.store import RedisStateStore

    return await RedisStateStore.open(redis, config)
