"""``Consumption.parcels``: many messages at a time, answered together, with what holds for each of them alone."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress

from tests.conformance.transport.conftest import OpenTransport
from tests.conformance.transport.helpers import publish_all, settled
from tests.waiting import PATIENCE

from gbe.errors import DeliverySettledError
from gbe.transport.base import EARLIEST, ConsumeOptions, Parcel, Position, Transport

OPTIONS = ConsumeOptions(start=EARLIEST, batch_size=20, max_inflight=200, ack_timeout=60.0, tells_gaps=True)


async def _take(parcels: AsyncIterator[list[Parcel]], messages: int) -> list[Parcel]:
    """Parcels with so many messages in all, at least."""
    found: list[Parcel] = []
    async with asyncio.timeout(PATIENCE):
        while sum(len(parcel) for parcel in found) < messages:
            found += await anext(parcels)
    return found


def _positions(parcels: list[Parcel]) -> list[Position]:
    return [position for parcel in parcels for position in parcel.positions]


async def test_all_messages_come_in_parcels_in_their_order(transport: Transport, subject: str) -> None:
    """As a reader finds them; and when all parcels are acknowledged the group is done."""
    await publish_all(transport, subject, 150)
    async with transport.consume(subject, "g", OPTIONS) as deliveries:
        parcels = await _take(deliveries.parcels(), 150)
        for parcel in parcels:
            assert (parcel.subject, parcel.first, parcel.last) == (subject, parcel.positions[0], parcel.positions[-1])
            await parcel.ack()
        await settled(transport, subject, "g")
    read = await transport.read(subject)
    assert _positions(parcels) == [one.position for one in read]
    assert [envelope for parcel in parcels for envelope in parcel.envelopes] == [one.envelope for one in read]


async def test_no_more_is_handed_over_than_may_be_in_flight(transport: Transport, subject: str) -> None:
    """And what is acknowledged makes room, also a part of a parcel."""
    options = ConsumeOptions(start=EARLIEST, batch_size=20, max_inflight=30, ack_timeout=60.0)
    await publish_all(transport, subject, 90)
    async with transport.consume(subject, "g", options) as deliveries:
        source, open_ones, seen = deliveries.parcels(), list[Parcel](), 0
        while seen < 90:
            came = await anext(source)
            seen += sum(len(parcel) for parcel in came)
            open_ones += came
            assert sum(len(parcel) for parcel in open_ones) <= 30
            front, back = open_ones[0].split(open_ones[0].positions[len(open_ones[0]) // 2])
            assert front is not None
            await front.ack()
            open_ones[:1] = [back] if back is not None else []
        for parcel in open_ones:
            await parcel.ack()
        await settled(transport, subject, "g")


async def test_a_parcel_that_is_refused_comes_again(transport: Transport, subject: str) -> None:
    """All of its messages, and no other ones; it has ended then."""
    await publish_all(transport, subject, 40)
    async with transport.consume(subject, "g", OPTIONS) as deliveries:
        source = deliveries.parcels()
        refused, *others = await _take(source, 40)
        await refused.in_progress()
        await refused.nak()
        for parcel in others:
            await parcel.ack()
        again = await _take(source, len(refused))
        assert sorted(_positions(again)) == refused.positions
        for parcel in again:
            await parcel.ack()
        await settled(transport, subject, "g")


async def test_what_was_not_taken_goes_to_the_next_member(
    open_transport: OpenTransport, transport: Transport, subject: str
) -> None:
    """At once when a member leaves; and so does what it held when its transport is closed."""
    await publish_all(transport, subject, 100)
    leaving = await open_transport()
    async with leaving.consume(subject, "g", OPTIONS) as deliveries:
        taken = await anext(deliveries.parcels())
        await taken[0].ack()
        done = set(taken[0].positions)
    await leaving.close()
    everything = {one.position for one in await transport.read(subject)}
    async with transport.consume(subject, "g", OPTIONS) as deliveries:
        rest: set[Position] = set()
        source = deliveries.parcels()
        while rest != everything - done:
            for parcel in await anext(source):
                rest.update(parcel.positions)
                await parcel.ack()
        await settled(transport, subject, "g")


async def test_a_parcel_that_has_ended_cannot_be_answered(transport: Transport, subject: str) -> None:
    """On Redis, where it is one thing; elsewhere its deliveries have ended, and nothing happens."""
    await publish_all(transport, subject, 5)
    async with transport.consume(subject, "g", OPTIONS) as deliveries:
        for parcel in await _take(deliveries.parcels(), 5):
            await parcel.ack()
            with suppress(DeliverySettledError):
                await parcel.nak()
        await settled(transport, subject, "g")
    lag = await transport.lag(subject, "g")
    assert (lag.pending, lag.unacknowledged) == (0, 0)


async def test_nothing_is_missing_from_where_a_parcel_says_so(
    open_transport: OpenTransport, transport: Transport, ns: str
) -> None:
    """Two members on two subjects that take what comes to them, and refuse some of it."""
    chance = random.Random(1)
    subjects = [f"{ns}.a.x", f"{ns}.a.y"]
    for subject in subjects:
        await publish_all(transport, subject, 40)
    handed: list[list[Parcel]] = [[], []]

    async def answer(number: int, parcels: AsyncIterator[list[Parcel]]) -> None:
        async for some in parcels:
            for parcel in some:
                handed[number].append(parcel)
                await (parcel.nak() if chance.random() < 0.2 else parcel.ack())

    async with (
        transport.consume(f"{ns}.a.*", "g", OPTIONS) as one,
        (await open_transport()).consume(f"{ns}.a.*", "g", OPTIONS) as two,
        asyncio.TaskGroup() as group,
    ):
        members = [group.create_task(answer(n, each.parcels())) for n, each in enumerate((one, two))]
        for _ in range(5):
            for subject in subjects:
                await publish_all(transport, subject, chance.randint(1, 30))
        await settled(transport, f"{ns}.a.*", "g")
        for member in members:
            member.cancel()
    for subject in subjects:
        stored = [message.position for message in await transport.read(subject)]
        for parcels in handed:
            seen: set[Position] = set()
            for parcel in (parcel for parcel in parcels if parcel.subject == subject):
                seen.update(parcel.positions)
                assert {one for one in stored if one is not None and parcel.since <= one <= parcel.last} <= seen
