"""Events: validated publish over HTTP, one by one and in batches, and a typed handler; beside the transport alone."""

import asyncio
import itertools
import time
from typing import Final

import msgspec

from benchmarks.bench_consume import consume_all, fill
from benchmarks.bench_http import CONNECTIONS, publish_load
from benchmarks.bench_publish import keep_busy
from benchmarks.engines import Bench, CpuMeter, bench
from benchmarks.harness import Options, Row, Sample, alternate, say
from benchmarks.servers import Server, gbe_server
from gbe.config import default_streams
from gbe.events.handlers import EventHandler, HandlerOptions
from gbe.events.worker import EventWorker
from gbe.notify.config import NotifyConfig
from gbe.schemas.events.audit import AuditChange
from gbe.schemas.events.registry import EventRegistry
from gbe.transport.base import EARLIEST, Transport
from gbe.transport.nats.config import NatsConfig
from gbe.transport.open import embedded_endpoint, open_nats

NAME: Final = "events"
BATCHES: Final = (1, 100)
SUBJECT: Final = "gbe.events.audit.change"
CONCURRENCY: Final = 100
CHANGE: Final = {
    "actor": "ann@example.net",
    "action": "update",
    "target": "invoice/2026-000017",
    "before": {"state": "open", "lines": 12},
    "after": {"state": "paid", "lines": 12, "paid_at": "2026-01-31T12:00:00Z"},
}


async def run(options: Options) -> list[Row]:
    """Publish and handle, on the embedded engine with durability interval."""
    rows: list[Row] = []
    directory = options.directory / "http"
    async with gbe_server(directory, durability="interval") as server:
        endpoint = embedded_endpoint(server.data_dir)
        async with await open_nats(NatsConfig(**endpoint)) as transport:  # type: ignore[arg-type]
            for batch in BATCHES:
                say(f"events: publish over HTTP in batches of {batch}")
                rows.append(await _publishing(options, server, transport, batch))
    say("events: a typed handler")
    rows.append(await _handling(options))
    return rows


async def _publishing(options: Options, server: Server, transport: Transport, batch: int) -> Row:
    seconds = options.pick(5.0, 1.5)
    connections = CONNECTIONS if batch == 1 else 4
    in_flight = connections * batch
    body = options.directory / f"batch-{batch}.json"
    body.write_bytes(msgspec.json.encode(CHANGE if batch == 1 else [CHANGE] * batch))

    async def over_http() -> Sample:
        path = "/v1/events/events.audit.change"
        sample = await publish_load(server, path, seconds, connections, body=body)
        per_event = {name: value / batch if "µs" in name else value for name, value in sample.details.items()}
        return Sample(sample.value * batch, per_event)

    async def alone() -> Sample:
        return await _transport_rate(server, transport, in_flight, seconds)

    mine, theirs = await alternate(options.runs, over_http, alone)
    size = len(msgspec.json.encode(CHANGE))
    return Row(
        benchmark=NAME,
        case=f"publish over HTTP, batches of {batch}, {connections} connections, {size} B each",
        unit="events/s",
        ours=mine,
        reference=theirs,
        reference_name=f"Transport.publish, {in_flight} in flight",
    )


async def _transport_rate(server: Server, transport: Transport, in_flight: int, seconds: float) -> Sample:
    """The same events, with their ``v``, ``ts`` and ``id``, straight into the same stream."""
    payload = msgspec.json.encode(AuditChange(**CHANGE))  # type: ignore[arg-type]
    before, cpu = server.usage(), time.process_time()
    sent, elapsed = await keep_busy(lambda: transport.publish(SUBJECT, payload), in_flight, seconds)
    cpu, engine = time.process_time() - cpu, server.usage().engine_cpu - before.engine_cpu
    return Sample(sent / elapsed, {"server µs": cpu / sent * 1e6, "engine µs": engine / sent * 1e6})


async def _handling(options: Options) -> Row:
    events = options.count(20_000, 2_000)
    async with bench(options.directory / "handler", "interval") as on:
        for stream in default_streams("gbe", NotifyConfig()):
            await on.transport.ensure_stream(stream)
        payload = msgspec.json.encode(AuditChange(**CHANGE))  # type: ignore[arg-type]
        await fill(on.transport, [SUBJECT], events, payload)
        numbers = itertools.count()

        async def handler() -> Sample:
            return await _typed(on, f"typed{next(numbers)}", events)

        async def alone() -> Sample:
            return await consume_all(on, SUBJECT, f"plain{next(numbers)}", events)

        mine, theirs = await alternate(options.runs, handler, alone)
    return Row(
        benchmark=NAME,
        case=f"typed handler, {CONCURRENCY} at a time, {events:,} stored events of {len(payload)} B",
        unit="events/s",
        ours=mine,
        reference=theirs,
        reference_name="Transport.consume + ack",
    )


async def _typed(on: Bench, group: str, events: int) -> Sample:
    handled = 0
    stop = asyncio.Event()

    async def handle(event: AuditChange) -> None:
        nonlocal handled
        assert event.actor
        handled += 1
        if handled == events:
            stop.set()

    handler = EventHandler(SUBJECT, group, handle, HandlerOptions(concurrency=CONCURRENCY, start=EARLIEST))
    worker = EventWorker(on.transport, "gbe", EventRegistry(), [handler])
    meter, started = CpuMeter(on.engine.pid), time.perf_counter()
    await worker.run(stop)
    return Sample(events / (time.perf_counter() - started), meter.per_message(events))
