"""Groups: who gets what, from where on, and how much at a time."""

import asyncio
import time
from collections import Counter, defaultdict

import pytest
from tests.conformance.transport.conftest import OpenTransport
from tests.conformance.transport.helpers import BEGIN, publish_all, settled, working
from tests.waiting import eventually, first, next_millisecond, take

from gbe.errors import ConfigError, InvalidSubjectError, MessageNotFoundError, StreamNotFoundError
from gbe.ids import new_ulid
from gbe.transport.base import (
    EARLIEST,
    LATEST,
    AfterId,
    AfterPosition,
    ConsumeOptions,
    Delivery,
    FromTime,
    Transport,
)


async def test_competing_members_share_the_messages(
    open_transport: OpenTransport, transport: Transport, subject: str
) -> None:
    """While all are acked, every message goes to exactly one member, and no member goes without."""
    seen: dict[int, Counter[str]] = defaultdict(Counter)

    def handler_of(member: int) -> "object":
        async def handler(delivery: Delivery) -> None:
            seen[member][delivery.envelope.id] += 1
            await asyncio.sleep(0.001)

        return handler

    options = ConsumeOptions(start=EARLIEST, max_inflight=4, batch_size=2)
    others = [await open_transport() for _ in range(2)]
    async with (
        working(transport, subject, "g", handler_of(0), options),  # type: ignore[arg-type]
        working(others[0], subject, "g", handler_of(1), options),  # type: ignore[arg-type]
        working(others[1], subject, "g", handler_of(2), options),  # type: ignore[arg-type]
    ):
        ids = await asyncio.gather(*(transport.publish(subject, b"%d" % n) for n in range(300)))
        await settled(transport, subject, "g")
    total = sum(seen.values(), Counter())
    assert total == Counter(ids)
    assert all(len(seen[member]) > 10 for member in range(3))


async def test_a_stuck_member_keeps_little_from_the_others(
    open_transport: OpenTransport, transport: Transport, subject: str
) -> None:
    """What a member has fetched ahead is bounded by its ``batch_size``, however much it may have in flight."""
    options = ConsumeOptions(start=EARLIEST, max_inflight=100, batch_size=5)
    other = await open_transport()
    async with transport.consume(subject, "g", options) as stuck:
        await publish_all(transport, subject, 60)
        held = await first(aiter(stuck))
        seen: set[str] = set()

        async def handler(delivery: Delivery) -> None:
            seen.add(delivery.envelope.id)

        async with working(other, subject, "g", handler, options):
            await eventually(lambda: len(seen) >= 50, "the other member gets the rest", within=20)
        await held.ack()  # or closing would wait for it


async def test_groups_are_independent(transport: Transport, subject: str) -> None:
    """Each group gets every message, whatever the others did with it."""
    await publish_all(transport, subject, 3)
    async with transport.consume(subject, "refuses", BEGIN) as deliveries:
        for delivery in await take(aiter(deliveries), 3):
            await delivery.dead_letter("no")
    for group in ("one", "two"):
        async with transport.consume(subject, group, BEGIN) as deliveries:
            taken = await take(aiter(deliveries), 3)
            assert [(d.envelope.payload, d.attempt, d.group) for d in taken] == [
                (b"%d" % n, 1, group) for n in range(3)
            ]
            for delivery in taken:
                await delivery.ack()


async def test_a_group_keeps_each_pattern_apart(transport: Transport, subject: str, ns: str) -> None:
    """Group and pattern together name a subscription: one group name with two patterns is two of them."""
    await transport.publish(subject, b"x")
    for pattern in (subject, f"{ns}.a.*", f"{ns}.a.>"):
        async with transport.consume(pattern, "g", BEGIN) as deliveries:
            delivery = await first(aiter(deliveries))
            assert (delivery.envelope.payload, delivery.attempt) == (b"x", 1)
            await delivery.ack()


async def test_messages_of_a_subject_arrive_in_order(transport: Transport, subject: str, ns: str) -> None:
    """One publisher, one member: the order of publishing, subject by subject."""
    for number in range(60):
        await transport.publish(f"{ns}.a.{number % 3}", b"%d" % number)
    async with transport.consume(f"{ns}.a.*", "g", BEGIN) as deliveries:
        by_subject: dict[str, list[int]] = defaultdict(list)
        for delivery in await take(aiter(deliveries), 60):
            by_subject[delivery.envelope.subject].append(int(delivery.envelope.payload))
            await delivery.ack()
    assert dict(by_subject) == {f"{ns}.a.{rest}": list(range(rest, 60, 3)) for rest in range(3)}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{ns}.a.x", ["a.x"]),
        ("{ns}.a.*", ["a.x", "a.y"]),
        ("{ns}.a.>", ["a.x", "a.y", "a.x.deep", "a.x.deep.er"]),
        ("{ns}.a.*.deep", ["a.x.deep"]),
        ("{ns}.a.x.>", ["a.x.deep", "a.x.deep.er"]),
        ("{ns}.*.x", ["a.x", "b.x"]),
        ("{ns}.>", ["a.x", "a.y", "a.x.deep", "a.x.deep.er", "b.x"]),
    ],
    ids=str,
)
async def test_wildcards_cover_their_subjects_and_no_others(
    transport: Transport, ns: str, pattern: str, expected: list[str]
) -> None:
    """``*`` is one token, a final ``>`` one or more; the last two patterns span two streams."""
    subjects = ["a.x", "a.y", "a.x.deep", "a.x.deep.er", "b.x"]
    async with transport.consume(pattern.format(ns=ns), "g") as deliveries:
        for subject in subjects:
            await transport.publish(f"{ns}.{subject}", b"")
        taken = await take(aiter(deliveries), len(expected))
        assert {d.envelope.subject for d in taken} == {f"{ns}.{subject}" for subject in expected}
        for delivery in taken:
            await delivery.ack()
        await settled(transport, pattern.format(ns=ns), "g")


# -- where a group starts


async def test_a_new_group_starts_with_what_is_published_from_then_on(transport: Transport, subject: str) -> None:
    """``LATEST``, the default, passes over what is there."""
    await publish_all(transport, subject, 3)
    async with transport.consume(subject, "g", ConsumeOptions(start=LATEST)) as deliveries:
        await transport.publish(subject, b"new")
        delivery = await first(aiter(deliveries))
        assert delivery.envelope.payload == b"new"
        await delivery.ack()


async def test_a_new_group_may_start_at_a_time(transport: Transport, subject: str) -> None:
    """``FromTime`` begins with the first message stored at or after that moment."""
    await publish_all(transport, subject, 3)
    moment = await next_millisecond()
    await publish_all(transport, subject, 2, first=3)
    async with transport.consume(subject, "g", ConsumeOptions(start=FromTime(moment))) as deliveries:
        taken = await take(aiter(deliveries), 2)
        assert [d.envelope.payload for d in taken] == [b"3", b"4"]
        for delivery in taken:
            await delivery.ack()
        await settled(transport, subject, "g")


async def test_a_new_group_may_start_behind_a_message(transport: Transport, subject: str) -> None:
    """``AfterId`` and ``AfterPosition`` begin with the next one."""
    ids = await publish_all(transport, subject, 4)
    position = await transport.locate(subject, ids[1])
    assert position is not None
    for group, start in (("id", AfterId(ids[1])), ("position", AfterPosition(position))):
        async with transport.consume(subject, group, ConsumeOptions(start=start)) as deliveries:
            taken = await take(aiter(deliveries), 2)
            assert [d.envelope.payload for d in taken] == [b"2", b"3"]
            for delivery in taken:
                await delivery.ack()
            await settled(transport, subject, group)


async def test_a_new_group_over_two_streams_starts_behind_a_message(transport: Transport, ns: str) -> None:
    """Where the message is not, the time at which it was stored counts."""
    ids = [await transport.publish(f"{ns}.{'ab'[n % 2]}.x", b"%d" % n) for n in range(10)]
    await next_millisecond()
    middle = await transport.publish(f"{ns}.a.x", b"middle")
    await next_millisecond()
    for number in range(4):
        await transport.publish(f"{ns}.{'ab'[number % 2]}.x", b"%d" % (100 + number))
    async with transport.consume(f"{ns}.*.x", "g", ConsumeOptions(start=AfterId(middle))) as deliveries:
        taken = await take(aiter(deliveries), 4)
        assert sorted(int(d.envelope.payload) for d in taken) == [100, 101, 102, 103]
        for delivery in taken:
            await delivery.ack()
        await settled(transport, f"{ns}.*.x", "g")
    assert middle not in ids


async def test_the_start_counts_only_for_a_new_group(transport: Transport, subject: str) -> None:
    """A group remembers where it is while all its members are gone, whatever start the next member names."""
    async with transport.consume(subject, "g", BEGIN):
        pass
    await publish_all(transport, subject, 2)
    async with transport.consume(subject, "g", ConsumeOptions(start=LATEST)) as deliveries:
        taken = await take(aiter(deliveries), 2)
        assert [d.envelope.payload for d in taken] == [b"0", b"1"]
        for delivery in taken:
            await delivery.ack()


async def test_the_start_of_an_old_group_may_be_gone(transport: Transport, subject: str) -> None:
    """A service that always names the id it began behind can be restarted when that message is long trimmed."""
    ids = await publish_all(transport, subject, 2)
    for start in (AfterId(ids[0]), AfterId(ids[0]), AfterId(new_ulid())):
        async with transport.consume(subject, "g", ConsumeOptions(start=start)) as deliveries:
            assert (await transport.lag(subject, "g")).pending <= 1
    async with transport.consume(subject, "g") as deliveries:
        delivery = await first(aiter(deliveries))
        assert delivery.envelope.id == ids[1]
        await delivery.ack()


async def test_members_that_found_a_group_together_may_disagree_about_its_start(
    open_transport: OpenTransport, transport: Transport, subject: str
) -> None:
    """One of the starts counts; nobody is refused for having come second by a moment."""
    await publish_all(transport, subject, 2)
    others = [await open_transport() for _ in range(3)]
    starts = [EARLIEST, LATEST, FromTime(1), FromTime(2)]
    members = [
        member.consume(subject, "g", ConsumeOptions(start=start))
        for member, start in zip([transport, *others], starts, strict=True)
    ]
    await asyncio.gather(*(member.__aenter__() for member in members))
    await asyncio.gather(*(member.__aexit__(None, None, None) for member in members))


async def test_an_unknown_start_id_is_refused_on_entering(transport: Transport, subject: str, ns: str) -> None:
    """The error names the id, and no group is left behind: a later start counts."""
    await publish_all(transport, subject, 1)
    unknown = new_ulid()
    for pattern in (subject, f"{ns}.a.*", f"{ns}.>"):
        with pytest.raises(MessageNotFoundError, match=unknown):
            async with transport.consume(pattern, "g", ConsumeOptions(start=AfterId(unknown))):
                pass
    async with transport.consume(subject, "g", BEGIN) as deliveries:
        await (await first(aiter(deliveries))).ack()


async def test_a_pattern_that_no_stream_stores_is_refused_on_entering(transport: Transport, ns: str) -> None:
    """Nothing would ever come."""
    for pattern in (f"{ns}.nowhere.x", f"{ns}.nowhere.>"):
        with pytest.raises(StreamNotFoundError):
            async with transport.consume(pattern, "g"):
                pass


@pytest.mark.parametrize(
    "pattern", ["", "a..b", ".a", "a.", "a b", "a.>.b", "a.b*", "a\n", "a\r\nPUB x", "é", "a" * 256]
)
async def test_an_invalid_pattern_is_refused_at_once(transport: Transport, pattern: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidSubjectError):
        transport.consume(pattern, "g")
    with pytest.raises(InvalidSubjectError):
        transport.tail([pattern])


@pytest.mark.parametrize("group", ["", "a.b", "a b", "*", ">", "a\n", "é", "g" * 101])
async def test_an_invalid_group_is_refused_at_once(transport: Transport, subject: str, group: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError):
        transport.consume(subject, group)


# -- back-pressure


async def test_a_member_never_holds_more_than_its_places(transport: Transport, subject: str) -> None:
    """At ``max_inflight`` the flow stops; each end of a delivery lets one more in."""
    await publish_all(transport, subject, 30)
    options = ConsumeOptions(start=EARLIEST, max_inflight=3, batch_size=2, max_deliver=100)
    async with transport.consume(subject, "g", options) as deliveries:
        source = aiter(deliveries)
        held = await take(source, 3)
        assert (await transport.lag(subject, "g")).unacknowledged == 3  # nothing more was fetched behind our back
        more = asyncio.ensure_future(anext(source))
        for end in ("ack", "nak", "ack", "dead_letter"):
            assert not (await asyncio.wait([more], timeout=0.2))[0]
            delivery = held.pop(0)
            await (delivery.dead_letter("no") if end == "dead_letter" else getattr(delivery, end)())
            held.append(await asyncio.wait_for(more, 30))
            more = asyncio.ensure_future(anext(source))
        more.cancel()
        for delivery in held:
            await delivery.ack()


async def test_a_message_that_waits_for_its_delay_takes_no_place(transport: Transport, subject: str) -> None:
    """A refused delivery has ended: others come while it waits."""
    await publish_all(transport, subject, 3)
    async with transport.consume(subject, "g", ConsumeOptions(start=EARLIEST, max_inflight=1)) as deliveries:
        source = aiter(deliveries)
        await (await first(source)).nak(60.0)
        for expected in (b"1", b"2"):
            delivery = await first(source)
            assert delivery.envelope.payload == expected
            await delivery.ack()
    assert (await transport.lag(subject, "g")).unacknowledged == 1


async def test_a_forgotten_delivery_gives_its_place_back(transport: Transport, subject: str) -> None:
    """When the ack timeout is over, the flow goes on although nobody said a word."""
    await publish_all(transport, subject, 4)
    options = ConsumeOptions(start=EARLIEST, max_inflight=2, ack_timeout=0.5, max_deliver=1000)
    async with transport.consume(subject, "g", options) as deliveries:
        source = aiter(deliveries)
        await take(source, 2)
        seen: set[bytes] = set()
        while len(seen) < 4:
            delivery = await first(source)
            seen.add(delivery.envelope.payload)
            await delivery.ack()
        await settled(transport, subject, "g")


async def test_messages_that_wait_in_a_slow_member_are_not_delivered_twice(
    transport: Transport, subject: str, ns: str
) -> None:
    """A member that works for longer than the ack timeout, message by message, still gets each one once."""
    seen: Counter[bytes] = Counter()

    async def handler(delivery: Delivery) -> None:
        seen[delivery.envelope.payload] += 1
        await asyncio.sleep(1.0)

    await publish_all(transport, subject, 6)
    options = ConsumeOptions(start=EARLIEST, ack_timeout=4.0, max_deliver=2)
    async with working(transport, subject, "g", handler, options):
        await settled(transport, subject, "g")
    assert seen == Counter(b"%d" % n for n in range(6))
    assert await transport.read(f"{ns}._deadletter.a") == []


async def test_a_delivery_has_its_whole_ack_timeout_from_when_it_is_handed_over(
    transport: Transport, subject: str
) -> None:
    """Time that a message spent waiting inside the member is not the handler's."""
    await publish_all(transport, subject, 2)
    options = ConsumeOptions(start=EARLIEST, ack_timeout=4.0)
    async with transport.consume(subject, "g", options) as deliveries:
        source = aiter(deliveries)
        one = await first(source)
        started = time.monotonic()
        while time.monotonic() - started < 3.5:
            await one.in_progress()
            await asyncio.sleep(0.1)
        await one.ack()
        two = await first(source)
        more = asyncio.ensure_future(anext(source))
        await asyncio.wait([more], timeout=2.0)
        assert two.attempt == 1
        assert not more.done()
        await two.ack()
        await settled(transport, subject, "g")
        more.cancel()


async def test_options_that_cannot_work_are_refused(transport: Transport) -> None:
    """By name, before anything is sent."""
    for wrong in ({"batch_size": 0}, {"max_inflight": 0}, {"max_deliver": 0}, {"ack_timeout": 0.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            ConsumeOptions(**wrong)  # type: ignore[arg-type]


async def test_many_subjects_are_consumed_through_one_pattern(transport: Transport, ns: str) -> None:
    """A hundred subjects at once, all through one member."""
    handled: Counter[str] = Counter()

    async def handler(delivery: Delivery) -> None:
        handled[delivery.envelope.subject] += 1

    async with working(transport, f"{ns}.a.*", "g", handler, concurrency=20):
        await asyncio.gather(*(transport.publish(f"{ns}.a.s{n % 100}", b"") for n in range(500)))
        await eventually(lambda: handled.total() == 500, "500 handled messages")
        await settled(transport, f"{ns}.a.*", "g")
    assert handled == Counter({f"{ns}.a.s{n}": 5 for n in range(100)})
