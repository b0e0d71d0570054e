"""``Delivery.since``: a member that is told "nothing is missing from here on" can rely on it."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack

import pytest
from tests.conformance.transport.conftest import OpenTransport
from tests.conformance.transport.helpers import publish_all
from tests.waiting import eventually, take

from gbe.transport.base import EARLIEST, ConsumeOptions, Delivery, Position, Transport
from gbe.transport.memory import MemoryTransport

TELLING = ConsumeOptions(start=EARLIEST, batch_size=7, max_inflight=60, ack_timeout=20.0, tells_gaps=True)


async def _stored(transport: Transport, subjects: Iterable[str]) -> dict[str, list[Position]]:
    found: dict[str, list[Position]] = {}
    for subject in subjects:
        messages = await transport.read(subject)
        found[subject] = [message.position for message in messages if message.position is not None]
    return found


async def test_one_member_alone_is_handed_everything_without_a_gap(transport: Transport, subject: str) -> None:
    """From the first message on, over many fetches; and what it is handed is what a reader finds there."""
    await publish_all(transport, subject, 50)
    async with transport.consume(subject, "g", TELLING) as deliveries:
        found = await take(aiter(deliveries), 50)
        for delivery in found:
            await delivery.ack()
    read = await transport.read(subject)
    assert [(one.position, one.envelope) for one in found] == [(one.position, one.envelope) for one in read]
    if not isinstance(transport, MemoryTransport):  # which says nothing
        assert {delivery.since for delivery in found} == {found[0].position}


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_missing_from_where_a_delivery_says_so(
    open_transport: OpenTransport, transport: Transport, ns: str, seed: int
) -> None:
    """Two members that take turns at random, on two subjects, and refuse some messages."""
    chance = random.Random(seed)
    subjects = [f"{ns}.a.x", f"{ns}.a.y"]
    handed: list[list[Delivery]] = [[], []]
    finished: set[str] = set()
    async with AsyncExitStack() as stack:
        members: list[Callable[[], Awaitable[Delivery]]] = []
        for client in (transport, await open_transport()):
            consuming = await stack.enter_async_context(client.consume(f"{ns}.a.*", "g", TELLING))
            members.append(aiter(consuming).__anext__)
        published: list[str] = []
        for _ in range(12):
            for subject in subjects:
                published += [await transport.publish(subject, b"m") for _ in range(chance.randint(0, 9))]

            async def one_round(published: list[str] = published) -> bool:
                number = chance.randrange(2)
                for delivery in await _what_comes(members[number], chance.randint(1, 8)):
                    handed[number].append(delivery)
                    if chance.random() < 0.15:
                        await delivery.nak()
                    else:
                        await delivery.ack()
                        finished.add(delivery.envelope.id)
                return len(finished) > len(published) // 2

            await eventually(one_round, "half of it was handed over")
    stored = await _stored(transport, subjects)
    checked = 0
    for deliveries in handed:
        seen: dict[str, set[Position]] = defaultdict(set)
        for delivery in deliveries:
            subject, position = delivery.envelope.subject, delivery.position
            seen[subject].add(position)
            promised = {one for one in stored[subject] if delivery.since <= one <= position}
            assert promised <= seen[subject], f"a gap between {delivery.since} and {position} of {subject}"
            checked += len(promised) > 1
    assert checked or isinstance(transport, MemoryTransport)


async def _what_comes(one: Callable[[], Awaitable[Delivery]], most: int) -> list[Delivery]:
    """Up to so many deliveries, as long as there are any."""

    found: list[Delivery] = []
    while len(found) < most:
        try:
            async with asyncio.timeout(0.05):
                found.append(await one())
        except TimeoutError:
            break
    return found


async def test_a_stream_has_one_life(transport: Transport, subject: str) -> None:
    """Its name does not change while it is written to."""
    before = await transport.stream_life(subject)
    await publish_all(transport, subject, 3)
    assert await transport.stream_life(subject) == before
