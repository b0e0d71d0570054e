"""Transport consume with ack, against nats-py's pull ``fetch`` and ``ack``, over the same stored messages."""

import asyncio
import itertools
import time
from dataclasses import replace
from typing import Final

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from benchmarks.engines import PAYLOAD, Bench, CpuMeter, bench, stream
from benchmarks.harness import Options, Row, Sample, alternate, say
from gbe.transport.base import EARLIEST, ConsumeOptions, Transport

NAME: Final = "consume"
BATCH: Final = 100
MAX_INFLIGHT: Final = 1000
LEAST_RATIO: Final = 0.8
SUBJECT: Final = "bench.consume.t"


async def run(options: Options) -> list[Row]:
    """Everything that is stored, by a new group each time."""
    messages = options.count(100_000, 20_000)
    async with bench(options.directory / "consume", "interval") as on:
        await on.transport.ensure_stream(stream("consume"))
        say(f"consume: storing {messages} messages")
        await fill(on.transport, [SUBJECT], messages)
        say("consume: running")
        names = itertools.count()

        async def ours() -> Sample:
            return await consume_all(on, SUBJECT, f"group{next(names)}", messages)

        async def raw() -> Sample:
            return await raw_fetch(on, f"raw{next(names)}", messages)

        mine, theirs = await alternate(options.runs, ours, raw)
    row = Row(
        benchmark=NAME,
        case=f"with ack, batches of {BATCH}, {messages:,} messages of {len(PAYLOAD)} B",
        unit="messages/s",
        ours=mine,
        reference=theirs,
        reference_name="nats-py fetch + ack",
        target=f"≥ {LEAST_RATIO}",
    )
    return [replace(row, met=(row.ratio or 0) >= LEAST_RATIO)]


async def fill(transport: Transport, subjects: list[str], messages: int, payload: bytes = PAYLOAD) -> None:
    """Publish as fast as it goes, over the subjects in turn."""
    turn = itertools.cycle(subjects)
    left = messages

    async def work() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await transport.publish(next(turn), payload)

    async with asyncio.TaskGroup() as group:
        for _ in range(512):
            group.create_task(work())


async def consume_all(on: Bench, subject: str, group: str, messages: int) -> Sample:
    """Our ``consume`` and ``ack`` of what is stored on a subject, by a new group."""
    options = ConsumeOptions(batch_size=BATCH, max_inflight=MAX_INFLIGHT, start=EARLIEST)
    meter = CpuMeter(on.engine.pid)
    started = time.perf_counter()
    received = 0
    async with on.transport.consume(subject, group, options) as deliveries:
        async for delivery in deliveries:
            await delivery.ack()
            received += 1
            if received == messages:
                break
        await on.transport.ping()  # the engine has taken every ack
        elapsed = time.perf_counter() - started
    sample = Sample(messages / elapsed, meter.per_message(messages))
    lag = await on.transport.lag(subject, group)
    assert (lag.pending, lag.unacknowledged) == (0, 0), lag
    return sample


async def raw_fetch(on: Bench, name: str, messages: int, subject: str = SUBJECT, of: str = "bench-consume") -> Sample:
    """nats-py takes and acknowledges everything that is stored on a subject of one stream."""
    jetstream = on.raw.jetstream()
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.EXPLICIT, max_ack_pending=MAX_INFLIGHT
    )
    meter = CpuMeter(on.engine.pid)
    started = time.perf_counter()
    received = 0
    subscription = await jetstream.pull_subscribe(subject, durable=name, stream=of, config=config)
    while received < messages:
        batch = await subscription.fetch(BATCH)
        for msg in batch:
            await msg.ack()
        received += len(batch)
    await on.raw.flush()
    elapsed = time.perf_counter() - started
    sample = Sample(messages / elapsed, meter.per_message(messages))
    await subscription.unsubscribe()

    async with asyncio.timeout(10):
        while (info := await jetstream.consumer_info(of, name)).num_pending or info.num_ack_pending:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # the engine counts acknowledgements a moment after it has received them
    await jetstream.delete_consumer(of, name)
    return sample
