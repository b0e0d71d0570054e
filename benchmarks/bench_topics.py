"""Many topics: what 100,000 of them cost someone who cares about one, against the same with 10."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from benchmarks.bench_fanout import Receipt, listeners
from benchmarks.client import Client
from benchmarks.harness import Options, Row, Sample, alternate, say
from benchmarks.notifications import fill, open_transport
from benchmarks.servers import Server, gbe_server
from gbe.transport.base import Transport

NAME: Final = "topics"
FEW: Final = 10
TOPIC: Final = "t5"  # exists in both


async def run(options: Options) -> list[Row]:
    """Publish to all topics, then poll one, publish to it, and receive from it."""
    many = options.count(100_000, 10_000)
    directory = options.directory / "topics"
    async with contextlib.AsyncExitStack() as stack:
        full = await stack.enter_async_context(gbe_server(directory / "many", durability="interval"))
        small = await stack.enter_async_context(gbe_server(directory / "few", durability="interval"))
        rows = [await _fill(options, full, small, many)]
        for case, measure in cases(options).items():
            say(f"topics: {case}")

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


Measure = Callable[[Server], Awaitable[Sample]]


def cases(options: Options) -> dict[str, Measure]:
    """What is measured on one topic, by name."""
    repeat = options.count(200, 30)

    async def poll(server: Server) -> Sample:
        async with Client(server.port) as client:
            return await repeated(repeat, lambda: client.request("GET", f"/{TOPIC}/json?poll=1&since=latest"))

    async def publish(server: Server) -> Sample:
        async with Client(server.port) as client:
            return await repeated(repeat, lambda: client.request("POST", f"/{TOPIC}", b"m" * 128))

    async def live(server: Server) -> Sample:
        async with Client(server.port) as client, listeners(server.port, f"/{TOPIC}/json", 1) as receipts:
            latencies: list[float] = []
            for _ in range(repeat):
                published = time.monotonic()
                await client.request("POST", f"/{TOPIC}", b"m" * 128)
                receipt = msgspec.json.decode(await receipts.readline(), type=Receipt)
                latencies.append((receipt.last - published) * 1e3)
            return as_sample(latencies)

    return {"poll the newest message": poll, "publish": publish, "publish to live receipt": live}


async def repeated(times: int, action: Callable[[], Awaitable[object]]) -> Sample:
    """The median latency of an action done one at a time, milliseconds."""
    for _ in range(3):
        await action()
    latencies: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        await action()
        latencies.append((time.perf_counter() - started) * 1e3)
    return as_sample(latencies)


def as_sample(latencies: list[float]) -> Sample:
    """Median, with the 99th percentile beside it."""
    ordered = sorted(latencies)
    return Sample(statistics.median(ordered), {"p99 ms": ordered[len(ordered) * 99 // 100]})


async def _fill(options: Options, full: Server, small: Server, many: int) -> Row:
    """A message to each topic, in as many parts as there are runs; as many to the few topics of the other server."""
    say(f"topics: publishing to {many:,} topics")
    every = [f"t{number}" for number in range(many)]
    part = many // options.runs
    mine: list[Sample] = []
    theirs: list[Sample] = []
    async with (
        await open_transport(full.data_dir) as to_many,
        await open_transport(small.data_dir) as to_few,
    ):
        for number in range(options.runs):
            end = many if number == options.runs - 1 else (number + 1) * part
            mine.append(await _publish(full, to_many, every[number * part : end], end - number * part))
            theirs.append(await _publish(small, to_few, every[:FEW], end - number * part))
    await asyncio.sleep(0.5)
    return Row(
        benchmark=NAME,
        case=f"publish to {many:,} new topics, 1 message each",
        unit="messages/s",
        ours=mine,
        reference=theirs,
        reference_name=f"as many to {FEW} topics",
        target="the same",
    )


async def _publish(server: Server, transport: Transport, topics: list[str], messages: int) -> Sample:
    before, started = server.usage(), time.perf_counter()
    await fill(transport, topics, messages, time.time_ns() // 1_000_000)
    elapsed = time.perf_counter() - started
    after = server.usage()
    engine_cpu = (after.engine_cpu - before.engine_cpu) / messages * 1e6
    return Sample(messages / elapsed, {"engine µs": engine_cpu, "engine RSS MiB": after.engine_rss / 2**20})
