"""Validation: events that are checked before they are published, beside the same events unchecked."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import msgspec

from benchmarks.bench_events import CHANGE, SUBJECT
from benchmarks.bench_publish import keep_busy
from benchmarks.engines import Bench, CpuMeter, bench
from benchmarks.harness import Options, Row, Sample, alternate, say
from gbe.config import default_streams
from gbe.events.publisher import EventPublisher
from gbe.ids import new_ulid
from gbe.notify.config import NotifyConfig
from gbe.schemas.events.audit import AuditChange

NAME: Final = "validation"
IN_FLIGHT: Final = 256
LEAST_RATIO: Final = 0.9


async def run(options: Options) -> list[Row]:
    """On the embedded engine with durability interval, many in flight and one at a time."""
    async with bench(options.directory / "validation", "interval") as on:
        for stream in default_streams("gbe", NotifyConfig()):
            await on.transport.ensure_stream(stream)
        rows = []
        for in_flight in (IN_FLIGHT, 1):
            say(f"validation: {in_flight} in flight")
            rows.append(await _compare(options, on, in_flight))
        return rows


async def _compare(options: Options, on: Bench, in_flight: int) -> Row:
    seconds = options.pick(3.0, 1.0)
    publisher = EventPublisher(on.transport, "gbe")
    encode = msgspec.json.Encoder().encode

    def checked() -> Awaitable[object]:
        return publisher.publish(SUBJECT, AuditChange(**CHANGE))  # type: ignore[arg-type]

    def unchecked() -> Awaitable[object]:
        """What a publisher without schemas would do: the event as JSON, stored once by its id."""
        event = AuditChange(**CHANGE)  # type: ignore[arg-type]
        return on.transport.publish(SUBJECT, encode(event), id=new_ulid(), idempotency_key=event.id)

    async def ours() -> Sample:
        return await _rate(on, checked, in_flight, seconds)

    async def plain() -> Sample:
        return await _rate(on, unchecked, in_flight, seconds)

    mine, theirs = await alternate(options.runs, ours, plain)
    row = Row(
        benchmark=NAME,
        case=f"validated publish of events, {in_flight} in flight",
        unit="events/s",
        ours=mine,
        reference=theirs,
        reference_name="the same events, not validated",
    )
    return replace(row, target=f"≥ {LEAST_RATIO}", met=(row.ratio or 0) >= LEAST_RATIO)


async def _rate(on: Bench, publish: Callable[[], Awaitable[object]], in_flight: int, seconds: float) -> Sample:
    meter, started = CpuMeter(on.engine.pid), time.perf_counter()
    sent, _ = await keep_busy(publish, in_flight, seconds)
    return Sample(sent / (time.perf_counter() - started), meter.per_message(sent))
