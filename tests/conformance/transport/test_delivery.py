"""A consumer group's message: delivered, then acked, refused, or delivered again."""

import asyncio
import time

import pytest
from tests.conformance.transport.conftest import OpenTransport
from tests.conformance.transport.helpers import BEGIN, publish_all, settled, working
from tests.waiting import CLOCKS_DIFFER, eventually, first, take

from gbe.errors import DeliverySettledError
from gbe.transport.base import EARLIEST, ConsumeOptions, Delivery, Transport


async def test_a_published_message_is_delivered_and_acknowledged(transport: Transport, subject: str) -> None:
    """What was published arrives unchanged, as the first delivery to its group; acked, it is settled."""
    before = time.time_ns() // 1_000_000
    async with transport.consume(subject, "g") as deliveries:
        message_id = await transport.publish(subject, b"hello")
        delivery = await first(aiter(deliveries))
        envelope = delivery.envelope
        assert (envelope.id, envelope.subject, envelope.payload) == (message_id, subject, b"hello")
        assert before <= envelope.timestamp <= time.time_ns() // 1_000_000
        assert envelope.traceparent is None
        assert (delivery.attempt, delivery.group, delivery.is_settled) == (1, "g", False)
        await delivery.ack()
        assert delivery.is_settled
        await settled(transport, subject, "g")


async def test_a_delivery_says_where_its_message_lies(transport: Transport, subject: str) -> None:
    """Its position is the one that history shows, the first time and again."""
    await publish_all(transport, subject, 3)
    stored = [message.position for message in await transport.read(subject)]
    async with transport.consume(subject, "g", BEGIN) as deliveries:
        found = await take(aiter(deliveries), 3)
        assert [delivery.position for delivery in found] == stored
        await found[0].nak()
        again = await first(aiter(deliveries))
        assert again.position == stored[0]
        for delivery in (again, *found[1:]):
            await delivery.ack()


async def test_an_acknowledged_message_never_comes_back(transport: Transport, subject: str) -> None:
    """Members that join later get only what was not acked."""
    await publish_all(transport, subject, 5)
    async with transport.consume(subject, "g", BEGIN) as deliveries:
        for delivery in await take(aiter(deliveries), 5):
            await delivery.ack()
        await settled(transport, subject, "g")
    after = await transport.publish(subject, b"after")
    async with transport.consume(subject, "g", BEGIN) as deliveries:
        delivery = await first(aiter(deliveries))
        assert delivery.envelope.id == after
        await delivery.ack()


async def test_a_refused_message_comes_back_as_its_second_attempt(transport: Transport, subject: str) -> None:
    """A nak returns the message to its group, and the next delivery says that it is attempt 2."""
    message_id = await transport.publish(subject, b"")
    async with transport.consume(subject, "g", BEGIN) as deliveries:
        await (await first(aiter(deliveries))).nak()
        again = await first(aiter(deliveries))
        assert (again.envelope.id, again.attempt) == (message_id, 2)
        await again.ack()


async def test_a_refused_message_waits_for_its_delay(transport: Transport, subject: str) -> None:
    """``nak(delay)`` brings the message back not earlier than that, and others pass meanwhile."""
    slow = await transport.publish(subject, b"slow")
    async with transport.consume(subject, "g", BEGIN) as deliveries:
        delivery = await first(aiter(deliveries))
        started = time.monotonic()
        await delivery.nak(1.0)
        quick = await transport.publish(subject, b"quick")
        delivery = await first(aiter(deliveries))
        assert delivery.envelope.id == quick
        await delivery.ack()
        again = await first(aiter(deliveries))
        assert (again.envelope.id, again.attempt) == (slow, 2)
        assert time.monotonic() - started >= 1.0 - CLOCKS_DIFFER
        await again.ack()


async def test_an_unanswered_message_comes_back_after_the_ack_timeout(transport: Transport, subject: str) -> None:
    """Silence for the ack timeout is a redelivery, not earlier, and each one counts."""
    message_id = await transport.publish(subject, b"")
    options = ConsumeOptions(start=EARLIEST, ack_timeout=0.8, max_deliver=10)
    async with transport.consume(subject, "g", options) as deliveries:
        asked = time.monotonic()
        await first(aiter(deliveries))
        before = 1
        for _ in range(2):
            again = await first(aiter(deliveries))
            assert again.envelope.id == message_id
            assert again.attempt > before  # by one, unless this process did not run for an ack timeout
            before = again.attempt
        assert time.monotonic() - asked >= 0.8 * (before - 1) - CLOCKS_DIFFER
        await again.ack()
        await settled(transport, subject, "g")


async def test_an_unanswered_message_goes_to_another_member_when_its_holder_is_gone(
    open_transport: OpenTransport, transport: Transport, subject: str
) -> None:
    """A member that leaves without a word keeps nothing from the group."""
    message_id = await transport.publish(subject, b"")
    options = ConsumeOptions(start=EARLIEST, ack_timeout=0.5)
    silent = await open_transport()
    async with silent.consume(subject, "g", options) as deliveries:
        await first(aiter(deliveries))
    async with transport.consume(subject, "g", options) as deliveries:
        again = await first(aiter(deliveries))
        assert again.envelope.id == message_id
        assert again.attempt >= 2
        await again.ack()


async def test_work_in_progress_keeps_its_message(
    open_transport: OpenTransport, transport: Transport, subject: str
) -> None:
    """``in_progress`` starts the ack timeout again, so long work is not done twice."""
    seen: list[tuple[bytes, int]] = []

    async def handler(delivery: Delivery) -> None:
        seen.append((delivery.envelope.payload, delivery.attempt))
        started = time.monotonic()
        while delivery.envelope.payload == b"long" and time.monotonic() - started < 6.0:
            await delivery.in_progress()
            await asyncio.sleep(0.1)

    options = ConsumeOptions(start=EARLIEST, ack_timeout=4.0)
    other = await open_transport()
    async with working(transport, subject, "g", handler, options), working(other, subject, "g", handler, options):
        await transport.publish(subject, b"long")
        await transport.publish(subject, b"short")
        await settled(transport, subject, "g")
    assert sorted(seen) == [(b"long", 1), (b"short", 1)]


@pytest.mark.parametrize("ending", ["ack", "nak", "dead_letter"])
async def test_a_delivery_ends_once(transport: Transport, subject: str, ending: str) -> None:
    """After ack, nak or dead_letter every further word about the delivery is an error."""
    await transport.publish(subject, b"")
    async with transport.consume(subject, "g", BEGIN) as deliveries:
        delivery = await first(aiter(deliveries))
        await {"ack": delivery.ack, "nak": delivery.nak, "dead_letter": lambda: delivery.dead_letter("bad")}[ending]()
        for again in (delivery.ack, delivery.nak, lambda: delivery.dead_letter("bad"), delivery.in_progress):
            with pytest.raises(DeliverySettledError):
                await again()
        if ending == "nak":
            await (await first(aiter(deliveries))).ack()


async def test_a_late_refusal_does_not_take_the_message_from_its_new_holder(transport: Transport, subject: str) -> None:
    """A nak of a delivery whose time is over changes nothing: the message is somebody else's by then."""
    message_id = await transport.publish(subject, b"")
    async with transport.consume(subject, "g", ConsumeOptions(start=EARLIEST, ack_timeout=5.0)) as deliveries:
        source = aiter(deliveries)
        late = await first(source)
        current = await first(source)
        assert (current.envelope.id, current.attempt) == (message_id, 2)
        await late.nak()
        follower = await transport.publish(subject, b"next")
        delivery = await first(source)
        assert (delivery.envelope.id, delivery.attempt) == (follower, 1)
        await delivery.ack()
        await current.ack()
        await settled(transport, subject, "g")


async def test_a_late_acknowledgement_still_counts(transport: Transport, subject: str) -> None:
    """Work that was done is done, even when the word came after the ack timeout."""
    await transport.publish(subject, b"")
    options = ConsumeOptions(start=EARLIEST, ack_timeout=0.5, max_deliver=100)
    async with transport.consume(subject, "g", options) as deliveries:
        source = aiter(deliveries)
        late = await first(source)
        again = await first(source)
        await late.ack()
        await settled(transport, subject, "g")
        assert again.attempt >= 2


# -- the handler's helper


async def test_a_handler_that_returns_acknowledges(transport: Transport, subject: str) -> None:
    """``run`` acks what the handler did not end itself."""
    handled: list[bytes] = []

    async def handler(delivery: Delivery) -> None:
        handled.append(delivery.envelope.payload)

    await publish_all(transport, subject, 3)
    async with working(transport, subject, "g", handler):
        await settled(transport, subject, "g")
    assert handled == [b"0", b"1", b"2"]


async def test_a_handler_that_raises_gets_the_message_again(
    transport: Transport, subject: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Raising is a nak, and is logged with the message's id."""
    attempts: list[int] = []

    async def handler(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        if delivery.attempt < 3:
            raise LookupError("not yet")

    await transport.publish(subject, b"")
    async with working(transport, subject, "g", handler):
        await settled(transport, subject, "g")
    assert attempts == [1, 2, 3]
    assert caplog.text.count("handler failed") == 2


async def test_a_handler_may_end_its_delivery_itself(transport: Transport, subject: str) -> None:
    """What the handler said stands; ``run`` adds nothing, even if it raises afterwards."""
    attempts: list[int] = []

    async def handler(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        if delivery.attempt == 1:
            await delivery.nak(0.1)
            return
        await delivery.ack()
        raise LookupError("too late")

    await transport.publish(subject, b"")
    async with working(transport, subject, "g", handler):
        await settled(transport, subject, "g")
    assert attempts == [1, 2]


async def test_handlers_run_as_many_at_a_time_as_permitted(transport: Transport, subject: str) -> None:
    """``concurrency`` handlers run together, never more."""
    running = most = 0
    release = asyncio.Event()

    async def handler(_: Delivery) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1

    await publish_all(transport, subject, 12)
    async with working(transport, subject, "g", handler, concurrency=4):
        await eventually(lambda: running == 4, "four handlers")
        release.set()
        await settled(transport, subject, "g")
    assert most == 4


async def test_cancelling_the_helper_returns_what_it_was_working_on(transport: Transport, subject: str) -> None:
    """An unfinished handler is cancelled, and its message comes back without waiting for the ack timeout."""
    started = asyncio.Event()

    async def handler(_: Delivery) -> None:
        started.set()
        await asyncio.Event().wait()

    message_id = await transport.publish(subject, b"")
    async with working(transport, subject, "g", handler):
        await asyncio.wait_for(started.wait(), 30)
    async with transport.consume(subject, "g") as deliveries:
        again = await first(aiter(deliveries), within=10)
        assert again.envelope.id == message_id
        assert again.attempt > 1
        await again.ack()
