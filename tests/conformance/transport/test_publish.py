"""Publishing: what may be sent, what is stored, once and when."""

import asyncio
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.transport.conftest import OpenTransport
from tests.conformance.transport.helpers import BEGIN, payloads, publish_all, settled
from tests.waiting import eventually, first, take

from gbe.errors import (
    InvalidEnvelopeError,
    InvalidSubjectError,
    PayloadTooLargeError,
    StreamNotFoundError,
)
from gbe.ids import encode_ulid, is_ulid, new_ulid, ulid_time_ms
from gbe.transport.base import EARLIEST, Transport

ULID = "01K9ZK3V4M8Q2T6W0X5Y7Z1A3B"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_publishing_returns_the_id_of_the_stored_message(transport: Transport, subject: str) -> None:
    """A ULID of now; the message is there as soon as the call returns, with the time of its publishing."""
    before = time.time_ns() // 1_000_000
    message_id = await transport.publish(subject, b"x")
    after = time.time_ns() // 1_000_000
    (message,) = await transport.read(subject)
    assert is_ulid(message_id)
    assert before <= ulid_time_ms(message_id) <= after
    assert message.envelope.id == message_id
    assert before <= message.envelope.timestamp <= after


async def test_a_callers_id_is_kept(transport: Transport, subject: str) -> None:
    """The caller may make the id, to find the message again or to publish safely twice."""
    message_id = new_ulid()
    assert await transport.publish(subject, b"x", id=message_id) == message_id
    assert (await transport.read(subject))[0].envelope.id == message_id


async def test_trace_context_travels_with_the_message(transport: Transport, subject: str) -> None:
    """To consumers, tails and readers; without one there is none."""
    async with transport.tail([subject]) as tail, transport.consume(subject, "g") as deliveries:
        await transport.publish(subject, b"x", traceparent=TRACE)
        await transport.publish(subject, b"y")
        consumed = await take(aiter(deliveries), 2)
        tailed = await take(aiter(tail), 2)
        for delivery in consumed:
            await delivery.ack()
    assert [d.envelope.traceparent for d in consumed] == [TRACE, None]
    assert [m.envelope.traceparent for m in tailed] == [TRACE, None]
    assert [m.envelope.traceparent for m in await transport.read(subject)] == [TRACE, None]


async def test_every_reader_sees_the_same_envelope(transport: Transport, subject: str, ns: str) -> None:
    """Consumer, literal tail, wildcard tail and history agree in every field."""
    async with (
        transport.tail([subject]) as one,
        transport.tail([f"{ns}.>"]) as many,
        transport.consume(subject, "g") as deliveries,
    ):
        await transport.publish(subject, b"\x00\r\n\xff", traceparent=TRACE)
        delivery = await first(aiter(deliveries))
        seen = [await first(aiter(one)), await first(aiter(many))]
        await delivery.ack()
    seen += await transport.read(subject)
    assert all(message == seen[0] for message in seen)
    assert seen[0].envelope == delivery.envelope


# -- payloads


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=st.binary(max_size=300))
async def test_any_bytes_arrive_as_they_were_sent(transport: Transport, subject: str, payload: bytes) -> None:
    """Line breaks, zeros, protocol words, nothing at all: a payload is opaque."""
    message_id = await transport.publish(subject, payload)
    position = await transport.locate(subject, message_id)
    stored = [m for m in await transport.read(subject) if m.position == position]
    assert payloads(stored) == [payload]


@pytest.mark.parametrize("payload", [b"", b"\r\n", b"+ACK", b"-ERR 'x'\r\n", bytes(1024 * 1024), b"\xff" * 1024 * 1024])
async def test_remarkable_payloads_arrive_everywhere(
    transport: Transport, subject: str, ns: str, payload: bytes
) -> None:
    """Through every way out, up to the full size."""
    async with (
        transport.tail([subject]) as one,
        transport.tail([f"{ns}.a.*"]) as many,
        transport.consume(subject, "g") as deliveries,
    ):
        await transport.publish(subject, payload)
        delivery = await first(aiter(deliveries))
        assert delivery.envelope.payload == payload
        await delivery.ack()
        assert (await first(aiter(one))).envelope.payload == payload
        assert (await first(aiter(many))).envelope.payload == payload


async def test_a_payload_over_the_limit_is_refused(transport: Transport, subject: str) -> None:
    """With both sizes, and nothing was sent."""
    with pytest.raises(PayloadTooLargeError) as refusal:
        await transport.publish(subject, bytes(transport.max_payload_size + 1))
    assert (refusal.value.size, refusal.value.limit) == (1024 * 1024 + 1, 1024 * 1024)
    assert await transport.read(subject) == []


async def test_a_full_load_of_large_messages_is_stored_and_read(transport: Transport, subject: str) -> None:
    """Sixty times 256 KiB at once: nothing is refused and nothing is lost on the way back."""
    size = 256 * 1024
    await asyncio.gather(*(transport.publish(subject, bytes([n]) * size) for n in range(60)))
    async with transport.tail([subject], EARLIEST) as tail:
        tailed = await take(aiter(tail), 60)
    read = await transport.read(subject)
    assert read == tailed
    assert sorted(m.envelope.payload[0] for m in read) == list(range(60))
    assert {len(m.envelope.payload) for m in read} == {size}


# -- what is refused before anything is sent


@pytest.mark.parametrize(
    "subject", ["", "a..b", "a.*", "a.>", ">", "a b", "a\r\nPUB evil 0", "a\n", "a.é", "a\x00b", ".a", "a.", "x" * 256]
)
async def test_an_invalid_subject_is_refused(transport: Transport, subject: str) -> None:
    """A wildcard, an empty token, a character that is not a token's, too many bytes."""
    with pytest.raises(InvalidSubjectError):
        await transport.publish(subject, b"")
    with pytest.raises(InvalidSubjectError):
        await transport.publish(subject, b"", durable=False)
    with pytest.raises(InvalidSubjectError):
        await transport.read(subject)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "x"},
        {"id": ""},
        {"id": ULID.lower()},
        {"id": ULID + "\n"},
        {"id": "8" + "0" * 25},
        {"idempotency_key": ""},
        {"idempotency_key": "k" * 129},
        {"idempotency_key": "a\r\nNats-Rollup: all"},
        {"idempotency_key": "a\nb"},
        {"idempotency_key": "é"},
        {"traceparent": "x"},
        {"traceparent": TRACE + "\r\nX: y"},
        {"traceparent": TRACE + "\n"},
        {"traceparent": TRACE.upper()},
        {"traceparent": "00-" + "0" * 32 + "-b7ad6b7169203331-01"},
    ],
    ids=str,
)
async def test_invalid_metadata_is_refused(transport: Transport, subject: str, wrong: dict[str, str]) -> None:
    """Nothing that could end a header line, or that could not be what it claims, is sent."""
    with pytest.raises(InvalidEnvelopeError):
        await transport.publish(subject, b"", **wrong)  # type: ignore[arg-type]
    assert await transport.read(subject) == []


async def test_a_subject_without_a_stream_is_refused(transport: Transport, ns: str) -> None:
    """The message would be kept by nothing: the error names the subject."""
    with pytest.raises(StreamNotFoundError) as refusal:
        await transport.publish(f"{ns}.nowhere", b"")
    assert refusal.value.subject == f"{ns}.nowhere"
    with pytest.raises(StreamNotFoundError):
        await transport.publish(f"{ns}.nowhere", b"", deliver_at=time.time_ns() // 1_000_000 + 60_000)


# -- once


async def test_a_repeated_key_returns_the_first_id(transport: Transport, subject: str) -> None:
    """The second publish stores nothing, also from another call with another payload."""
    first_id = await transport.publish(subject, b"1", idempotency_key="order 7: paid")
    assert await transport.publish(subject, b"2", idempotency_key="order 7: paid") == first_id
    assert await transport.publish(subject, b"3", idempotency_key="order 8: paid") != first_id
    assert payloads(await transport.read(subject)) == [b"1", b"3"]


async def test_with_a_key_the_key_alone_decides(transport: Transport, subject: str) -> None:
    """The same id with another key is stored again: how a message is sent once more on purpose, and only once."""
    message_id = await transport.publish(subject, b"1")
    for _ in range(2):
        assert await transport.publish(subject, b"2", id=message_id, idempotency_key="again 1") == message_id
    await transport.publish(subject, b"3", id=message_id, idempotency_key="again 2")
    stored = await transport.read(subject)
    assert payloads(stored) == [b"1", b"2", b"3"]
    assert {message.envelope.id for message in stored} == {message_id}


async def test_a_key_counts_for_its_subject_only(transport: Transport, ns: str) -> None:
    """Neighbours in the same stream may use the same key."""
    ids = {await transport.publish(f"{ns}.a.{name}", b"", idempotency_key="k") for name in "xyz"}
    assert len(ids) == 3
    assert [len(await transport.read(f"{ns}.a.{name}")) for name in "xyz"] == [1, 1, 1]


async def test_concurrent_publishes_with_one_key_store_one_message(
    open_transport: OpenTransport, transport: Transport, subject: str
) -> None:
    """From several clients at once: all get the id of the one that was stored."""
    clients = [transport, await open_transport(), await open_transport()]
    ids = await asyncio.gather(
        *(clients[n % 3].publish(subject, b"%d" % n, idempotency_key=f"k{n % 5}") for n in range(60))
    )
    stored = await transport.read(subject)
    assert len(stored) == 5
    assert set(ids) == {message.envelope.id for message in stored}
    assert [len(set(ids[key::5])) for key in range(5)] == [1] * 5


async def test_an_id_is_stored_once(transport: Transport, subject: str) -> None:
    """Publishing again with the same id, as after an unknown outcome, is safe; one after the other and at once."""
    message_id = new_ulid()
    for _ in range(3):
        assert await transport.publish(subject, b"x", id=message_id) == message_id
    another = new_ulid()
    assert set(await asyncio.gather(*(transport.publish(subject, b"y", id=another) for _ in range(20)))) == {another}
    assert payloads(await transport.read(subject)) == [b"x", b"y"]


async def test_a_repetition_does_not_hold_up_its_company(transport: Transport, subject: str) -> None:
    """New messages that are published together with repetitions are stored all the same."""
    old = await publish_all(transport, subject, 3)
    fresh = [new_ulid() for _ in range(30)]
    await asyncio.gather(*(transport.publish(subject, b"", id=message_id) for message_id in [*old, *fresh]))
    assert {m.envelope.id for m in await transport.read(subject)} == {*old, *fresh}
    assert len(await transport.read(subject)) == 33


# -- later


def from_now(seconds: float) -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000 + round(seconds * 1000)


async def test_a_delayed_message_is_invisible_until_its_time(transport: Transport, subject: str, ns: str) -> None:
    """Nobody sees it earlier: not a consumer, a tail, a wildcard tail or a reader; then all do."""
    async with (
        transport.tail([subject]) as one,
        transport.tail([f"{ns}.>"]) as many,
        transport.consume(f"{ns}.>", "g") as deliveries,
    ):
        published, due = from_now(0), from_now(1.5)
        delayed = await transport.publish(subject, b"later", deliver_at=due, traceparent=TRACE)
        at_once = await transport.publish(subject, b"now")
        assert payloads(await transport.read(subject)) == [b"now"]
        assert await transport.locate(subject, delayed) is None
        delivery = await first(aiter(deliveries))
        assert delivery.envelope.id == at_once
        await delivery.ack()
        assert (await transport.lag(f"{ns}.>", "g")).pending == 0

        delivery = await first(aiter(deliveries))
        assert from_now(0) >= due
        envelope = delivery.envelope
        assert (envelope.id, envelope.payload, envelope.subject) == (delayed, b"later", subject)
        assert envelope.traceparent == TRACE
        assert published <= envelope.timestamp < due
        await delivery.ack()
        for tail in (one, many):
            seen = await take(aiter(tail), 2)
            assert payloads(seen) == [b"now", b"later"]
            assert seen[1].envelope == envelope
        assert payloads(await transport.read(subject)) == [b"now", b"later"]
        assert await transport.locate(subject, delayed) is not None


async def test_the_id_of_a_delayed_message_names_the_time_of_its_delivery(transport: Transport, subject: str) -> None:
    """Ids sort by when a message is seen, and it is found by its id."""
    due = from_now(60)
    assert ulid_time_ms(await transport.publish(subject, b"", deliver_at=due)) == due


async def test_a_delivery_time_in_the_past_means_now(transport: Transport, subject: str) -> None:
    """Also one before 1970."""
    for past in (from_now(-3600), 0, -1):
        await transport.publish(subject, b"%d" % past, deliver_at=past)
    assert len(await transport.read(subject)) == 3


async def test_delayed_messages_come_in_the_order_of_their_times(transport: Transport, subject: str) -> None:
    """Not in the order in which they were published."""
    for delay in (5, 1, 3):  # far enough apart for an engine that stands still for a second
        await transport.publish(subject, b"%d" % delay, deliver_at=from_now(delay))
    found = await eventually_read(transport, subject, 3)
    assert found == [b"1", b"3", b"5"]


async def eventually_read(transport: Transport, subject: str, count: int) -> list[bytes]:
    """Wait for as many stored messages."""

    async def enough() -> list[bytes]:
        found = payloads(await transport.read(subject))
        return found if len(found) >= count else []

    return await eventually(enough, f"{count} messages on {subject}", interval=0.05)


async def test_a_delayed_message_is_published_once(transport: Transport, subject: str) -> None:
    """Key and id protect it as they do any message."""
    due = from_now(1.0)
    one = await transport.publish(subject, b"1", deliver_at=due, idempotency_key="k")
    assert await transport.publish(subject, b"2", deliver_at=due, idempotency_key="k") == one
    message_id = encode_ulid(due, new_ulid.randomness())
    for _ in range(2):
        await transport.publish(subject, b"3", id=message_id, deliver_at=due)
    await transport.publish(subject, b"end", deliver_at=due + 500)
    found = await eventually_read(transport, subject, 3)
    assert sorted(found) == [b"1", b"3", b"end"]


async def test_a_delayed_message_of_another_client_needs_that_client_no_longer(
    open_transport: OpenTransport, transport: Transport, subject: str
) -> None:
    """The engine keeps it, not the publisher."""
    other = await open_transport()
    await other.publish(subject, b"x", deliver_at=from_now(0.8))
    await other.close()
    assert await eventually_read(transport, subject, 1) == [b"x"]


# -- live only


async def test_a_volatile_message_reaches_live_tails_and_nothing_else(
    transport: Transport, subject: str, ns: str
) -> None:
    """``durable=False``: literal and wildcard tails see it, without a position; it is never stored."""
    async with (
        transport.tail([subject], EARLIEST) as one,
        transport.tail([f"{ns}.a.*"]) as many,
        transport.tail([f"{ns}.b.x"]) as elsewhere,
        transport.consume(f"{ns}.>", "g", BEGIN) as deliveries,
    ):
        message_id = await transport.publish(subject, b"typing", durable=False, traceparent=TRACE)
        for tail in (one, many):
            message = await first(aiter(tail))
            assert (message.envelope.id, message.envelope.payload, message.position) == (message_id, b"typing", None)
            assert (message.envelope.subject, message.envelope.traceparent) == (subject, TRACE)
        await transport.publish(f"{ns}.b.x", b"stored")
        assert (await first(aiter(elsewhere))).envelope.payload == b"stored"
        delivery = await first(aiter(deliveries))
        assert delivery.envelope.payload == b"stored"
        await delivery.ack()
    assert await transport.read(subject) == []
    assert await transport.locate(subject, message_id) is None
    async with transport.tail([subject], EARLIEST) as late:
        await transport.publish(subject, b"next")
        assert (await first(aiter(late))).envelope.payload == b"next"


async def test_volatile_and_stored_messages_keep_their_order(transport: Transport, subject: str) -> None:
    """A live tail of one subject sees a publisher's messages as they were published."""
    async with transport.tail([subject]) as tail:
        for number in range(20):
            await transport.publish(subject, b"%d" % number, durable=number % 2 == 0)
        assert payloads(await take(aiter(tail), 20)) == [b"%d" % n for n in range(20)]


async def test_a_consumer_is_settled_after_many_concurrent_publishes(transport: Transport, subject: str) -> None:
    """A thousand publishes at once are all confirmed, and each is consumed once."""
    ids = await asyncio.gather(*(transport.publish(subject, b"%d" % n) for n in range(1000)))
    assert len(set(ids)) == 1000
    async with transport.consume(subject, "g", BEGIN) as deliveries:
        source, seen = aiter(deliveries), []
        for _ in range(1000):
            delivery = await first(source)
            seen.append(delivery.envelope.id)
            await delivery.ack()
        await settled(transport, subject, "g")
    assert sorted(seen) == sorted(ids)


async def test_an_unhurried_timeout_changes_nothing(transport: Transport, subject: str) -> None:
    """``timeout`` is a deadline, not a delay."""
    started = time.monotonic()
    await transport.publish(subject, b"", timeout=25.0)
    assert time.monotonic() - started < 20


async def test_a_key_that_looks_like_an_id_is_a_key(transport: Transport, subject: str) -> None:
    """The id of one message is a natural key for what follows from it, and does not make that a copy of it."""
    cause = await transport.publish(subject, b"cause")
    effect = await transport.publish(subject, b"effect", idempotency_key=cause)
    assert effect != cause
    assert payloads(await transport.read(subject)) == [b"cause", b"effect"]


async def test_live_only_messages_leave_room_for_others(transport: Transport, subject: str) -> None:
    """Publishing without storing waits for nothing, and lets others run all the same."""
    turns = 0
    done = False

    async def count() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    for _ in range(200):
        await transport.publish(subject, b"x", durable=False)
    done = True
    await counting
    assert turns >= 100
