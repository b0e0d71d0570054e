"""Delayed messages before their time: who can see them, and take them back."""

import asyncio

import pytest
from tests.conformance.transport.conftest import OpenTransport
from tests.waiting import eventually, first

from gbe.clock import SystemClock
from gbe.errors import InvalidEnvelopeError, StreamNotFoundError
from gbe.ids import new_ulid
from gbe.transport.base import Transport

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HOUR = 3_600_000


def from_now(ms: int) -> int:
    return SystemClock().now_ms() + ms


async def test_what_waits_is_seen_by_every_client_and_only_on_its_subject(
    open_transport: OpenTransport, transport: Transport, ns: str, subject: str
) -> None:
    """Whole envelopes, exactly as they will be delivered; published messages are not among them."""
    other = await open_transport()
    payloads = [b"one", b"\x00\xff", b""]
    ids = [await transport.publish(subject, p, deliver_at=from_now(HOUR), traceparent=TRACE) for p in payloads]
    plain = await transport.publish(subject, b"no trace", deliver_at=from_now(2 * HOUR))
    await transport.publish(subject, b"now")
    await transport.publish(f"{ns}.a.elsewhere", b"elsewhere", deliver_at=from_now(HOUR))

    found = {envelope.id: envelope for envelope in await other.waiting(subject)}
    assert set(found) == {*ids, plain}
    for message_id, payload in zip(ids, payloads, strict=True):
        envelope = found[message_id]
        assert (envelope.subject, envelope.payload, envelope.traceparent) == (subject, payload, TRACE)
        assert abs(envelope.timestamp - from_now(0)) < 60_000
    assert found[plain].traceparent is None
    assert len(await other.waiting(subject, limit=2)) == 2
    assert await other.waiting(f"{ns}.a.nothing") == []
    assert [m.envelope.payload for m in await other.read(subject)] == [b"now"]


async def test_what_is_withdrawn_is_never_delivered(
    open_transport: OpenTransport, transport: Transport, subject: str
) -> None:
    """By any client, once; the others are delivered as if nothing had been."""
    other = await open_transport()
    taken = await transport.publish(subject, b"taken back", deliver_at=from_now(1_500))
    kept = await transport.publish(subject, b"kept", deliver_at=from_now(1_600))
    async with transport.tail([subject]) as tail:
        assert await other.withdraw(subject, taken)
        assert not await transport.withdraw(subject, taken)
        assert [envelope.id for envelope in await transport.waiting(subject)] == [kept]
        assert (await first(aiter(tail))).envelope.id == kept
    await eventually(lambda: _none_waits(transport, subject), "what was delivered waits no longer")
    assert not await transport.withdraw(subject, kept)
    assert [m.envelope.id for m in await transport.read(subject)] == [kept]


async def _none_waits(transport: Transport, subject: str) -> bool:
    return not await transport.waiting(subject)


async def test_at_the_very_moment_it_is_either_withdrawn_or_delivered(transport: Transport, subject: str) -> None:
    """Never both, never neither."""
    due = from_now(700)
    ids = [await transport.publish(subject, b"%d" % n, deliver_at=due + n) for n in range(60)]

    async def withdraw_when_due(place: int) -> bool:
        await asyncio.sleep(max(0, due + place - from_now(0)) / 1000)
        return await transport.withdraw(subject, ids[place])

    withdrawn = await asyncio.gather(*map(withdraw_when_due, range(60)))
    expected = {message_id for message_id, was_taken in zip(ids, withdrawn, strict=True) if not was_taken}
    await eventually(lambda: _none_waits(transport, subject), "nothing waits any more")

    async def delivered() -> bool:
        return {m.envelope.id for m in await transport.read(subject)} == expected

    await eventually(delivered, "what was not withdrawn is delivered, and nothing else")


async def test_what_cannot_wait(transport: Transport, ns: str, subject: str) -> None:
    """A subject of no stream, an id that is none, and what was never published."""
    with pytest.raises(StreamNotFoundError):
        await transport.waiting(f"{ns}.nowhere")
    with pytest.raises(StreamNotFoundError):
        await transport.withdraw(f"{ns}.nowhere", new_ulid())
    with pytest.raises(InvalidEnvelopeError):
        await transport.withdraw(subject, "*")
    assert not await transport.withdraw(subject, new_ulid())
    published = await transport.publish(subject, b"now")
    assert not await transport.withdraw(subject, published)
