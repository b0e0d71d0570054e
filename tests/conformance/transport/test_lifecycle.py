"""Opening, asking, closing: what is in flight when a client goes."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import pytest
from tests.conformance.transport.conftest import OpenTransport
from tests.conformance.transport.helpers import BEGIN, payloads, publish_all, settled
from tests.waiting import eventually, first, take

from gbe.errors import TransportClosedError
from gbe.ids import new_ulid
from gbe.transport import draining
from gbe.transport.base import EARLIEST, ConsumeOptions, Delivery, StreamConfig, Transport


async def test_a_ping_is_a_round_trip(transport: Transport) -> None:
    """In seconds."""
    assert 0 <= await transport.ping() < 10


async def test_closing_waits_for_handlers_under_way(
    open_transport: OpenTransport, transport: Transport, subject: str, ns: str
) -> None:
    """A handler ends, may still publish, and its message is acked: it never comes back."""
    leaving = await open_transport()
    started, release = asyncio.Event(), asyncio.Event()
    handled: list[bytes] = []

    async def handler(delivery: Delivery) -> None:
        started.set()
        await release.wait()
        await leaving.publish(f"{ns}.b.x", b"last words")
        handled.append(delivery.envelope.payload)

    await publish_all(transport, subject, 1)
    async with leaving.consume(subject, "g", BEGIN) as deliveries:
        running = asyncio.create_task(deliveries.run(handler))
        await asyncio.wait_for(started.wait(), 30)
        closing = asyncio.create_task(leaving.close())
        await asyncio.wait([closing], timeout=0.3)
        assert not closing.done()
        release.set()
        await asyncio.wait_for(closing, 30)
        await asyncio.wait_for(running, 30)  # the flow has ended, and with it the helper
    assert handled == [b"0"]
    assert payloads(await transport.read(f"{ns}.b.x")) == [b"last words"]
    await settled(transport, subject, "g")


@pytest.mark.parametrize("leave", ["block", "close"])
async def test_what_was_fetched_and_not_taken_goes_to_others_at_once(
    open_transport: OpenTransport, transport: Transport, subject: str, leave: str
) -> None:
    """A member that leaves keeps nothing until the ack timeout, whether its block ends or its client closes."""
    leaving = await open_transport()
    await publish_all(transport, subject, 30)
    options = ConsumeOptions(start=EARLIEST, ack_timeout=60.0)
    consumption = leaving.consume(subject, "g", options)
    await consumption.__aenter__()
    for delivery in await take(aiter(consumption), 2):
        await delivery.ack()
    started = time.monotonic()
    await (consumption.__aexit__(None, None, None) if leave == "block" else leaving.close())
    async with transport.consume(subject, "g", options) as deliveries:
        taken = await take(aiter(deliveries), 28)
        assert time.monotonic() - started < 20
        assert sorted(int(d.envelope.payload) for d in taken) == list(range(2, 30))
        for delivery in taken:
            await delivery.ack()
        await settled(transport, subject, "g")


async def test_leaving_under_load_loses_nothing_and_keeps_nothing(
    open_transport: OpenTransport, transport: Transport, subject: str
) -> None:
    """Members come and go while messages flow: each one is handled, without waiting for an ack timeout."""
    options = ConsumeOptions(start=EARLIEST, ack_timeout=60.0, max_deliver=1000, max_inflight=20)
    handled: set[str] = set()
    coming_and_going = True

    async def visitor() -> None:
        client = await open_transport()
        while coming_and_going:
            async with client.consume(subject, "g", options) as deliveries:
                for delivery in await take(aiter(deliveries), 5):
                    await delivery.ack()
                    handled.add(delivery.envelope.id)

    async def feeder() -> list[str]:
        return [await transport.publish(subject, b"") for _ in range(600)]

    feeding = asyncio.create_task(feeder())
    visitors = [asyncio.create_task(visitor()) for _ in range(3)]
    ids = await feeding
    coming_and_going = False
    more = asyncio.create_task(publish_all(transport, subject, 30))  # so that no visitor waits in vain
    await asyncio.gather(*visitors)
    ids += await more
    started = time.monotonic()
    async with transport.consume(subject, "g", options) as deliveries:

        async def rest(delivery: Delivery) -> None:
            handled.add(delivery.envelope.id)

        running = asyncio.create_task(deliveries.run(rest, concurrency=10))
        await settled(transport, subject, "g")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert time.monotonic() - started < 30
    assert handled == set(ids)


async def test_closing_returns_what_its_holder_does_not_finish(
    open_transport: OpenTransport,
    transport: Transport,
    subject: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A delivery that somebody holds and never ends is waited for, not for ever, and then returned; the log says so."""
    monkeypatch.setattr(draining, "DRAIN_TIMEOUT", 0.5)
    caplog.set_level(logging.INFO, draining.__name__)
    leaving = await open_transport()
    await publish_all(transport, subject, 1)
    options = ConsumeOptions(start=EARLIEST, ack_timeout=600.0)
    async with leaving.consume(subject, "g", options) as deliveries:
        await first(aiter(deliveries))
        await leaving.close()
    assert [record.levelname for record in caplog.records if record.name == draining.__name__] == ["INFO", "WARNING"]
    async with transport.consume(subject, "g", options) as deliveries:
        again = await first(aiter(deliveries))
        assert again.attempt == 2
        await again.ack()


async def test_a_delivery_outlives_its_block(transport: Transport, subject: str) -> None:
    """What the caller holds stays valid until the transport closes."""
    await publish_all(transport, subject, 1)
    async with transport.consume(subject, "g", BEGIN) as deliveries:
        delivery = await first(aiter(deliveries))
    await delivery.in_progress()
    await delivery.ack()
    await settled(transport, subject, "g")


async def test_iterators_end_when_the_transport_closes(
    open_transport: OpenTransport, transport: Transport, subject: str, ns: str
) -> None:
    """Of consumers and of tails of every kind; nobody waits for ever."""
    leaving = await open_transport()
    async with (
        leaving.consume(subject, "g") as deliveries,
        leaving.tail([subject]) as one,
        leaving.tail([f"{ns}.a.*"]) as many,
        leaving.tail([subject, f"{ns}.b.*"]) as merged,
    ):
        sources: list[object] = [deliveries, one, many, merged]
        waiting = [asyncio.ensure_future(anext(aiter(source), "ended")) for source in sources]  # type: ignore[call-overload]
        await transport.ping()
        await leaving.close()
        assert await asyncio.wait_for(asyncio.gather(*waiting), 30) == ["ended"] * 4
        again = [anext(aiter(source), "ended") for source in sources]  # type: ignore[call-overload]
        assert await asyncio.wait_for(asyncio.gather(*again), 30) == ["ended"] * 4


async def test_iterators_end_with_their_block(transport: Transport, subject: str, ns: str) -> None:
    """Whoever reads in another task is let go."""
    for opened in (
        transport.consume(subject, "g"),
        transport.tail([subject]),
        transport.tail([f"{ns}.a.*"]),
        transport.tail([subject, f"{ns}.b.*"]),
    ):
        async with opened as source:
            waiting = asyncio.ensure_future(anext(aiter(source), "ended"))  # type: ignore[call-overload]
            await transport.ping()
        assert await asyncio.wait_for(waiting, 30) == "ended"


async def test_a_closed_transport_refuses_everything(
    open_transport: OpenTransport, transport: Transport, ns: str
) -> None:
    """Every call says that it was closed; closing again is fine."""
    closed = await open_transport()
    consumption, tail = closed.consume(f"{ns}.a.x", "g"), closed.tail([f"{ns}.a.x"])
    await closed.close()
    await closed.close()
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: closed.publish(f"{ns}.a.x", b""),
        lambda: closed.publish(f"{ns}.a.x", b"", durable=False),
        lambda: closed.read(f"{ns}.a.x"),
        lambda: closed.locate(f"{ns}.a.x", new_ulid()),
        lambda: closed.ensure_stream(StreamConfig(name="n", subjects=("n",))),
        lambda: closed.trim(f"{ns}.a.x", 1),
        lambda: closed.lag(f"{ns}.a.x", "g"),
        closed.ping,
        consumption.__aenter__,
        tail.__aenter__,
    ]
    for call in calls:
        with pytest.raises(TransportClosedError):
            await call()
    with pytest.raises(TransportClosedError):
        closed.consume(f"{ns}.a.x", "g")
    with pytest.raises(TransportClosedError):
        closed.tail([f"{ns}.a.x"])


async def test_publishes_under_way_end_when_the_transport_closes(
    open_transport: OpenTransport, transport: Transport, subject: str
) -> None:
    """Each is stored or says that the transport was closed; none hangs, and none is lost."""
    leaving = await open_transport()
    publishing = [asyncio.create_task(leaving.publish(subject, b"%d" % n)) for n in range(200)]
    await eventually(lambda: any(task.done() for task in publishing), "a first publish")
    await asyncio.wait_for(leaving.close(), 30)
    outcomes = await asyncio.wait_for(asyncio.gather(*publishing, return_exceptions=True), 30)
    stored = {message.envelope.id for message in await transport.read(subject)}
    assert all(outcome in stored or isinstance(outcome, TransportClosedError) for outcome in outcomes)


async def test_clients_come_and_go_without_trace(open_transport: OpenTransport, transport: Transport, ns: str) -> None:
    """A client that is closed leaves no task behind."""
    tasks = asyncio.all_tasks()
    for _ in range(3):
        client = await open_transport()
        async with client.tail([f"{ns}.a.x", f"{ns}.b.*"]) as tail, client.consume(f"{ns}.a.x", "g", BEGIN):
            await client.publish(f"{ns}.a.x", b"")
            await first(aiter(tail))
        await client.close()
    await eventually(lambda: len(asyncio.all_tasks() - tasks) == 0, "the end of all tasks")


async def test_joining_a_group_can_be_cancelled_at_every_step(transport: Transport, subject: str) -> None:
    """A cancelled member ends, however far it has come: whoever cancelled it waits for that."""

    async def member() -> None:
        async with transport.consume(subject, "g", BEGIN) as deliveries:
            await deliveries.run(lambda _: asyncio.sleep(0))

    for steps in range(150):
        joining = asyncio.create_task(member())
        for _ in range(steps):
            await asyncio.sleep(0)
        joining.cancel()
        done, _ = await asyncio.wait([joining], timeout=30)
        assert done, f"it goes on after {steps} steps"
