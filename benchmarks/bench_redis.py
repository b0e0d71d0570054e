"""The Redis transport against redis-py on one server: publish, consume with ack, and a pattern over idle streams."""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.bench_consume import fill
from benchmarks.bench_topics import as_sample
from benchmarks.engines import PAYLOAD, CpuMeter, stream
from benchmarks.harness import Options, Row, Sample, alternate, say
from benchmarks.redis_engines import Cpu, RedisBench, redis_bench
from gbe.ids import new_ulid
from gbe.transport.base import EARLIEST, ConsumeOptions, Delivery, Transport

NAME: Final = "redis"
IN_FLIGHT: Final = 256
LEAST_PUBLISH: Final = 3.0
LEAST_CONSUME: Final = 0.8
BATCH: Final = 100
FEW: Final = 10
MOST_IDLE_RATIO: Final = 1.5

PublishOne = Callable[[], Awaitable[object]]


async def run(options: Options) -> list[Row]:
    """Each on a server of its own."""
    rows: list[Row] = []
    for fsync in ("everysec", "always"):
        async with redis_bench(options.directory / f"publish-{fsync}", fsync=fsync) as on:
            await on.transport.ensure_stream(stream("ours"))
            for tasks in (IN_FLIGHT, 1):
                say(f"redis: publish, appendfsync {fsync}, {tasks} in flight")
                rows.append(await _publish(options, on, fsync, tasks))
            if fsync == "everysec":
                say("redis: publish to many subjects")
                rows.append(await _publish_to_many(options, on))
    async with redis_bench(options.directory / "consume") as on:
        rows.append(await _consume(options, on))
    rows += await _pattern(options)
    return rows


# -- publish


async def _publish(options: Options, on: RedisBench, fsync: str, tasks: int) -> Row:
    seconds = options.pick(3.0, 0.7)

    async def ours() -> Sample:
        return await _rate(on, lambda: on.transport.publish("bench.ours.t", PAYLOAD), tasks, seconds)

    async def raw() -> Sample:
        return await _rate(on, lambda: on.raw.xadd("bench:raw:t", entry()), tasks, seconds)

    mine, theirs = await alternate(options.runs, ours, raw)
    row = Row(
        benchmark=NAME,
        case=f"publish, appendfsync {fsync}, {tasks} in flight, {len(PAYLOAD)} B",
        unit="messages/s",
        ours=mine,
        reference=theirs,
        reference_name="redis-py xadd",
    )
    if tasks == 1 or fsync != "everysec":
        return row
    return replace(row, target=f"≥ {LEAST_PUBLISH:g}", met=(row.ratio or 0) >= LEAST_PUBLISH)


async def _publish_to_many(options: Options, on: RedisBench) -> Row:
    """One message a subject: no two share a batch, the round trips alone are shared."""
    seconds, subjects = options.pick(3.0, 0.7), options.count(5_000, 1_000)
    turn = itertools.count()

    async def ours() -> Sample:
        return await _rate(
            on, lambda: on.transport.publish(f"bench.ours.m{next(turn) % subjects}", PAYLOAD), IN_FLIGHT, seconds
        )

    async def raw() -> Sample:
        return await _rate(on, lambda: on.raw.xadd(f"bench:raw:m{next(turn) % subjects}", entry()), IN_FLIGHT, seconds)

    mine, theirs = await alternate(options.runs, ours, raw)
    return Row(
        benchmark=NAME,
        case=f"publish, {IN_FLIGHT} in flight over {subjects:,} subjects",
        unit="messages/s",
        ours=mine,
        reference=theirs,
        reference_name="redis-py xadd",
    )


def entry() -> dict[str, str | bytes]:
    """The fields that ours has too, without the records that de-duplicate it."""
    return {"id": new_ulid(), "ts": str(time.time_ns() // 1_000_000), "data": PAYLOAD}


async def _rate(on: RedisBench, publish: PublishOne, tasks: int, seconds: float) -> Sample:
    sent = 0
    deadline = time.perf_counter() + seconds

    async def work() -> None:
        nonlocal sent
        while time.perf_counter() < deadline:
            await publish()
            sent += 1

    meter = CpuMeter(on.pid)
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(work())
    elapsed = time.perf_counter() - started
    return Sample(sent / elapsed, meter.per_message(sent))


# -- consume


async def _consume(options: Options, on: RedisBench) -> Row:
    messages = options.count(100_000, 20_000)
    await on.transport.ensure_stream(stream("consume"))
    say(f"redis: storing {messages} messages")
    await fill(on.transport, ["bench.consume.t"], messages)
    say("redis: consume")
    names = itertools.count()

    async def ours() -> Sample:
        return await _consume_ours(on, f"group{next(names)}", messages)

    async def raw() -> Sample:
        return await consume_raw(on, f"raw{next(names)}", messages)

    mine, theirs = await alternate(options.runs, ours, raw)
    row = Row(
        benchmark=NAME,
        case=f"consume with ack, batches of {BATCH}, {messages:,} messages of {len(PAYLOAD)} B",
        unit="messages/s",
        ours=mine,
        reference=theirs,
        reference_name="redis-py xreadgroup, one xack a batch",
        target=f"≥ {LEAST_CONSUME}",
    )
    return replace(row, met=(row.ratio or 0) >= LEAST_CONSUME)


async def _consume_ours(on: RedisBench, group: str, messages: int) -> Sample:
    options = ConsumeOptions(batch_size=BATCH, max_inflight=1000, start=EARLIEST)
    meter = CpuMeter(on.pid)
    started = time.perf_counter()
    received = 0
    async with on.transport.consume("bench.consume.t", group, options) as deliveries:
        async for delivery in deliveries:
            await delivery.ack()
            received += 1
            if received == messages:
                break
        await on.transport.ping()  # the server has taken every ack
        elapsed = time.perf_counter() - started
    sample = Sample(messages / elapsed, meter.per_message(messages))
    lag = await on.transport.lag("bench.consume.t", group)
    assert (lag.pending, lag.unacknowledged) == (0, 0), lag
    return sample


async def consume_raw(on: RedisBench, group: str, messages: int, key: str = "bench:consume:t") -> Sample:
    """redis-py takes and acknowledges everything of one stream, a batch at a time."""
    await on.raw.xgroup_create(key, group, "0")
    meter = CpuMeter(on.pid)
    started = time.perf_counter()
    received = 0
    while received < messages:
        reply = await on.raw.xreadgroup(group, "member", {key: ">"}, count=BATCH)
        ids = [entry_id for entry_id, _ in reply[0][1]]
        await on.raw.xack(key, group, *ids)
        received += len(ids)
    elapsed = time.perf_counter() - started
    return Sample(messages / elapsed, meter.per_message(messages))


# -- a pattern over idle streams


async def _pattern(options: Options) -> list[Row]:
    """One group that follows ``bench.idle.*``: what many idle streams cost it, against a few."""
    many = options.count(10_000, 2_000)
    measured: dict[int, list[_Followed]] = {many: [], FEW: []}
    async with (
        redis_bench(options.directory / "many") as on_many,
        redis_bench(options.directory / "few") as on_few,
    ):
        for on, count in ((on_many, many), (on_few, FEW)):
            await on.transport.ensure_stream(stream("idle"))
            say(f"redis: a message for each of {count:,} subjects")
            await fill(on.transport, [f"bench.idle.s{number}" for number in range(count)], count)
        for number in range(options.runs + 1):
            for on, count in ((on_many, many), (on_few, FEW)):
                say(f"redis: a pattern over {count:,} subjects, run {number}")
                found = await _follow(options, on, f"group{number}", count)
                if number:  # the first is the warm-up
                    measured[count].append(found)
    rows = [
        _pattern_row(
            f"a pattern over {many:,} streams: CPU of client and server while nothing happens",
            "ms/s",
            [run.idle for run in measured[many]],
            [run.idle for run in measured[FEW]],
        ),
        _pattern_row(
            f"a pattern over {many:,} streams, {FEW} in use: publish to delivery, one at a time",
            "ms",
            [run.latency for run in measured[many]],
            [run.latency for run in measured[FEW]],
        ),
    ]
    rows = [replace(row, met=None if options.quick else (row.ratio or 0) <= MOST_IDLE_RATIO) for row in rows]
    cold = _pattern_row(
        f"a pattern over {many:,} streams: the first message of a stream that was idle, publish to delivery",
        "ms",
        [run.first for run in measured[many]],
        [run.latency for run in measured[many]],
    )
    return [*rows, replace(cold, reference_name="of one in use", target="")]


def _pattern_row(case: str, unit: str, ours: list[Sample], theirs: list[Sample]) -> Row:
    return Row(
        benchmark=NAME,
        case=case,
        unit=unit,
        ours=ours,
        reference=theirs,
        reference_name=f"over {FEW}",
        more_is_better=False,
        target="the same",
    )


@dataclass(frozen=True, slots=True)
class _Followed:
    """What following a pattern cost: CPU milliseconds a second while idle, and latencies in milliseconds."""

    idle: Sample
    latency: Sample
    first: Sample


async def _follow(options: Options, on: RedisBench, group: str, count: int) -> _Followed:
    repeat, seconds = options.count(300, 50), options.pick(10.0, 2.0)
    async with on.transport.consume("bench.idle.*", group) as deliveries:
        source = aiter(deliveries)
        await asyncio.sleep(5.0)  # what was published before has been looked at, and is not any more
        cpu, started = Cpu(on.pid, os.getpid()), time.perf_counter()
        await asyncio.sleep(seconds)
        idle = cpu.seconds() / (time.perf_counter() - started) * 1e3
        warm = [await _deliver(on.transport, source, f"bench.idle.s{number % FEW}") for number in range(repeat)]
        idle_ones = range(FEW, min(count, FEW + repeat))
        cold = [await _deliver(on.transport, source, f"bench.idle.s{number}") for number in idle_ones]
    return _Followed(Sample(idle), as_sample(warm), as_sample(cold or warm))


async def _deliver(transport: Transport, source: AsyncIterator[Delivery], subject: str) -> float:
    started = time.perf_counter()
    await transport.publish(subject, PAYLOAD)
    delivery = await anext(source)
    elapsed = (time.perf_counter() - started) * 1e3
    await delivery.ack()
    return elapsed
