"""Engines, transports and raw nats-py clients for benchmarks."""

import contextlib
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nats
import psutil
from nats.aio.client import Client

from gbe.transport.base import StreamConfig, Transport
from gbe.transport.embedded import Durability, EmbeddedConfig, EmbeddedEngine
from gbe.transport.nats.config import NatsConfig
from gbe.transport.open import embedded_endpoint, open_nats

PAYLOAD: Final = os.urandom(128).hex().encode()  # 256 bytes


@dataclass(frozen=True, slots=True)
class Bench:
    """One engine with both kinds of client on it."""

    engine: EmbeddedEngine
    transport: Transport
    raw: Client


@contextlib.asynccontextmanager
async def bench(data_dir: Path, durability: Durability) -> AsyncIterator[Bench]:
    """An engine in ``data_dir``, our transport and a raw client, both configured as ``gbe serve`` would."""
    async with EmbeddedEngine(data_dir, EmbeddedConfig(durability=durability)) as engine:
        endpoint = embedded_endpoint(data_dir)
        async with await open_nats(NatsConfig(**endpoint)) as transport:  # type: ignore[arg-type]
            attachment = engine.attachment
            raw = await nats.connect(list(attachment.urls), user=attachment.user, password=attachment.password)
            try:
                yield Bench(engine, transport, raw)
            finally:
                await raw.close()


def stream(name: str) -> StreamConfig:
    """A stream as the notify topics have it, for the subjects ``bench.{name}.>``."""
    return StreamConfig(name=f"bench-{name}", subjects=(f"bench.{name}.>",), max_age=3600.0, dedup_window=30.0)


class CpuMeter:
    """CPU seconds of this process and of the engine, since the meter was made."""

    def __init__(self, engine_pid: int) -> None:
        self._engine = psutil.Process(engine_pid)
        self._engine_start = self._engine_seconds()
        self._own_start = time.process_time()

    def _engine_seconds(self) -> float:
        times = self._engine.cpu_times()
        return times.user + times.system

    def per_message(self, messages: int) -> dict[str, float]:
        """Microseconds for each message."""
        own = time.process_time() - self._own_start
        engine = self._engine_seconds() - self._engine_start
        return {"client µs": own / messages * 1e6, "engine µs": engine / messages * 1e6}
