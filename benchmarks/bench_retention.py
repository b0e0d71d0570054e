"""Retention at work: a publisher's latency while the sweeper trims a million messages, beside the same without.

The messages are archived and too old, so on both engines the sweeper removes them, by the archiver's position. The
publisher sends at an even pace to the same subject, and stands for many: a pause of the engine is what would show.
"""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.bench_consume import fill
from benchmarks.engines import PAYLOAD, bench
from benchmarks.harness import Options, Row, Sample, say
from benchmarks.redis_engines import redis_bench
from gbe.redis.config import RedisConfig
from gbe.schemas.archive import POSITION, ArchiveRule, progress_key
from gbe.state.base import StateConfig, StateStore
from gbe.state.open import open_nats, open_redis
from gbe.sweeper.retention import Retention
from gbe.sweeper.streams import Streams
from gbe.transport.base import LATEST, StreamConfig, Transport
from gbe.transport.nats.config import NatsConfig
from gbe.transport.open import embedded_endpoint

NAME: Final = "retention"
SUBJECT: Final = "bench.events.audit.change"
PACE: Final = 500.0
"""Publishes a second."""
_AGE: Final = 1.0


@dataclass(frozen=True, slots=True)
class _On:
    transport: Transport
    state: StateStore

    def streams(self) -> Streams:
        config = StreamConfig(name="bench-audit", subjects=("bench.events.audit.*",), max_age=_AGE, dedup_window=1.0)
        system = StreamConfig(name="bench-system", subjects=("bench.events.system.*",))
        rule = ArchiveRule("archiver", ("bench.events.audit.*",))
        return Streams(self.transport, self.state, "bench", (config, system), rule)


@contextlib.asynccontextmanager
async def _nats(folder: Path) -> AsyncIterator[_On]:
    async with bench(folder, "interval") as on:
        config = NatsConfig(**embedded_endpoint(folder))  # type: ignore[arg-type]
        async with await open_nats(config, StateConfig(), replicas=1) as state:
            yield _On(on.transport, state)


@contextlib.asynccontextmanager
async def _redis(folder: Path) -> AsyncIterator[_On]:
    async with redis_bench(folder) as on, await open_redis(RedisConfig(url=on.engine.url), StateConfig()) as state:
        yield _On(on.transport, state)


async def run(options: Options) -> list[Row]:
    """Both engines, one after the other; the first half of each run is without trimming."""
    messages = options.count(1_000_000, 50_000)
    rows: list[Row] = []
    for name, opener in (("nats", _nats), ("redis", _redis)):
        quiet: list[Sample] = []
        trimming: list[Sample] = []
        for number in range(options.runs):
            async with opener(options.directory / f"{name}{number}") as on:
                without, beside = await _one(on, messages, options.pick(10.0, 2.0), name)
                quiet.append(without)
                trimming.append(beside)
        rows.append(
            Row(
                benchmark=NAME,
                case=f"p99 of a publish on {name} while {messages:,} messages are trimmed",
                unit="ms",
                ours=trimming,
                reference=quiet,
                reference_name="without trimming",
                more_is_better=False,
                target="no pause",
            )
        )
    return rows


async def _one(on: _On, messages: int, seconds: float, name: str) -> tuple[Sample, Sample]:
    streams = on.streams()
    await streams.ensure()
    say(f"retention: storing {messages:,} messages on {name}")
    await fill(on.transport, [SUBJECT], messages)
    await asyncio.sleep(2 * _AGE)  # all of them are too old
    say("retention: publishing without trimming")
    end = time.perf_counter() + seconds
    without = await _publish_while(on.transport, lambda: time.perf_counter() < end)
    newest = (await on.transport.read(SUBJECT, start=LATEST))[-1].position
    await on.state.set_fields(progress_key("bench", "archiver", SUBJECT), {POSITION: str(newest).encode()})
    say("retention: publishing while the sweeper trims")
    started = time.perf_counter()
    sweeping = asyncio.create_task(Retention(streams).sweep())
    beside = await _publish_while(on.transport, lambda: not sweeping.done())
    took = time.perf_counter() - started
    removed = (await sweeping).removed
    assert removed >= messages, f"{removed} of {messages} removed"
    details = {"trimmed/s": removed / took, "seconds": took}
    return without, Sample(beside.value, {**beside.details, **details})


async def _publish_while(transport: Transport, goes_on: Callable[[], bool]) -> Sample:
    """Publish at an even pace: the 99th percentile in milliseconds, by when each publish was due."""
    times: list[float] = []
    running: set[asyncio.Task[None]] = set()

    async def one(due: float) -> None:
        await transport.publish(SUBJECT, PAYLOAD)
        times.append((time.perf_counter() - due) * 1000)

    due = time.perf_counter()
    while goes_on():
        task = asyncio.create_task(one(due))
        running.add(task)
        task.add_done_callback(running.discard)
        due += 1 / PACE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    await asyncio.gather(*running)
    cuts = statistics.quantiles(times, n=100, method="inclusive") if len(times) > 1 else times * 99
    return Sample(cuts[98], {"p50 ms": cuts[49], "max ms": max(times), "publishes": float(len(times))})
