"""A Redis server and a cluster for benchmarks, with our transport and redis-py's own client on it."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from redis.asyncio import Redis
from tests.redis_engines import RedisProcess

from gbe.redis.config import RedisConfig
from gbe.transport.base import Transport
from gbe.transport.open import open_redis


@dataclass(frozen=True, slots=True)
class RedisBench:
    """One server with both kinds of client on it."""

    engine: RedisProcess
    transport: Transport
    raw: Any  # redis-py's client: its replies have types for every protocol at once

    @property
    def pid(self) -> int:
        """Of the server."""
        return self.engine.pid


@contextlib.asynccontextmanager
async def redis_bench(folder: Path, *, fsync: str = "everysec") -> AsyncIterator[RedisBench]:
    """A server in ``folder`` with an append-only file, our transport, and a raw client with room for all its tasks."""
    with RedisProcess(folder, fsync=fsync) as engine:
        async with await open_redis(RedisConfig(url=engine.url)) as transport:
            raw = Redis.from_url(engine.url, max_connections=1000)
            try:
                yield RedisBench(engine, transport, raw)
            finally:
                await raw.aclose()


class Cpu:
    """CPU seconds of some processes since this was made."""

    def __init__(self, *pids: int) -> None:
        self._processes = [psutil.Process(pid) for pid in pids]
        self._start = self._now()

    def _now(self) -> float:
        times = [process.cpu_times() for process in self._processes]
        return sum(t.user + t.system for t in times)

    def seconds(self) -> float:
        """Until now."""
        return self._now() - self._start
