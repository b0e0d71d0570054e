"""Transport publish: our ``publish`` against nats-py's ``js.publish``, on one engine, into streams of one kind."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from benchmarks.engines import PAYLOAD, Bench, CpuMeter, bench, stream
from benchmarks.harness import Options, Row, Sample, alternate, say
from gbe.transport.embedded import Durability

NAME: Final = "publish"
IN_FLIGHT: Final = 256
LEAST_RATIO: Final = 0.8

PublishOne = Callable[[], Awaitable[object]]


async def run(options: Options) -> list[Row]:
    """Both durabilities, 256 in flight and one at a time."""
    rows: list[Row] = []
    durabilities: tuple[Durability, ...] = ("interval", "fsync")
    for durability in durabilities:
        async with bench(options.directory / f"publish-{durability}", durability) as on:
            await on.transport.ensure_stream(stream("ours"))
            await on.transport.ensure_stream(stream("raw"))
            for tasks in (IN_FLIGHT, 1):
                say(f"publish: {durability}, {tasks} in flight")
                rows.append(await _compare(options, on, durability, tasks))
    return rows


async def _compare(options: Options, on: Bench, durability: str, tasks: int) -> Row:
    seconds = options.pick(3.0, 0.7)
    jetstream = on.raw.jetstream()

    async def ours() -> Sample:
        return await _rate(on, lambda: on.transport.publish("bench.ours.t", PAYLOAD), tasks, seconds)

    async def raw() -> Sample:
        return await _rate(on, lambda: jetstream.publish("bench.raw.t", PAYLOAD), tasks, seconds)

    mine, theirs = await alternate(options.runs, ours, raw)
    row = Row(
        benchmark=NAME,
        case=f"{durability}, {tasks} in flight, {len(PAYLOAD)} B",
        unit="messages/s",
        ours=mine,
        reference=theirs,
        reference_name="nats-py js.publish",
    )
    return _judged(row) if tasks > 1 else row


def _judged(row: Row) -> Row:
    from dataclasses import replace

    return replace(row, target=f"≥ {LEAST_RATIO}", met=(row.ratio or 0) >= LEAST_RATIO)


async def _rate(on: Bench, publish: PublishOne, tasks: int, seconds: float) -> Sample:
    """Messages per second of ``tasks`` tasks that each publish and wait, until the time is over."""
    meter = CpuMeter(on.engine.pid)
    sent, elapsed = await keep_busy(publish, tasks, seconds)
    return Sample(sent / elapsed, meter.per_message(sent))


async def keep_busy(publish: PublishOne, tasks: int, seconds: float) -> tuple[int, float]:
    """How many were published by ``tasks`` tasks that each publish and wait, and in how many seconds."""
    sent = 0
    started = time.perf_counter()
    deadline = started + seconds

    async def work() -> None:
        nonlocal sent
        while time.perf_counter() < deadline:
            await publish()
            sent += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(work())
    return sent, time.perf_counter() - started
