"""Opens the transport that the configuration names."""

from pathlib import Path

from gbe.redis.config import RedisConfig
from gbe.transport.base import Transport
from gbe.transport.datadir import Attachment, read_attachment
from gbe.transport.memory import MemoryTransport
from gbe.transport.nats.config import NatsConfig
from gbe.transport.nats.transport import NatsTransport


def open_memory() -> Transport:
    """A transport within this process; nothing outlives it."""
    return MemoryTransport()


async def open_nats(config: NatsConfig) -> Transport:
    """Connect to a NATS server or cluster; raises as ``NatsTransport.open`` does."""
    return await NatsTransport.open(config)


async def open_redis(config: RedisConfig) -> Transport:
    """Connect to a Redis server or cluster; raises as ``RedisTransport.open`` does."""
    # its client takes a fifth of a second to load, and loads OpenTelemetry where that is installed
    from gbe.transport.redis.transport import RedisTransport

    return await RedisTransport.open(config)


def embedded_endpoint(data_dir: Path) -> dict[str, object]:
    """The connection settings of the engine that serves a data directory, for ``NatsConfig``.

    The engine may come back at another address: it is looked up again after each disconnect.

    Raises:
        EngineNotRunningError: nothing serves it.
        EngineError: its attach file cannot be trusted.
    """
    attachment = read_attachment(data_dir)

    def locate() -> tuple[str, ...]:
        return read_attachment(data_dir).urls

    return _endpoint(attachment) | {"locate": locate}


def _endpoint(attachment: Attachment) -> dict[str, object]:
    return {
        "urls": attachment.urls,
        "user": attachment.user,
        "password": attachment.password,
        "group_commit": attachment.durability == "fsync",
    }
