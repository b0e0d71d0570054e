"""The archiver into a local folder, against nats-py's pull ``fetch`` and ``ack`` of the same stored messages.

The archiver reads, packs, writes, compares and confirms; the other side only takes messages off the engine.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import psutil

from benchmarks.bench_consume import fill, raw_fetch
from benchmarks.engines import PAYLOAD, Bench, CpuMeter, bench
from benchmarks.harness import Options, Row, Sample, alternate, say
from gbe.archive.archiver import Archiver
from gbe.archive.config import ArchiveConfig
from gbe.archive.object_sink import ObjectSink
from gbe.archive.sink import Sink
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore
from gbe.state.base import StateConfig, StateStore
from gbe.state.open import open_nats
from gbe.transport.base import StreamConfig
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


async def run(options: Options) -> list[Row]:
    """Everything that is stored, by a new group each time."""
    messages = options.count(200_000, 20_000)
    data_dir = options.directory / "archive"
    async with bench(data_dir, "interval") as on:
        config = StreamConfig(name=STREAM, subjects=("bench.events.audit.*",), max_age=3600.0)
        await on.transport.ensure_stream(config)
        nats = NatsConfig(**embedded_endpoint(data_dir))  # type: ignore[arg-type]
        async with await open_nats(nats, StateConfig(), replicas=1) as state:
            say(f"archive: storing {messages} messages")
            await fill(on.transport, [SUBJECT], messages)
            say("archive: running")
            numbers = itertools.count()

            async def ours() -> Sample:
                number = next(numbers)
                return await _ours(on, state, f"group{number}", options.directory / f"out{number}", messages)

            async def raw() -> Sample:
                return await raw_fetch(on, f"raw{next(numbers)}", messages, SUBJECT, STREAM)

            mine, theirs = await alternate(options.runs, ours, raw)
    row = Row(
        benchmark=NAME,
        case=f"into a local folder, {messages:,} messages of {len(PAYLOAD)} B",
        unit="messages/s",
        ours=mine,
        reference=theirs,
        reference_name="nats-py fetch + ack",
        target=f"≥ {LEAST_RATIO}",
    )
    return [replace(row, met=(row.ratio or 0) >= LEAST_RATIO)]


async def _ours(on: Bench, state: StateStore, group: str, folder: Path, messages: int) -> Sample:
    async def open_sink() -> Sink:
        return ObjectSink(await ObjectStore.open(ObjectsConfig(url=str(folder))))

    counter = _Counter()
    config = ArchiveConfig(group=group)
    archiver = Archiver(on.transport, state, open_sink, "bench", config, counter)
    before = psutil.Process().memory_info().rss
    meter = CpuMeter(on.engine.pid)
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


async def _is_acknowledged(on: Bench, group: str) -> bool:
    lag = await on.transport.lag("bench.events.audit.*", group)
    return (lag.pending, lag.unacknowledged) == (0, 0)


async def _until(condition: "Callable[[], bool | Awaitable[bool]]") -> None:
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        await asyncio.sleep(0.02)
