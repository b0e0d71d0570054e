"""Streams: made and changed, what they keep, what is trimmed, and how far behind a group is."""

import asyncio
import time
from dataclasses import replace

import pytest
from tests.conformance.transport.conftest import OpenTransport
from tests.conformance.transport.helpers import BEGIN, payloads, publish_all, settled
from tests.waiting import eventually, first, next_millisecond, take

from gbe.errors import ConfigError, InvalidSubjectError, StreamConfigError, StreamNotFoundError
from gbe.transport.base import (
    EARLIEST,
    LATEST,
    AfterPosition,
    ConsumeOptions,
    FromTime,
    Lag,
    Membership,
    Position,
    StreamConfig,
    Transport,
)


@pytest.fixture
def config(ns: str) -> StreamConfig:
    """A stream that does not exist yet."""
    return StreamConfig(name=f"{ns}-c", subjects=(f"{ns}.c.>",))


async def test_ensuring_a_stream_again_changes_nothing(transport: Transport, config: StreamConfig, ns: str) -> None:
    """At every start of every process."""
    for _ in range(3):
        await transport.ensure_stream(config)
        await transport.publish(f"{ns}.c.x", b"")
    assert len(await transport.read(f"{ns}.c.x")) == 3


async def test_several_processes_ensure_the_same_streams_at_once(
    open_transport: OpenTransport, transport: Transport, config: StreamConfig, ns: str
) -> None:
    """They all succeed, also when one of them brings a change."""
    others = [await open_transport() for _ in range(3)]
    for wanted in (config, replace(config, max_msgs=100), replace(config, max_age=3600.0)):
        await asyncio.gather(*(client.ensure_stream(wanted) for client in (transport, *others)))
    await others[0].publish(f"{ns}.c.x", b"")
    assert len(await transport.read(f"{ns}.c.x")) == 1


async def test_a_stream_can_be_changed(transport: Transport, config: StreamConfig, ns: str) -> None:
    """Other limits, more subjects; what is stored stays."""
    await transport.ensure_stream(config)
    await publish_all(transport, f"{ns}.c.x", 5)
    changed = replace(config, subjects=(f"{ns}.c.>", f"{ns}.d"), max_age=600.0, max_bytes=10_000_000, dedup_window=30.0)
    await transport.ensure_stream(changed)
    await transport.publish(f"{ns}.d", b"d")
    assert len(await transport.read(f"{ns}.c.x")) == 5
    assert len(await transport.read(f"{ns}.d")) == 1
    await transport.ensure_stream(replace(changed, max_msgs=2))
    assert payloads(await transport.read(f"{ns}.c.x")) == [b"4"]


async def test_a_stream_cannot_move_to_other_storage(transport: Transport, config: StreamConfig, ns: str) -> None:
    """The error names the stream, and it goes on as it was."""
    await transport.ensure_stream(config)
    with pytest.raises(StreamConfigError, match=config.name):
        await transport.ensure_stream(replace(config, storage="memory"))
    await transport.publish(f"{ns}.c.x", b"")


@pytest.mark.parametrize("pattern", ["{ns}.a.x", "{ns}.*.x", "{ns}.>", "{ns}.a.>"])
async def test_two_streams_cannot_store_one_subject(
    transport: Transport, config: StreamConfig, ns: str, pattern: str
) -> None:
    """Overlapping patterns are refused, for a new stream and for a changed one."""
    overlapping = replace(config, subjects=(f"{ns}.c.x", pattern.format(ns=ns)))
    with pytest.raises(StreamConfigError, match=config.name):
        await transport.ensure_stream(overlapping)
    await transport.ensure_stream(config)
    with pytest.raises(StreamConfigError, match=config.name):
        await transport.ensure_stream(overlapping)


async def test_one_engine_keeps_one_copy(transport: Transport, config: StreamConfig) -> None:
    """Replicas need a cluster."""
    with pytest.raises(StreamConfigError, match="replicas"):
        await transport.ensure_stream(replace(config, replicas=3))


async def test_streams_in_memory_keep_messages_too(transport: Transport, config: StreamConfig, ns: str) -> None:
    """As long as the engine runs."""
    await transport.ensure_stream(replace(config, storage="memory"))
    await publish_all(transport, f"{ns}.c.x", 3)
    async with transport.consume(f"{ns}.c.x", "g", BEGIN) as deliveries:
        for delivery in await take(aiter(deliveries), 3):
            await delivery.ack()
    assert len(await transport.read(f"{ns}.c.x")) == 3


@pytest.mark.parametrize(
    ("wrong", "error", "word"),
    [
        ({"name": "a.b"}, ConfigError, "name"),
        ({"name": ""}, ConfigError, "name"),
        ({"subjects": ()}, ConfigError, "subjects"),
        ({"subjects": ("a..b",)}, InvalidSubjectError, "subject"),
        ({"max_age": 0.0}, ConfigError, "max_age"),
        ({"max_bytes": 0}, ConfigError, "max_bytes"),
        ({"max_msgs": -1}, ConfigError, "max_msgs"),
        ({"replicas": 6}, ConfigError, "replicas"),
        ({"dedup_window": 0.0}, ConfigError, "dedup_window"),
    ],
    ids=str,
)
def test_a_configuration_that_cannot_be_meant_is_refused(
    wrong: dict[str, object], error: type[Exception], word: str
) -> None:
    """By the name of its key, before any engine is asked."""
    with pytest.raises(error, match=word):
        StreamConfig(**{"name": "n", "subjects": ("a.>",), **wrong})  # type: ignore[arg-type]


# -- retention


async def test_max_msgs_keeps_the_newest(transport: Transport, config: StreamConfig, ns: str) -> None:
    """Of the whole stream, whatever their subjects; the oldest go first."""
    await transport.ensure_stream(replace(config, max_msgs=10))
    for number in range(25):
        await transport.publish(f"{ns}.c.{'xy'[number % 2]}", b"%d" % number)
    kept = payloads(await transport.read(f"{ns}.c.x")) + payloads(await transport.read(f"{ns}.c.y"))
    assert sorted(int(payload) for payload in kept) == list(range(15, 25))


async def test_max_bytes_keeps_the_newest(transport: Transport, config: StreamConfig, ns: str) -> None:
    """About as much as was allowed, never more."""
    await transport.ensure_stream(replace(config, max_bytes=100_000))
    for number in range(30):
        await transport.publish(f"{ns}.c.x", b"%d" % number + bytes(9_000))
    kept = await transport.read(f"{ns}.c.x")
    assert 8 <= len(kept) <= 11
    assert [m.envelope.payload.rstrip(b"\0") for m in kept] == [b"%d" % n for n in range(30 - len(kept), 30)]


async def test_max_age_forgets_what_is_older(transport: Transport, config: StreamConfig, ns: str) -> None:
    """Not at once, and then for good: for readers, tails and by id."""
    await transport.ensure_stream(replace(config, max_age=1.5))
    subject = f"{ns}.c.x"
    message_id = await transport.publish(subject, b"old")
    position = await transport.locate(subject, message_id)
    assert position is not None

    async def is_gone() -> bool:
        return await transport.read(subject) == []

    await eventually(is_gone, "the message's end")
    assert await transport.locate(subject, message_id) is None
    await transport.publish(subject, b"new")
    for start in (EARLIEST, AfterPosition(position)):
        async with transport.tail([subject], start) as tail:
            assert (await first(aiter(tail))).envelope.payload == b"new"
    assert payloads(await transport.read(subject, start=AfterPosition(position))) == [b"new"]


async def test_a_delayed_message_outlives_max_age_until_it_is_due_and_then_ages(
    transport: Transport, config: StreamConfig, ns: str
) -> None:
    """What waits for its time is not old; from then on it is kept as long as any other."""
    await transport.ensure_stream(replace(config, max_age=1.0))
    subject = f"{ns}.c.x"
    async with transport.tail([subject]) as tail:
        now = await next_millisecond()
        await transport.publish(subject, b"later", deliver_at=now + 2500)
        assert (await first(aiter(tail))).envelope.payload == b"later"

    async def is_gone() -> bool:
        return await transport.read(subject) == []

    await eventually(is_gone, "the delivered message's end")


async def test_a_tail_gets_over_what_retention_took_from_it(
    transport: Transport, config: StreamConfig, ns: str
) -> None:
    """A reader that was too slow for the stream's limits goes on with what is left, in order."""
    await transport.ensure_stream(replace(config, max_msgs=50))
    subject = f"{ns}.c.x"
    for pattern in (subject, f"{ns}.c.*"):
        async with transport.tail([pattern], EARLIEST) as tail:
            await publish_all(transport, subject, 20)
            await take(aiter(tail), 10)
            await asyncio.gather(*(transport.publish(subject, b"%d" % n) for n in range(6000)))
            await transport.publish(subject, b"end")
            seen = [(await first(aiter(tail)))]
            while seen[-1].envelope.payload != b"end":
                seen.append(await first(aiter(tail)))
            positions = [m.position for m in seen if m.position is not None]
            assert positions == sorted(set(positions))


# -- trim


async def test_trimming_removes_what_is_older(transport: Transport, subject: str, ns: str) -> None:
    """Of one subject, and says how much."""
    await publish_all(transport, subject, 3)
    await publish_all(transport, f"{ns}.a.y", 3)
    moment = await next_millisecond()
    await publish_all(transport, subject, 2, first=3)
    assert await transport.trim(subject, moment) == 3
    assert payloads(await transport.read(subject)) == [b"3", b"4"]
    assert len(await transport.read(f"{ns}.a.y")) == 3
    assert await transport.trim(subject, moment) == 0
    assert await transport.trim(subject, 0) == 0
    assert await transport.trim(subject, moment + 3_600_000) == 2
    assert await transport.trim(subject, moment + 3_600_000) == 0


async def test_trimming_spares_what_a_group_has_not_acknowledged(transport: Transport, subject: str, ns: str) -> None:
    """The first message that some group has not settled stays, and everything behind it."""
    await publish_all(transport, subject, 6)
    moment = await next_millisecond()
    async with transport.consume(subject, "fast", BEGIN) as fast:
        for delivery in await take(aiter(fast), 6):
            await delivery.ack()
        await settled(transport, subject, "fast")
    async with transport.consume(f"{ns}.a.*", "slow", BEGIN) as slow:
        held = await take(aiter(slow), 6)
        for number in (0, 1, 3, 4):  # 2 and 5 are still in hand
            await held[number].ack()

        async def removed() -> bool:
            return await transport.trim(subject, moment) == 2

        await eventually(removed, "two messages to be trimmed")
        assert payloads(await transport.read(subject)) == [b"2", b"3", b"4", b"5"]
        await held[2].ack()
        await held[5].ack()
        await settled(transport, f"{ns}.a.*", "slow")
    assert await transport.trim(subject, moment) == 4


async def test_trimming_spares_what_a_group_was_not_handed_yet(transport: Transport, subject: str) -> None:
    """A group whose members are away keeps its messages."""
    async with transport.consume(subject, "away", BEGIN):
        pass
    await publish_all(transport, subject, 3)
    moment = await next_millisecond()
    assert await transport.trim(subject, moment) == 0
    async with transport.consume(subject, "away") as deliveries:
        for delivery in await take(aiter(deliveries), 3):
            await delivery.ack()
        await settled(transport, subject, "away")
    assert await transport.trim(subject, moment) == 3


async def test_trimming_spares_what_waits_for_redelivery(transport: Transport, subject: str) -> None:
    """Refused, dead-lettered and acked ones: only the refused one holds the rest."""
    await publish_all(transport, subject, 4)
    moment = await next_millisecond()
    async with transport.consume(subject, "g", BEGIN) as deliveries:
        held = await take(aiter(deliveries), 4)
        await held[0].dead_letter("bad")
        await held[1].nak(2.0)
        await held[2].ack()
        await held[3].ack()

        async def removed() -> bool:
            return await transport.trim(subject, moment) == 1

        await eventually(removed, "one message to be trimmed")
        again = await first(aiter(deliveries))
        assert (again.envelope.payload, again.attempt) == (b"1", 2)
        await again.ack()
        await settled(transport, subject, "g")
    assert await transport.trim(subject, moment) == 3


async def test_trimming_a_subject_without_a_stream_is_an_error(transport: Transport, ns: str) -> None:
    """As for every operation on it."""
    with pytest.raises(StreamNotFoundError):
        await transport.trim(f"{ns}.nowhere", 1)


# -- lag


async def test_a_group_that_never_existed_has_no_lag(transport: Transport, subject: str, ns: str) -> None:
    """Zeros rather than an error, whatever is stored."""
    await publish_all(transport, subject, 3)
    assert await transport.lag(subject, "nobody") == Lag(0, 0, None)
    assert await transport.lag(f"{ns}.nowhere", "nobody") == Lag(0, 0, None)


async def test_lag_counts_what_is_left(transport: Transport, subject: str, ns: str) -> None:
    """Pending until handed out, unacknowledged until settled; naks that wait count."""
    options = ConsumeOptions(start=EARLIEST, max_inflight=4)
    async with transport.consume(f"{ns}.a.*", "g", options):
        pass
    assert await transport.lag(f"{ns}.a.*", "g") == Lag(0, 0, None)
    await publish_all(transport, subject, 10)

    async def counts() -> tuple[int, int]:
        lag = await transport.lag(f"{ns}.a.*", "g")
        assert (lag.oldest_age is None) == (lag.pending == lag.unacknowledged == 0)
        return lag.pending, lag.unacknowledged

    assert await counts() == (10, 0)
    async with transport.consume(f"{ns}.a.*", "g", options) as deliveries:
        source = aiter(deliveries)
        held = await take(source, 4)
        assert await counts() == (6, 4)
        await held[1].nak(60.0)

        async def is_five() -> bool:
            return sum(await counts()) == 10

        assert await is_five()
        held.append(await first(source))
        assert await counts() == (5, 5)
        for number in (0, 2, 3, 4):
            await held[number].ack()
        for delivery in await take(source, 3):
            await delivery.ack()
        for delivery in await take(source, 2):
            await delivery.ack()

        async def only_the_refused() -> bool:
            return await counts() == (0, 1)

        await eventually(only_the_refused, "one refused message left")


async def test_the_oldest_age_is_that_of_the_first_unsettled_message(transport: Transport, subject: str) -> None:
    """It falls when that one is settled, although newer ones were settled before it."""
    await transport.publish(subject, b"old")
    middle = await next_millisecond()

    async def is_old() -> bool:
        return await next_millisecond() - middle > 1000

    async with transport.consume(subject, "g", BEGIN) as deliveries:
        old = await first(aiter(deliveries))
        await eventually(is_old, "a second")
        await publish_all(transport, subject, 3)
        young = await take(aiter(deliveries), 3)
        await young[0].ack()
        await young[2].ack()
        age = (await transport.lag(subject, "g")).oldest_age
        assert age is not None
        assert 1.0 <= age < 30.0
        await old.ack()

        async def is_young() -> bool:
            lag = await transport.lag(subject, "g")
            return lag.unacknowledged == 1 and lag.oldest_age is not None and lag.oldest_age < age

        await eventually(is_young, "the age of the younger message")
        await young[1].ack()
        await settled(transport, subject, "g")


async def test_lag_adds_up_over_two_streams(transport: Transport, ns: str) -> None:
    """A pattern that spans streams is one subscription."""
    async with transport.consume(f"{ns}.*.x", "g", BEGIN):
        pass
    for number in range(6):
        await transport.publish(f"{ns}.{'ab'[number % 2]}.x", b"")
    assert (await transport.lag(f"{ns}.*.x", "g")).pending == 6


async def test_a_late_group_lags_by_what_its_start_left(transport: Transport, subject: str) -> None:
    """What lies ahead of the start is none of its business."""
    await publish_all(transport, subject, 3)
    moment = await next_millisecond()
    await publish_all(transport, subject, 2)
    for group, start, count in (("all", EARLIEST, 5), ("time", FromTime(moment), 2), ("new", LATEST, 0)):
        async with transport.consume(subject, group, ConsumeOptions(start=start)):
            pass

        async def is_right(group: str = group, count: int = count) -> bool:
            lag = await transport.lag(subject, group)
            return lag.pending + lag.unacknowledged == count

        await eventually(is_right, f"{count} for {group}")


async def test_what_is_published_while_trimming_stays(transport: Transport, subject: str) -> None:
    """Only what is older than the moment goes, however the two race."""
    for _ in range(15):
        await transport.publish(subject, b"old")
        await next_millisecond()
        moment = int(time.time() * 1000)
        await next_millisecond()
        _, fresh = await asyncio.gather(transport.trim(subject, moment), transport.publish(subject, b"new"))
        assert fresh in [message.envelope.id for message in await transport.read(subject)]


# -- what there is


async def test_streams_are_listed_as_they_were_configured(transport: Transport, ns: str) -> None:
    """With subjects and limits, whoever made them."""
    config = StreamConfig(
        name=f"{ns}-kept", subjects=(f"{ns}.kept.*", f"{ns}.more.>"), max_age=3600.0, max_bytes=10_000_000, max_msgs=9
    )
    await transport.ensure_stream(config)
    ours = {found.name: found for found in await transport.streams() if found.name.startswith(f"{ns}-")}
    assert set(ours) == {f"{ns}-a", f"{ns}-b", f"{ns}-dead", f"{ns}-kept"}
    assert ours[f"{ns}-kept"] == config
    assert ours[f"{ns}-a"].max_age is None


async def test_the_figures_of_a_stream_add_up_over_its_subjects(transport: Transport, subject: str, ns: str) -> None:
    """Messages, bytes, and when the oldest was stored."""
    assert (await transport.stream_figures(f"{ns}-a")).oldest is None
    begin = await next_millisecond()
    await publish_all(transport, subject, 3)
    end = await next_millisecond()
    for _ in range(2):
        await transport.publish(f"{ns}.a.y", bytes(1000))
    figures = await transport.stream_figures(f"{ns}-a")
    assert figures.messages == 5
    assert 2000 < figures.bytes < 100_000
    assert figures.oldest is not None
    assert begin - 1000 <= figures.oldest <= end + 1000
    assert (await transport.stream_figures(f"{ns}-b")).messages == 0


async def test_subjects_are_those_with_messages(transport: Transport, ns: str) -> None:
    """Of a pattern, over all streams."""
    for name in ("a.x", "a.y", "a.y.z", "b.x"):
        await transport.publish(f"{ns}.{name}", b"")
    assert set(await transport.subjects(f"{ns}.a.>")) == {f"{ns}.a.x", f"{ns}.a.y", f"{ns}.a.y.z"}
    assert set(await transport.subjects(f"{ns}.*.x")) == {f"{ns}.a.x", f"{ns}.b.x"}
    assert await transport.subjects(f"{ns}.nowhere.>") == []


async def test_subscriptions_are_known_without_a_member(transport: Transport, subject: str, ns: str) -> None:
    """A group and its pattern, for each stream that it touches."""
    for pattern, group in ((subject, "one"), (f"{ns}.*.x", "two")):
        async with transport.consume(pattern, group, BEGIN):
            pass
    found = await transport.memberships(f"{ns}-a")
    assert sorted(found, key=str) == sorted([Membership(subject, "one"), Membership(f"{ns}.*.x", "two")], key=str)
    assert await transport.memberships(f"{ns}-b") == [Membership(f"{ns}.*.x", "two")]


async def test_a_stream_that_is_not_there_has_nothing_to_tell(transport: Transport, ns: str) -> None:
    """Nor has a name that cannot be one."""
    for name in (f"{ns}-nowhere", "a.b", ">"):
        with pytest.raises(StreamNotFoundError):
            await transport.stream_figures(name)
        with pytest.raises(StreamNotFoundError):
            await transport.memberships(name)


async def test_trimming_goes_through_a_place_and_no_further(transport: Transport, subject: str) -> None:
    """What lies behind it stays, however old it is."""
    ids = await publish_all(transport, subject, 6)
    moment = await next_millisecond()
    third = await transport.locate(subject, ids[2])
    assert third is not None
    assert await transport.trim(subject, moment, through=Position(0)) == 0
    assert await transport.trim(subject, moment, through=third) == 3
    assert await transport.trim(subject, moment, through=third) == 0
    assert payloads(await transport.read(subject)) == [b"3", b"4", b"5"]
    assert await transport.trim(subject, moment) == 3


async def test_trimming_many_messages_takes_several_steps_and_leaves_the_rest(
    transport: Transport, subject: str
) -> None:
    """More than one step of any engine, among messages that are published meanwhile."""
    await asyncio.gather(*(transport.publish(subject, b"old") for _ in range(12_000)))
    moment = await next_millisecond()
    fresh = asyncio.create_task(publish_all(transport, subject, 20))
    assert await transport.trim(subject, moment) == 12_000
    await fresh
    assert payloads(await transport.read(subject)) == [b"%d" % number for number in range(20)]
