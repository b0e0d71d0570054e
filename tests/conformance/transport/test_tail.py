"""Tails: everything, replayed and live, without gap and without duplicate."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

import pytest
from tests.conformance.transport.conftest import OpenTransport
from tests.conformance.transport.helpers import payloads, publish_all
from tests.waiting import eventually, first, next_millisecond, take

from gbe.errors import MessageNotFoundError, StreamNotFoundError
from gbe.ids import new_ulid
from gbe.transport.base import (
    EARLIEST,
    LATEST,
    AfterId,
    AfterPosition,
    FromTime,
    Position,
    Start,
    StoredMessage,
    Tail,
    Transport,
)

BOTH = ["{ns}.a.x", "{ns}.a.*"]


async def test_every_tail_sees_every_message(transport: Transport, subject: str, ns: str) -> None:
    """Fan-out: as many tails as there are, each sees all, in order."""
    async with (
        transport.tail([subject]) as one,
        transport.tail([subject]) as two,
        transport.tail([f"{ns}.a.*"]) as three,
    ):
        await publish_all(transport, subject, 50)
        for tail in (one, two, three):
            assert payloads(await take(aiter(tail), 50)) == [b"%d" % n for n in range(50)]


@pytest.mark.parametrize("pattern", BOTH)
async def test_a_tail_without_a_start_is_live_only(transport: Transport, subject: str, ns: str, pattern: str) -> None:
    """``LATEST``: what is stored when the tail begins is not shown."""
    await publish_all(transport, subject, 3)
    async with transport.tail([pattern.format(ns=ns)], LATEST) as tail:
        await transport.publish(subject, b"new")
        assert (await first(aiter(tail))).envelope.payload == b"new"


@pytest.mark.parametrize("pattern", BOTH)
@pytest.mark.parametrize("kind", ["earliest", "time", "id", "position"])
async def test_a_tail_replays_from_its_start_and_goes_on_live(
    transport: Transport, subject: str, ns: str, pattern: str, kind: str
) -> None:
    """Every kind of start, literal and wildcard: the stored part, then the live part."""
    ids = await publish_all(transport, subject, 3)
    moment = await next_millisecond()
    ids += await publish_all(transport, subject, 2, first=3)
    position = await transport.locate(subject, ids[2])
    assert position is not None
    start: Start = {
        "earliest": EARLIEST,
        "time": FromTime(moment),
        "id": AfterId(ids[2]),
        "position": AfterPosition(position),
    }[kind]
    skipped = 0 if kind == "earliest" else 3
    async with transport.tail([pattern.format(ns=ns)], start) as tail:
        ids += await publish_all(transport, subject, 3, first=5)
        seen = await take(aiter(tail), 8 - skipped)
    assert [m.envelope.id for m in seen] == ids[skipped:]
    assert payloads(seen) == [b"%d" % n for n in range(skipped, 8)]


@pytest.mark.parametrize("pattern", BOTH)
async def test_a_tail_from_a_time_behind_everything_shows_only_what_comes(
    transport: Transport, subject: str, ns: str, pattern: str
) -> None:
    """Nothing is stored since that moment: the older messages stay out of sight."""
    await publish_all(transport, subject, 3)
    moment = await next_millisecond()
    async with transport.tail([pattern.format(ns=ns)], FromTime(moment)) as tail:
        await transport.publish(subject, b"new")
        assert (await first(aiter(tail))).envelope.payload == b"new"


@pytest.mark.parametrize("pattern", BOTH)
async def test_a_tail_goes_on_behind_the_last_position(
    transport: Transport, subject: str, ns: str, pattern: str
) -> None:
    """Stopping and starting again at the position of the last message seen, whatever was stored meanwhile."""
    await publish_all(transport, subject, 4)
    async with transport.tail([pattern.format(ns=ns)], EARLIEST) as tail:
        last = (await take(aiter(tail), 2))[-1].position
    assert last is not None
    await publish_all(transport, subject, 2, first=4)
    kept = Position.parse(str(last))
    async with transport.tail([pattern.format(ns=ns)], AfterPosition(kept)) as tail:
        assert payloads(await take(aiter(tail), 4)) == [b"2", b"3", b"4", b"5"]


@pytest.mark.parametrize("pattern", BOTH)
async def test_a_tail_is_read_in_several_loops(transport: Transport, subject: str, ns: str, pattern: str) -> None:
    """Leaving a loop and coming back, or giving up waiting for the next message, loses and repeats nothing."""
    await publish_all(transport, subject, 10)
    async with transport.tail([pattern.format(ns=ns)], EARLIEST) as tail:
        seen: list[StoredMessage] = []
        for _ in range(5):
            async for message in tail:
                seen.append(message)
                if len(seen) % 2 == 0:
                    break
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(aiter(tail)), 0.05)
        await publish_all(transport, subject, 2, first=10)
        seen += await take(aiter(tail), 2)
    assert payloads(seen) == [b"%d" % n for n in range(12)]


@pytest.mark.parametrize("pattern", BOTH)
async def test_waiting_that_is_given_up_at_any_moment_loses_nothing(
    transport: Transport, subject: str, ns: str, pattern: str
) -> None:
    """A reader that waits only briefly for each message (to send a sign of life between) still sees all of them."""
    await publish_all(transport, subject, 300)
    async with transport.tail([pattern.format(ns=ns)], EARLIEST) as tail:
        publisher = asyncio.create_task(publish_all(transport, subject, 100, first=300))
        seen: list[StoredMessage] = []
        pauses = itertools.cycle([0.0001, 0.001, 0.003, 0.05])
        while len(seen) < 400:
            try:
                async with asyncio.timeout(next(pauses)):
                    seen.append(await anext(aiter(tail)))
            except TimeoutError:
                pass
        await publisher
    assert payloads(seen) == [b"%d" % n for n in range(400)]


# -- which subjects


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["a.x", "a.y"], ["a.x", "a.y"]),
        (["a.x", "a.x"], ["a.x"]),
        (["a.*", "a.x"], ["a.x", "a.y"]),
        (["a.x", "a.*"], ["a.x", "a.y"]),
        (["a.>", "a.x.>", "a.*.deep"], ["a.x", "a.y", "a.x.deep"]),
        (["a.x.*", "a.*.deep", "a.>"], ["a.x", "a.y", "a.x.deep"]),
        (["a.x", "b.x"], ["a.x", "b.x"]),
        (["*.x"], ["a.x", "b.x"]),
        (["*.x", "a.*", "b.x"], ["a.x", "a.y", "b.x"]),
        ([">"], ["a.x", "a.y", "a.x.deep", "b.x"]),
        (["*.*.deep"], ["a.x.deep"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("replayed", [True, False], ids=["replayed", "live"])
async def test_each_message_is_shown_once_whatever_covers_it(
    transport: Transport, ns: str, patterns: list[str], expected: list[str], replayed: bool
) -> None:
    """Several patterns, overlapping or not, within one stream or over two."""
    subjects = ["a.x", "a.y", "a.x.deep", "b.x"]
    wanted = [f"{ns}.{pattern}" for pattern in patterns]

    async def publish() -> None:
        for number in range(12):
            await transport.publish(f"{ns}.{subjects[number % 4]}", b"%d" % number)
            await transport.publish(f"{ns}.{subjects[number % 4]}", b"volatile", durable=False)

    if replayed:
        await publish()
    async with transport.tail(wanted, EARLIEST if replayed else LATEST) as tail:
        if not replayed:
            await publish()
        for subject in sorted(expected):
            await transport.publish(f"{ns}.{subject}", b"end")
        seen: dict[str, list[bytes]] = defaultdict(list)
        while sum(found[-1:] == [b"end"] for found in seen.values()) < len(expected):
            message = await first(aiter(tail))
            if message.position is not None:
                seen[message.envelope.subject].append(message.envelope.payload)
    assert dict(seen) == {
        f"{ns}.{subject}": [*(b"%d" % n for n in range(subjects.index(subject), 12, 4)), b"end"] for subject in expected
    }


async def test_a_volatile_message_is_shown_once_whatever_covers_it(transport: Transport, ns: str) -> None:
    """Overlapping patterns do not double what is live only."""
    async with transport.tail([f"{ns}.a.*", f"{ns}.a.x", f"{ns}.>"]) as tail:
        for number in range(5):
            await transport.publish(f"{ns}.a.x", b"%d" % number, durable=False)
        await transport.publish(f"{ns}.a.x", b"end")
        seen: list[bytes] = []
        while b"end" not in seen or len(seen) < 6:
            seen.append((await first(aiter(tail))).envelope.payload)
        await transport.publish(f"{ns}.a.x", b"really", durable=True)
        assert (await first(aiter(tail))).envelope.payload == b"really"
    assert sorted(seen) == [b"0", b"1", b"2", b"3", b"4", b"end"]


async def test_a_start_id_is_found_under_any_of_the_patterns(transport: Transport, ns: str) -> None:
    """In its own stream the tail begins behind it, in others with what was stored from then on."""
    for number in range(6):
        await transport.publish(f"{ns}.{'ab'[number % 2]}.x", b"old")
    await next_millisecond()
    middle = await transport.publish(f"{ns}.b.x", b"middle")
    await next_millisecond()
    for number in range(4):
        await transport.publish(f"{ns}.{'ab'[number % 2]}.x", b"%d" % number)
    for patterns in ([f"{ns}.a.x", f"{ns}.b.x"], [f"{ns}.*.x"], [f"{ns}.a.*", f"{ns}.b.x"]):
        async with transport.tail(patterns, AfterId(middle)) as tail:
            assert sorted(payloads(await take(aiter(tail), 4))) == [b"0", b"1", b"2", b"3"]
            await transport.publish(f"{ns}.b.y", b"")


@pytest.mark.parametrize("patterns", [["{ns}.a.x"], ["{ns}.a.*"], ["{ns}.a.x", "{ns}.b.x"], ["{ns}.>"]], ids=str)
async def test_an_unknown_start_id_is_refused_on_entering(transport: Transport, ns: str, patterns: list[str]) -> None:
    """Rather than replaying too much or too little."""
    await publish_all(transport, f"{ns}.a.x", 2)
    unknown = new_ulid()
    with pytest.raises(MessageNotFoundError, match=unknown):
        async with transport.tail([pattern.format(ns=ns) for pattern in patterns], AfterId(unknown)):
            pass


@pytest.mark.parametrize("pattern", ["{ns}.nowhere", "{ns}.nowhere.*"])
@pytest.mark.parametrize("start", [LATEST, EARLIEST], ids=str)
async def test_a_pattern_that_no_stream_stores_is_refused_on_entering(
    transport: Transport, ns: str, pattern: str, start: Start
) -> None:
    """Nothing would ever come."""
    with pytest.raises(StreamNotFoundError):
        async with transport.tail([pattern.format(ns=ns)], start):
            pass


# -- the seam, and slow readers


class Witness:
    """Reads a tail in the background and knows what it saw."""

    def __init__(self, tail: Tail, pause: float = 0.0, every: int = 1) -> None:
        self.seen: list[StoredMessage] = []
        self._task = asyncio.create_task(self._read(aiter(tail), pause, every))

    async def _read(self, source: AsyncIterator[StoredMessage], pause: float, every: int) -> None:
        async for message in source:
            self.seen.append(message)
            if pause and len(self.seen) % every == 0:
                await asyncio.sleep(pause)

    async def saw(self, subjects: Sequence[str], stored: Sequence[StoredMessage]) -> None:
        """Everything stored on these subjects, in order, and nothing twice."""
        await eventually(lambda: len(self.seen) >= len(stored), f"{len(stored)} messages", within=60)
        assert len({m.position for m in self.seen}) == len(self.seen) == len(stored)
        for subject in subjects:
            assert [m for m in self.seen if m.envelope.subject == subject] == [
                m for m in stored if m.envelope.subject == subject
            ]

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def all_of(transport: Transport, subjects: Sequence[str]) -> list[StoredMessage]:
    """The whole history of some subjects, page by page."""
    found: list[StoredMessage] = []
    for subject in subjects:
        page = await transport.read(subject)
        while page:
            found += page
            position = page[-1].position
            assert position is not None
            page = await transport.read(subject, start=AfterPosition(position))
    return found


async def test_replay_and_live_meet_without_gap_or_duplicate(
    open_transport: OpenTransport, transport: Transport, ns: str
) -> None:
    """Ten thousand messages by concurrent publishers, while tails of all kinds start at different moments."""
    total, publishers = 10_000, 50
    subjects = [f"{ns}.a.{name}" for name in "xyz"]
    numbers = iter(range(total))
    other = await open_transport()
    published = 0

    async def publisher(client: Transport) -> None:
        nonlocal published
        for number in numbers:
            await client.publish(subjects[number % 3], b"%d" % number)
            published += 1

    publishing = [asyncio.create_task(publisher((transport, other)[n % 2])) for n in range(publishers)]
    witnesses: list[tuple[Witness, list[str]]] = []
    tails: list[Tail] = []
    for moment in (500, 3000, 6000):
        await eventually(lambda moment=moment: published >= moment, f"{moment} messages", within=60)
        for patterns, covered in (([subjects[0]], subjects[:1]), ([f"{ns}.a.*"], subjects), (subjects, subjects)):
            tail = other.tail(patterns, EARLIEST)
            tails.append(await tail.__aenter__())
            witnesses.append((Witness(tail), covered))
    await asyncio.gather(*publishing)
    stored = await all_of(transport, subjects)
    assert sorted(int(m.envelope.payload) for m in stored) == list(range(total))
    for witness, covered in witnesses:
        await witness.saw(covered, [m for m in stored if m.envelope.subject in covered])
        await witness.stop()
    for tail in tails:
        await tail.__aexit__(None, None, None)


@pytest.mark.parametrize("pattern", BOTH)
async def test_live_tails_that_start_under_load_have_no_gap(
    open_transport: OpenTransport, transport: Transport, subject: str, ns: str, pattern: str
) -> None:
    """A tail without replay begins somewhere, and from there on has everything."""
    running = True

    async def publisher() -> None:
        while running:
            await transport.publish(subject, b"")

    publishing = [asyncio.create_task(publisher()) for _ in range(10)]
    other = await open_transport()
    tails: list[tuple[Tail, Witness]] = []
    for _ in range(5):
        tail = await other.tail([pattern.format(ns=ns)]).__aenter__()
        tails.append((tail, Witness(tail)))
        await eventually(lambda: len(tails[-1][1].seen) >= 100, "100 live messages")
    running = False
    await asyncio.gather(*publishing)
    stored = await all_of(transport, [subject])
    for tail, witness in tails:
        begin = witness.seen[0].position
        assert begin is not None
        await witness.saw([subject], [m for m in stored if m.position is not None and m.position >= begin])
        await witness.stop()
        await tail.__aexit__(None, None, None)


@pytest.mark.parametrize("pattern", BOTH)
async def test_a_slow_reader_catches_up_from_the_stream(
    transport: Transport, subject: str, ns: str, pattern: str
) -> None:
    """A reader that overruns every buffer on the way still sees all of it, in order."""
    total = 12_000
    async with transport.tail([pattern.format(ns=ns)]) as tail:
        source = aiter(tail)
        await transport.publish(subject, b"begin")
        assert (await first(source)).envelope.payload == b"begin"
        for begin in range(0, total, 1000):
            await asyncio.gather(*(transport.publish(subject, b"%d" % n) for n in range(begin, begin + 1000)))
        witness = Witness(tail, pause=0.001, every=500)
        stored = (await all_of(transport, [subject]))[1:]
        assert len(stored) == total
        await witness.saw([subject], stored)
        await witness.stop()


async def test_a_slow_reader_holds_up_nobody_else(transport: Transport, subject: str, ns: str) -> None:
    """Tails of one client do not wait for each other."""
    async with transport.tail([subject]), transport.tail([f"{ns}.a.*"]), transport.tail([subject]) as quick:
        for begin in range(0, 6000, 1000):
            await asyncio.gather(*(transport.publish(subject, b"") for _ in range(begin, begin + 1000)))
            await take(aiter(quick), 1000)
