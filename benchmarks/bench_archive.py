"""The archiver into a local folder, against a raw client that fetches and acknowledges the same stored messages.

The archiver reads, packs, writes, compares and confirms; the other side only takes messages off the engine.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import psutil

from benchmarks.bench_consume import fill, raw_fetch
from benchmarks.bench_redis import consume_raw
from benchmarks.engines import PAYLOAD, CpuMeter, bench
from benchmarks.harness import Options, Row, Sample, alternate, say
from benchmarks.redis_engines import redis_bench
from gbe.archive.archiver import Archiver
from gbe.archive.config import ArchiveConfig
from gbe.archive.object_sink import ObjectSink
from gbe.archive.sink import Sink
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore
from gbe.redis.config import RedisConfig
from gbe.state.base import StateConfig, StateStore
from gbe.state.open import open_nats, open_redis
from gbe.transport.base import StreamConfig, Transport
from gbe.transport.nats.config import NatsConfig
from gbe.transport.open import embedded_endpoint

NAME: Final = "archive"
LEAST_RATIO: Final = 0.7
SUBJECT: Final = "bench.events.audit.change"
STREAM: Final = "bench-audit"


class _Counter:
    """Knows when all is confirmed, and how much memory that took."""

    def __init__(self) -> None:
        self.messages = 0
        self.most_memory = 0

    def archived(self, domain: str, messages: int, payload_bytes: int) -> None:
        """A batch."""
        del domain, payload_bytes
        self.messages += messages
        self.most_memory = max(self.most_memory, psutil.Process().memory_info().rss)

    def failed(self, domain: str) -> None:
        """Should not happen."""
        raise AssertionError(f"a batch of {domain} failed")

    def waiting(self, messages: int, oldest_seconds: float) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class _Place:
    """An engine: ``take`` has its raw client fetch and acknowledge everything, under a new name each time."""

    engine: str
    pid: int
    transport: Transport
    state: StateStore
    take: Callable[[str], Awaitable[Sample]]
    reference: str


async def run(options: Options) -> list[Row]:
    """Everything that is stored, by a new group each time, on both engines."""
    messages = options.count(200_000, 20_000)
    rows = []
    for place in (_nats, _redis):
        async with place(options.directory, messages) as on:
            rows.append(await _compare(options, on, messages))
    return rows


@contextlib.asynccontextmanager
async def _nats(directory: Path, messages: int) -> AsyncIterator[_Place]:
    data_dir = directory / "archive"
    async with bench(data_dir, "interval") as on:
        nats = NatsConfig(**embedded_endpoint(data_dir))  # type: ignore[arg-type]
        async with await open_nats(nats, StateConfig(), replicas=1) as state:

            async def take(name: str) -> Sample:
                return await raw_fetch(on, name, messages, SUBJECT, STREAM)

            yield _Place("nats", on.engine.pid, on.transport, state, take, "nats-py fetch + ack")


@contextlib.asynccontextmanager
async def _redis(directory: Path, messages: int) -> AsyncIterator[_Place]:
    async with (
        redis_bench(directory / "archive-redis") as on,
        await open_redis(RedisConfig(url=on.engine.url), StateConfig()) as state,
    ):

        async def take(name: str) -> Sample:
            return await consume_raw(on, name, messages, SUBJECT.replace(".", ":"))

        yield _Place("redis", on.pid, on.transport, state, take, "redis-py xreadgroup, one xack a batch")


async def _compare(options: Options, on: _Place, messages: int) -> Row:
    config = StreamConfig(name=STREAM, subjects=("bench.events.audit.*",), max_age=3600.0)
    await on.transport.ensure_stream(config)
    say(f"archive: storing {messages} messages, {on.engine}")
    await fill(on.transport, [SUBJECT], messages)
    say("archive: running")
    numbers = itertools.count()

    async def ours() -> Sample:
        number = next(numbers)
        return await _ours(on, f"group{number}", options.directory / f"{on.engine}{number}", messages)

    mine, theirs = await alternate(options.runs, ours, lambda: on.take(f"raw{next(numbers)}"))
    row = Row(
        benchmark=NAME,
        case=f"{on.engine}, into a local folder, {messages:,} messages of {len(PAYLOAD)} B",
        unit="messages/s",
        ours=mine,
        reference=theirs,
        reference_name=on.reference,
        target=f"≥ {LEAST_RATIO}",
    )
    return replace(row, met=(row.ratio or 0) >= LEAST_RATIO)


async def _ours(on: _Place, group: str, folder: Path, messages: int) -> Sample:
    async def open_sink() -> Sink:
        return ObjectSink(await ObjectStore.open(ObjectsConfig(url=str(folder))))

    counter = _Counter()
    archiver = Archiver(
        on.transport, on.state, open_sink, "bench", ArchiveConfig(group=group, batch_timeout=0.5), counter
    )
    before = psutil.Process().memory_info().rss
    meter = CpuMeter(on.pid)
    started = time.perf_counter()
    running = asyncio.create_task(archiver.run())
    try:
        async with asyncio.timeout(600):
            await _until(lambda: counter.messages >= messages)
            await _until(lambda: _is_acknowledged(on, group))
        elapsed = time.perf_counter() - started
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert counter.messages == messages
    grown = (counter.most_memory - before) / 1024**2
    return Sample(messages / elapsed, meter.per_message(messages) | {"memory MiB": grown})


async def _is_acknowledged(on: _Place, group: str) -> bool:
    lag = await on.transport.lag("bench.events.audit.*", group)
    return (lag.pending, lag.unacknowledged) == (0, 0)


async def _until(condition: "Callable[[], bool | Awaitable[bool]]") -> None:
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        await asyncio.sleep(0.02)
