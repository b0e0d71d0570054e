"""100,000 topics on one Redis, through ``gbe serve``: memory for each, and what a poll and a live subscriber cost among
them, against the same with 10."""

import contextlib
import time
from pathlib import Path
from typing import Final

from tests.redis_engines import RedisProcess

from benchmarks.bench_topics import FEW, Measure, cases
from benchmarks.harness import Options, Row, Sample, alternate, say
from benchmarks.notifications import fill
from benchmarks.servers import Server, gbe_server
from gbe.config import load
from gbe.redis.config import RedisConfig
from gbe.transport.open import open_redis

NAME: Final = "redis_topics"


async def run(options: Options) -> list[Row]:
    """A message to each topic, then more; then a poll, a publish and a live message on one of them."""
    many = options.count(100_000, 10_000)
    directory = options.directory
    async with contextlib.AsyncExitStack() as stack:
        full_engine = stack.enter_context(RedisProcess(directory / "many-redis"))
        small_engine = stack.enter_context(RedisProcess(directory / "few-redis"))
        full, small = [
            await stack.enter_async_context(_server(directory / name, engine))
            for name, engine in (("many", full_engine), ("few", small_engine))
        ]
        rows = [await _memory(full_engine, many)]
        await _publish(small_engine, FEW, 1)
        for case, measure in cases(options).items():
            say(f"redis_topics: {case}")

            async def on_many(measure: Measure = measure) -> Sample:
                return await measure(full)

            async def on_few(measure: Measure = measure) -> Sample:
                return await measure(small)

            mine, theirs = await alternate(options.runs, on_many, on_few)
            rows.append(
                Row(
                    benchmark=NAME,
                    case=f"{case}, {many:,} topics",
                    unit="ms",
                    ours=mine,
                    reference=theirs,
                    reference_name=f"with {FEW} topics",
                    more_is_better=False,
                    target="the same",
                )
            )
    return rows


def _server(directory: Path, engine: RedisProcess) -> contextlib.AbstractAsyncContextManager[Server]:
    return gbe_server(directory, durability="interval", extra=f"transport: {engine.url}\n")


async def _memory(engine: RedisProcess, topics: int) -> Row:
    """Bytes of Redis for each topic: with one message of 128 B, and for each further one."""
    samples: list[Sample] = []
    before = _used(engine)
    started = time.perf_counter()
    say(f"redis_topics: publishing to {topics:,} topics")
    await _publish(engine, topics, 1)
    rate = topics / (time.perf_counter() - started)
    one = _used(engine)
    await _publish(engine, topics, 9)
    ten = _used(engine)
    samples.append(
        Sample((one - before) / topics, {"bytes a further message": (ten - one) / topics / 9, "publish/s": rate})
    )
    return Row(
        benchmark=NAME,
        case=f"memory of a topic with one message of 128 B (and the id it is known by), {topics:,} topics",
        unit="bytes",
        ours=samples,
        more_is_better=False,
    )


def _used(engine: RedisProcess) -> int:
    return int(engine.info("memory")["used_memory"])


async def _publish(engine: RedisProcess, topics: int, each: int) -> None:
    names = [f"t{number}" for number in range(topics)]
    async with await open_redis(RedisConfig(url=engine.url)) as transport:
        for stream in load(environment={}).streams:
            await transport.ensure_stream(stream)
        await fill(transport, names, topics * each, time.time_ns() // 1_000_000)
