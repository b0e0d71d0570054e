"""Reading what is stored, and finding a message by its id."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.transport.conftest import OpenTransport
from tests.conformance.transport.helpers import BEGIN, payloads, publish_all
from tests.waiting import next_millisecond, take

from gbe.errors import MessageNotFoundError, StreamNotFoundError
from gbe.ids import encode_ulid, new_ulid
from gbe.transport.base import (
    EARLIEST,
    LATEST,
    AfterId,
    AfterPosition,
    BeforeTime,
    FromTime,
    Position,
    Start,
    StoredMessage,
    Transport,
    UpTo,
)


def position_of(message: StoredMessage) -> Position:
    assert message.position is not None
    return message.position


async def test_a_subject_is_read_in_stream_order(transport: Transport, subject: str, ns: str) -> None:
    """Every message of the subject and of no other, positions rising."""
    for number in range(40):
        await transport.publish(f"{ns}.a.{'xy'[number % 2]}", b"%d" % number)
    found = await transport.read(subject)
    assert payloads(found) == [b"%d" % n for n in range(0, 40, 2)]
    assert {m.envelope.subject for m in found} == {subject}
    assert [position_of(m) for m in found] == sorted({position_of(m) for m in found})


async def test_positions_of_a_streams_subjects_compare_by_arrival(transport: Transport, ns: str) -> None:
    """So that what was read subject by subject can be merged."""
    for number in range(10):
        await transport.publish(f"{ns}.a.{'xyz'[number % 3]}", b"%d" % number)
    found = [m for name in "xyz" for m in await transport.read(f"{ns}.a.{name}")]
    assert payloads(sorted(found, key=position_of)) == [b"%d" % n for n in range(10)]


async def test_an_empty_subject_reads_as_nothing(transport: Transport, subject: str) -> None:
    """Whatever the start, except an id, which must be there."""
    for start in (EARLIEST, LATEST, FromTime(0), AfterPosition(Position(0)), AfterPosition(Position(10**9))):
        assert await transport.read(subject, start=start) == []
    with pytest.raises(MessageNotFoundError):
        await transport.read(subject, start=AfterId(new_ulid()))


async def test_latest_is_the_newest_message_alone(transport: Transport, subject: str, ns: str) -> None:
    """Unless it lies behind the stop."""
    await publish_all(transport, subject, 3)
    before = await next_millisecond()
    await transport.publish(subject, b"newest")
    await transport.publish(f"{ns}.a.y", b"elsewhere")
    newest = await transport.read(subject, start=LATEST)
    assert payloads(newest) == [b"newest"]
    assert await transport.read(subject, start=LATEST, stop=UpTo(position_of(newest[0]))) == newest
    assert await transport.read(subject, start=LATEST, stop=BeforeTime(before)) == []


async def test_reading_starts_where_it_is_told(transport: Transport, subject: str) -> None:
    """At the beginning, at a time, behind an id, behind a position."""
    ids = await publish_all(transport, subject, 3)
    moment = await next_millisecond()
    ids += await publish_all(transport, subject, 3, first=3)
    everything = await transport.read(subject)
    starts: list[tuple[Start, int]] = [
        (EARLIEST, 0),
        (FromTime(0), 0),
        (FromTime(moment), 3),
        (AfterId(ids[0]), 1),
        (AfterId(ids[5]), 6),
        (AfterPosition(position_of(everything[3])), 4),
        (AfterPosition(Position(0)), 0),
        (FromTime(moment + 3_600_000), 6),
    ]
    for start, skipped in starts:
        assert await transport.read(subject, start=start) == everything[skipped:], start


async def test_reading_stops_where_it_is_told(transport: Transport, subject: str) -> None:
    """Ahead of a time, behind a position; both ends may be given."""
    await publish_all(transport, subject, 3)
    moment = await next_millisecond()
    await publish_all(transport, subject, 3, first=3)
    everything = await transport.read(subject)
    for stop, count in (
        (BeforeTime(moment), 3),
        (BeforeTime(0), 0),
        (BeforeTime(moment + 3_600_000), 6),
        (UpTo(position_of(everything[4])), 5),
        (UpTo(Position(0)), 0),
    ):
        assert await transport.read(subject, stop=stop) == everything[:count], stop
    after = AfterPosition(position_of(everything[1]))
    assert await transport.read(subject, start=after, stop=BeforeTime(moment)) == everything[2:3]
    assert await transport.read(subject, start=FromTime(moment), stop=BeforeTime(moment)) == []


async def test_a_time_divides_history_without_remainder(transport: Transport, subject: str) -> None:
    """``BeforeTime(t)`` and ``FromTime(t)`` together are everything, for any millisecond."""
    begin = await next_millisecond()
    for number in range(60):
        await transport.publish(subject, b"%d" % number)
    everything = await transport.read(subject)
    for moment in range(begin - 1, begin + 40):
        earlier = await transport.read(subject, stop=BeforeTime(moment))
        later = await transport.read(subject, start=FromTime(moment))
        assert earlier + later == everything


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 60))
async def test_pages_of_any_size_make_up_the_whole(transport: Transport, subject: str, limit: int) -> None:
    """Going on behind the last position of a full page misses and repeats nothing."""
    if not await transport.read(subject, limit=1):
        await publish_all(transport, subject, 50)
    found: list[StoredMessage] = []
    while len(page := await transport.read(subject, start=_behind(found), limit=limit)) == limit:
        found += page
    found += page
    assert payloads(found) == [b"%d" % n for n in range(50)]


def _behind(found: list[StoredMessage]) -> Start:
    return AfterPosition(position_of(found[-1])) if found else EARLIEST


async def test_a_long_history_is_read_in_one_call_if_asked(transport: Transport, subject: str) -> None:
    """``limit`` alone bounds what comes back."""
    for _ in range(3):
        await asyncio.gather(*(transport.publish(subject, b"x" * 100) for _ in range(1000)))
    assert len(await transport.read(subject, limit=2999)) == 2999
    assert len(await transport.read(subject, limit=10_000)) == 3000
    assert len(await transport.read(subject)) == 1000


async def test_what_was_consumed_is_still_history(transport: Transport, subject: str) -> None:
    """Acknowledging removes nothing."""
    await publish_all(transport, subject, 3)
    async with transport.consume(subject, "g", BEGIN) as deliveries:
        for delivery in await take(aiter(deliveries), 3):
            await delivery.ack()
    assert len(await transport.read(subject)) == 3


async def test_what_one_client_stored_another_reads_at_once(
    open_transport: OpenTransport, transport: Transport, subject: str
) -> None:
    """Stored is stored, for everybody."""
    other = await open_transport()
    for number in range(20):
        message_id = await transport.publish(subject, b"%d" % number)
        (newest,) = await other.read(subject, start=LATEST)
        assert newest.envelope.id == message_id


async def test_a_subject_without_a_stream_cannot_be_read(transport: Transport, ns: str) -> None:
    """It has no history, and never will."""
    with pytest.raises(StreamNotFoundError):
        await transport.read(f"{ns}.nowhere")
    with pytest.raises(StreamNotFoundError):
        await transport.locate(f"{ns}.nowhere", new_ulid())


async def test_a_message_is_located_by_its_id(transport: Transport, subject: str) -> None:
    """At the position under which it is read."""
    ids = await publish_all(transport, subject, 30)
    found = await transport.read(subject)
    assert [await transport.locate(subject, message_id) for message_id in ids] == [m.position for m in found]


async def test_what_is_not_stored_on_the_subject_is_not_located(transport: Transport, subject: str, ns: str) -> None:
    """An unknown id, an id of the past, an id of another subject, and what is no id at all."""
    elsewhere = await transport.publish(f"{ns}.a.y", b"")
    await publish_all(transport, subject, 3)
    for message_id in (new_ulid(), encode_ulid(0, 1), encode_ulid(2**48 - 1, 1), elsewhere, "", "no id", "é" * 26):
        assert await transport.locate(subject, message_id) is None


async def test_a_message_is_located_although_its_id_was_made_some_time_ago(transport: Transport, subject: str) -> None:
    """The publish may have waited for an engine; another clock may go before or behind."""
    now = await next_millisecond()
    for offset in (-45_000, -10_000, 5_000, 25_000):
        message_id = encode_ulid(now + offset, 7)
        await transport.publish(subject, b"", id=message_id)
        assert await transport.locate(subject, message_id) is not None
