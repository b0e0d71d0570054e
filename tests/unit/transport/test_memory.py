"""The memory transport with a clock that moves by hand: what a test of half an hour looks like in a millisecond."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gbe.clock import ManualClock
from gbe.transport.base import EARLIEST, AfterPosition, BeforeTime, ConsumeOptions, FromTime, StreamConfig
from gbe.transport.memory import MemoryTransport
from gbe.transport.memory_engine import MemoryEngine

BEGIN = ConsumeOptions(start=EARLIEST)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def transport(clock: ManualClock) -> AsyncIterator[MemoryTransport]:
    """A transport with one stream and one for dead letters."""
    async with MemoryTransport(clock=clock) as transport:
        await transport.ensure_stream(StreamConfig(name="a", subjects=("gbe.a.>",), max_age=3600.0, dedup_window=120.0))
        await transport.ensure_stream(StreamConfig(name="dead", subjects=("gbe._deadletter.*",)))
        yield transport


async def test_a_forgotten_message_comes_back_when_the_clock_says_so(
    transport: MemoryTransport, clock: ManualClock
) -> None:
    """Thirty seconds pass at once."""
    await transport.publish("gbe.a.x", b"")
    async with transport.consume("gbe.a.x", "g", BEGIN) as deliveries:
        await anext(aiter(deliveries))
        waiting = asyncio.ensure_future(anext(aiter(deliveries)))
        clock.advance(29.9)
        transport.engine.tick()
        await asyncio.sleep(0)
        assert not waiting.done()
        clock.advance(0.2)
        transport.engine.tick()
        again = await waiting
        assert again.attempt == 2
        await again.ack()


async def test_a_delayed_message_is_stored_when_its_time_has_come(
    transport: MemoryTransport, clock: ManualClock
) -> None:
    """An hour later, and dated so."""
    due = clock.now_ms() + 3_600_000
    await transport.publish("gbe.a.x", b"later", deliver_at=due)
    clock.advance(3599)
    transport.engine.tick()
    assert await transport.read("gbe.a.x") == []
    clock.advance(1)
    transport.engine.tick()
    assert await transport.read("gbe.a.x", start=FromTime(due + 1)) == []
    assert len(await transport.read("gbe.a.x", start=FromTime(due), stop=BeforeTime(due + 1))) == 1


async def test_retention_and_the_window_of_keys_follow_the_clock(
    transport: MemoryTransport, clock: ManualClock
) -> None:
    """A key is forgotten after the window, a message after ``max_age``."""
    one = await transport.publish("gbe.a.x", b"1", idempotency_key="k")
    clock.advance(119)
    assert await transport.publish("gbe.a.x", b"2", idempotency_key="k") == one
    clock.advance(2)
    assert await transport.publish("gbe.a.x", b"3", idempotency_key="k") != one
    assert len(await transport.read("gbe.a.x")) == 2
    clock.advance(3600 - 121)
    assert [m.envelope.payload for m in await transport.read("gbe.a.x")] == [b"3"]
    clock.advance(121)
    assert await transport.read("gbe.a.x") == []


async def test_a_message_that_retention_removed_is_not_delivered_again(
    transport: MemoryTransport, clock: ManualClock
) -> None:
    """It is nobody's any more; the group goes on with the next."""
    options = ConsumeOptions(start=EARLIEST, ack_timeout=7200.0)
    await transport.publish("gbe.a.x", b"old")
    async with transport.consume("gbe.a.x", "g", options) as deliveries:
        await (await anext(aiter(deliveries))).nak(1800.0)
        clock.advance(3601)
        transport.engine.tick()
        await transport.publish("gbe.a.x", b"new")
        delivery = await anext(aiter(deliveries))
        assert delivery.envelope.payload == b"new"
        await delivery.ack()
        lag = await transport.lag("gbe.a.x", "g")
        assert (lag.pending, lag.unacknowledged) == (0, 0)


async def test_a_clock_that_steps_back_does_not_disorder_a_stream(
    transport: MemoryTransport, clock: ManualClock
) -> None:
    """Positions and times rise together, so that a time still divides the history."""
    for _ in range(5):
        await transport.publish("gbe.a.x", b"")
        clock._now_ms -= 60_000
    found = await transport.read("gbe.a.x")
    assert len(found) == 5
    position = found[2].position
    assert position is not None
    assert len(await transport.read("gbe.a.x", start=AfterPosition(position))) == 2
    assert len(await transport.read("gbe.a.x", start=FromTime(clock.now_ms()))) == 5


async def test_clients_of_one_engine_are_processes_of_one_deployment(clock: ManualClock) -> None:
    """What one stores the other reads; time goes on while any of them is open."""
    engine = MemoryEngine(clock)
    async with MemoryTransport(engine) as one, MemoryTransport(engine) as two:
        await one.ensure_stream(StreamConfig(name="a", subjects=("gbe.a.>",)))
        await one.publish("gbe.a.x", b"later", deliver_at=clock.now_ms() + 1000)
        await one.close()
        clock.advance(1)
        engine.tick()
        assert len(await two.read("gbe.a.x")) == 1


async def test_a_payload_limit_can_be_chosen() -> None:
    """As small as a test needs it."""
    async with MemoryTransport(max_payload_size=3) as transport:
        assert transport.max_payload_size == 3


async def test_answered_deliveries_leave_nothing_behind(transport: MemoryTransport) -> None:
    """A timer for each of many deliveries, each called off: they do not pile up until their time has come."""
    async with transport.consume("gbe.a.x", "g", BEGIN) as deliveries:
        for _ in range(5000):
            await transport.publish("gbe.a.x", b"")
            await (await anext(aiter(deliveries))).ack()
    assert len(transport.engine.log._due) < 2500
