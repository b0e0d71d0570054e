"""Messages that a group gives up."""

import asyncio

import pytest
from tests.conformance.transport.conftest import OpenTransport
from tests.conformance.transport.helpers import BEGIN, letters, settled
from tests.waiting import first

from gbe.errors import StreamNotFoundError
from gbe.transport.base import EARLIEST, ConsumeOptions, StreamConfig, Transport

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_what_is_refused_too_often_is_dead_lettered(transport: Transport, subject: str, ns: str) -> None:
    """The nak of the last permitted delivery writes a letter with the whole original, and settles the message."""
    payload = bytes(range(256))
    message_id = await transport.publish(subject, payload, traceparent=TRACE)
    async with transport.consume(subject, "g", ConsumeOptions(start=EARLIEST, max_deliver=3)) as deliveries:
        for attempt in (1, 2, 3):
            delivery = await first(aiter(deliveries))
            assert delivery.attempt == attempt
            await delivery.nak()
        await settled(transport, subject, "g")
    (letter,) = await letters(transport, f"{ns}._deadletter.a", 1)
    assert letter.envelope() == delivery.envelope
    assert (letter.original.id, letter.original.payload, letter.original.traceparent) == (message_id, payload, TRACE)
    assert (letter.group, letter.deliveries, letter.v) == ("g", 3, 1)
    assert "3 deliveries" in letter.reason


async def test_what_nobody_answers_is_dead_lettered(transport: Transport, subject: str, ns: str) -> None:
    """Silence counts as the naks do: after ``max_deliver`` deliveries the message is given up."""
    message_id = await transport.publish(subject, b"x")
    options = ConsumeOptions(start=EARLIEST, max_deliver=2, ack_timeout=2.0)
    async with transport.consume(subject, "g", options) as deliveries:
        assert [(await first(aiter(deliveries))).attempt for _ in range(2)] == [1, 2]
        (letter,) = await letters(transport, f"{ns}._deadletter.a", 1)
        await settled(transport, subject, "g")
    assert (letter.original.id, letter.group, letter.deliveries) == (message_id, "g", 2)


async def test_what_a_vanished_member_left_is_dead_lettered_by_another(
    open_transport: OpenTransport, transport: Transport, subject: str, ns: str
) -> None:
    """A member that died with the last permitted delivery in hand does not keep the message from its end."""
    message_id = await transport.publish(subject, b"x")
    options = ConsumeOptions(start=EARLIEST, max_deliver=1, ack_timeout=1.5)
    silent = await open_transport()
    async with silent.consume(subject, "g", options) as deliveries:
        await first(aiter(deliveries))
    async with transport.consume(subject, "g", options):
        (letter,) = await letters(transport, f"{ns}._deadletter.a", 1)
        await settled(transport, subject, "g")
    assert (letter.original.id, letter.deliveries) == (message_id, 1)


async def test_a_handler_gives_a_message_up_with_its_reason(transport: Transport, subject: str, ns: str) -> None:
    """``dead_letter`` ends it at once, whatever deliveries are left; an endless reason is shortened."""
    await transport.publish(subject, b"x")
    async with transport.consume(subject, "g", BEGIN) as deliveries:
        await (await first(aiter(deliveries))).dead_letter("not JSON: " + "é" * 5000)
        await settled(transport, subject, "g")
    (letter,) = await letters(transport, f"{ns}._deadletter.a", 1)
    assert letter.reason == "not JSON: " + "é" * 1014
    assert letter.deliveries == 1


async def test_each_group_writes_its_own_letter(transport: Transport, subject: str, ns: str) -> None:
    """Giving up is a group's decision; the letters say whose."""
    await transport.publish(subject, b"x")
    for group in ("one", "two"):
        async with transport.consume(subject, group, BEGIN) as deliveries:
            await (await first(aiter(deliveries))).dead_letter("bad")
    both = await letters(transport, f"{ns}._deadletter.a", 2)
    assert sorted(letter.group for letter in both) == ["one", "two"]
    assert len({letter.id for letter in both}) == 2


async def test_the_largest_message_fits_into_a_letter(transport: Transport, subject: str, ns: str) -> None:
    """What could be published can be given up, although a letter is larger than its original."""
    payload = bytes(transport.max_payload_size)
    await transport.publish(subject, payload)
    async with transport.consume(subject, "g", BEGIN) as deliveries:
        await (await first(aiter(deliveries))).dead_letter("too much")
        await settled(transport, subject, "g")
    (letter,) = await letters(transport, f"{ns}._deadletter.a", 1)
    assert letter.original.payload == payload


async def test_a_letter_that_nothing_stores_leaves_the_message_where_it_is(
    open_transport: OpenTransport, ns: str
) -> None:
    """Without a stream for dead letters nothing is given up: the caller hears of it and may still decide otherwise."""
    transport = await open_transport()
    subject = f"{ns}.a.x"
    await transport.ensure_stream(StreamConfig(name=f"{ns}-a", subjects=(f"{ns}.a.>",)))
    await transport.publish(subject, b"x")
    async with transport.consume(subject, "g", BEGIN) as deliveries:
        delivery = await first(aiter(deliveries))
        with pytest.raises(StreamNotFoundError):
            await delivery.dead_letter("bad")
        assert not delivery.is_settled
        await delivery.ack()
        await settled(transport, subject, "g")


async def test_an_exhausted_message_waits_until_its_letter_can_be_stored(
    open_transport: OpenTransport, ns: str
) -> None:
    """The message is not lost while there is no stream for dead letters, and is not delivered again either."""
    transport = await open_transport()
    subject = f"{ns}.a.x"
    await transport.ensure_stream(StreamConfig(name=f"{ns}-a", subjects=(f"{ns}.a.>",)))
    message_id = await transport.publish(subject, b"x")
    options = ConsumeOptions(start=EARLIEST, max_deliver=1, ack_timeout=1.5)
    async with transport.consume(subject, "g", options) as deliveries:
        source = aiter(deliveries)
        await first(source)
        more = asyncio.ensure_future(anext(source))
        await asyncio.wait([more], timeout=3.0)
        assert not more.done()
        await transport.ensure_stream(StreamConfig(name=f"{ns}-dead", subjects=(f"{ns}._deadletter.*",)))
        (letter,) = await letters(transport, f"{ns}._deadletter.a", 1)
        assert letter.original.id == message_id
        await settled(transport, subject, "g")
        more.cancel()
