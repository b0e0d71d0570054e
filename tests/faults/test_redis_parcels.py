"""Parcels, and reading ahead, while things go wrong: connections, streams, slots and members."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from tests.faults.redis_faults import OPTIONS, Clients, new_root
from tests.proxy import TcpProxy
from tests.redis_engines import RedisCluster, RedisProcess
from tests.total_queue import history
from tests.waiting import PATIENCE, eventually

from gbe.errors import DeliverySettledError
from gbe.transport.base import ConsumeOptions, Parcel, Position, Transport
from gbe.transport.redis import keys
from gbe.transport.redis.consumer import RedisConsumption
from gbe.transport.redis.transport import RedisTransport

pytestmark = pytest.mark.fault

TOLD = replace(OPTIONS, tells_gaps=True, batch_size=20, max_inflight=100)
PATIENT = replace(TOLD, ack_timeout=60.0)


@dataclass
class Reader:
    """A member of group ``g`` that takes parcels and acknowledges them, and keeps books about each.

    Attributes:
        handed: the parcels as they came: subject, positions, since.
        most: how many messages it held at once.
    """

    transport: Transport
    pattern: str
    options: ConsumeOptions
    handed: list[tuple[str, list[Position], Position]] = field(default_factory=list)
    most: int = 0

    async def run(self) -> None:
        """Until cancelled; of what it holds, it answers a part at a time."""
        async with self.transport.consume(self.pattern, "g", self.options) as deliveries:
            async for parcels in deliveries.parcels():
                self.most = max(self.most, sum(len(parcel) for parcel in parcels))
                for parcel in parcels:
                    self.handed.append((parcel.subject, parcel.positions, parcel.since))
                    for part in parcel.split(parcel.positions[len(parcel) // 2]):
                        if part is not None:
                            await part.ack()
                            await asyncio.sleep(0)

    def positions(self, subject: str) -> list[Position]:
        """All that came of a subject, in the order in which they came."""
        return [position for one, positions, _ in self.handed if one == subject for position in positions]

    def check(self, subject: str, stored: list[Position]) -> None:
        """Nothing is missing from where it was told so, and it never had more than its places."""
        assert self.most <= self.options.max_inflight
        seen: set[Position] = set()
        for one, positions, since in self.handed:
            if one == subject:
                seen.update(positions)
                assert {place for place in stored if since <= place <= positions[-1]} <= seen


@pytest.fixture
async def transport(clients: Clients) -> RedisTransport:
    """A client of the server."""
    return await clients.open()


async def publish_all(transport: RedisTransport, subject: str, count: int) -> None:
    """Many messages, side by side."""
    await asyncio.gather(*(transport.publish(subject, b"%d" % number) for number in range(count)))


def stream_of(subject: str) -> str:
    """The key of a subject's stream."""
    return keys.keys_of(subject).stream.decode()


async def positions_of(transport: RedisTransport, subject: str) -> list[Position]:
    """Everything that is stored on a subject."""
    return [one.position for one in await history(transport, subject) if one.position is not None]


async def settled(transport: RedisTransport, pattern: str) -> None:
    """The group has had everything, and has answered it."""

    async def is_done() -> bool:
        lag = await transport.lag(pattern, "g")
        return lag.pending == lag.unacknowledged == 0

    await eventually(is_done, "everything to be answered", within=60.0, interval=0.05)


async def _all_came(
    transport: RedisTransport, subject: str, readers: list[Reader], tasks: list[asyncio.Task[None]]
) -> None:
    """What is stored was handed over and answered, and what was said about it is true."""
    stored = await positions_of(transport, subject)
    await eventually(
        lambda: {one for reader in readers for one in reader.positions(subject)} == set(stored), "all messages"
    )
    await settled(transport, readers[0].pattern)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for reader in readers:
        reader.check(subject, stored)


async def test_reading_ahead_on_many_subjects_takes_no_more_than_its_places(transport: RedisTransport) -> None:
    """Whatever their answers do to one another: those of several reads come at once, and each asks for more."""
    root = await new_root(transport)
    subjects = [f"{root}.{number}" for number in range(4)]
    options = replace(PATIENT, batch_size=32, max_inflight=48)
    async with transport.consume(f"{root}.*", "g", options):
        pass
    for subject in subjects:
        await publish_all(transport, subject, 60)
    taken: list[Parcel] = []
    async with transport.consume(f"{root}.*", "g", options) as deliveries:
        source, seen = deliveries.parcels(), 0
        while seen < 240:
            async with asyncio.timeout(PATIENCE):
                taken += await anext(source)
            assert (await transport.lag(f"{root}.*", "g")).unacknowledged <= 48
            if sum(map(len, taken)) > 40:
                for parcel in taken:
                    seen += len(parcel)
                    await parcel.ack()
                taken.clear()
        for parcel in taken:
            await parcel.ack()
        await settled(transport, f"{root}.*")


async def test_a_thousand_subjects_and_one_that_never_ends_all_have_their_turn(transport: RedisTransport) -> None:
    """Reading ahead on the busy one keeps nobody waiting for good."""
    root = await new_root(transport)
    reader = Reader(transport, f"{root}.*", replace(PATIENT, batch_size=64, max_inflight=200))
    task = asyncio.create_task(reader.run())

    async def publish_on() -> None:
        while True:
            await publish_all(transport, f"{root}.busy", 100)

    publishing = asyncio.create_task(publish_on())
    quiet = {f"{root}.{number}" for number in range(1_000)}
    await asyncio.gather(*(transport.publish(subject, b"") for subject in quiet for _ in range(2)))
    await eventually(lambda: sum(len(places) for one, places, _ in reader.handed if one in quiet) == 2_000, "all")
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)
    await _all_came(transport, f"{root}.busy", [reader], [task])


async def test_nothing_is_lost_when_answers_to_reads_are_lost(
    proxy: TcpProxy, through: Clients, transport: RedisTransport
) -> None:
    """What was read and never arrived comes back after its time, and nobody vouches for what follows it."""
    root = await new_root(transport)
    subject = f"{root}.x"
    readers = [
        Reader(await through.open(), f"{root}.*", replace(TOLD, batch_size=50, max_inflight=200)) for _ in range(2)
    ]
    tasks = [asyncio.create_task(reader.run()) for reader in readers]
    for _ in range(12):
        await publish_all(transport, subject, 300)
        proxy.cut()
    await _all_came(transport, subject, readers, tasks)


async def test_a_member_that_was_away_too_long_takes_nothing_from_others(
    redis_server: RedisProcess, clients: Clients, transport: RedisTransport
) -> None:
    """What it says about its parcel is about deliveries that are over: others keep what they were handed since."""
    subject = f"{await new_root(transport)}.x"
    await publish_all(transport, subject, 5)
    async with transport.consume(subject, "g", PATIENT) as slow:
        (parcel,) = await anext(slow.parcels())
    other = await clients.open()
    async with other.consume(subject, "g", replace(TOLD, ack_timeout=1.0)) as fast:
        theirs, again = fast.parcels(), set[Position]()
        async with asyncio.timeout(PATIENCE):
            while again != set(parcel.positions):
                again |= {place for one in await anext(theirs) for place in one.positions}
        await parcel.in_progress()
        await parcel.nak()
        await slow.answered()
    group = redis_server.call("XINFO", "GROUPS", stream_of(subject))[0][1]
    held = redis_server.call("XPENDING", stream_of(subject), group, "-", "+", 10)
    assert len(held) == 5
    assert {consumer for _, consumer, _, _ in held} == {b"active"}
    assert all(count >= 2 for *_, count in held)


async def test_the_places_of_a_parcel_that_nobody_answers_are_free_after_its_time(transport: RedisTransport) -> None:
    """Its messages come again, and others behind them."""
    subject = f"{await new_root(transport)}.x"
    await publish_all(transport, subject, 20)
    options = replace(TOLD, ack_timeout=1.0, batch_size=5, max_inflight=5)
    async with transport.consume(subject, "g", options) as deliveries:
        source = deliveries.parcels()
        (parcel,) = await anext(source)
        seen = set[Position]()
        async with asyncio.timeout(PATIENCE):
            while len(seen) < 20:
                for one in await anext(source):
                    seen.update(one.positions)
                    await one.ack()
        assert set(parcel.positions) <= seen
        await settled(transport, subject)


async def test_a_stream_that_is_deleted_under_a_reader_is_read_on_when_it_is_there_again(
    redis_server: RedisProcess, transport: RedisTransport
) -> None:
    """Whoever makes it anew. If that was no publisher of ours the member hears of it, and vouches for nothing across
    that: what lay at the end of the old one is gone."""
    subject = f"{await new_root(transport)}.x"
    reader = Reader(transport, subject, PATIENT)
    task = asyncio.create_task(reader.run())
    for is_foreign in (False, True, False, True):
        await publish_all(transport, subject, 150)
        await eventually(lambda: reader.handed, "some of it")
        redis_server.call("DEL", stream_of(subject))
        if is_foreign:
            for _ in range(50):
                redis_server.call("XADD", stream_of(subject), "*", "data", "anew")
            stored = await positions_of(transport, subject)
            await eventually(lambda stored=stored: set(stored) <= set(reader.positions(subject)), "what is not ours")
            assert [since for _, positions, since in reader.handed if stored[0] in positions] == [stored[0]]
        await publish_all(transport, subject, 150)
        stored = await positions_of(transport, subject)
        await eventually(lambda stored=stored: set(stored) <= set(reader.positions(subject)), "all of the new one")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_parcels_hold_what_foreign_programs_wrote(redis_server: RedisProcess, transport: RedisTransport) -> None:
    """Among ours, as well as it can be read."""
    subject = f"{await new_root(transport)}.x"
    async with transport.consume(subject, "g", PATIENT) as deliveries:
        for number in range(10):
            await transport.publish(subject, b"ours")
            redis_server.call(
                "XADD", stream_of(subject), "*", *(b"\xff", b"\xfe", b"data", b"theirs")[: 2 + number % 3 // 2 * 2]
            )
        source, taken = deliveries.parcels(), list[Parcel]()
        async with asyncio.timeout(PATIENCE):
            while sum(map(len, taken)) < 20:
                taken += await anext(source)
        for parcel in taken:
            await parcel.ack()
        await settled(transport, subject)
    assert [place for one in taken for place in one.positions] == await positions_of(transport, subject)


async def test_what_is_too_old_inside_a_read_is_done_with(
    redis_server: RedisProcess, transport: RedisTransport
) -> None:
    """The rest of the read is a parcel, which vouches for itself alone."""
    root = await new_root(transport, max_age=3600.0)
    subject = f"{root}.x"
    async with transport.consume(subject, "g", PATIENT):
        pass
    redis_server.call("XADD", stream_of(subject), "1000-1", "data", "old")
    redis_server.call("XADD", stream_of(subject), "1000-2", "data", "old")
    for _ in range(5):
        redis_server.call("XADD", stream_of(subject), "*", "data", "young")
    async with transport.consume(subject, "g", PATIENT) as deliveries:
        (parcel,) = await anext(deliveries.parcels())
        assert [one.payload for one in parcel.envelopes] == [b"young"] * 5
        assert parcel.since == parcel.first
        await parcel.ack()
        await settled(transport, subject)


async def test_thousands_of_messages_are_extended_and_returned_together(
    redis_server: RedisProcess, transport: RedisTransport
) -> None:
    """Each of them, though the server is told in portions."""
    subject = f"{await new_root(transport)}.x"
    await publish_all(transport, subject, 2_500)
    options = replace(PATIENT, batch_size=2_500, max_inflight=5_000)
    async with transport.consume(subject, "g", options) as deliveries:
        assert isinstance(deliveries, RedisConsumption)
        (parcel,) = await anext(deliveries.parcels())
        assert len(parcel) == 2_500
        group = redis_server.call("XINFO", "GROUPS", stream_of(subject))[0][1]
        for entry_id, *_ in redis_server.call("XPENDING", stream_of(subject), group, "-", "+", 2_500):
            redis_server.call("XCLAIM", stream_of(subject), group, "active", 0, entry_id, "IDLE", 50_000, "JUSTID")
        await parcel.in_progress()
        await deliveries.answered()
        idle = ("XPENDING", stream_of(subject), group, "IDLE", 45_000, "-", "+", 10)
        assert redis_server.call(*idle) == []
        await parcel.nak()
    held = redis_server.call("XPENDING", stream_of(subject), group, "-", "+", 2_500)
    assert len(held) == 2_500
    assert {consumer for _, consumer, _, _ in held} == {b"waiting"}


async def test_a_member_that_left_is_forgotten_when_others_have_its_messages(
    clients: Clients, transport: RedisTransport
) -> None:
    """What has come again somewhere else is let go of, and was the last thing that kept it."""
    subject = f"{await new_root(transport)}.x"
    await publish_all(transport, subject, 5)
    leaving = await clients.open()
    async with leaving.consume(subject, "g", PATIENT) as deliveries:
        assert isinstance(deliveries, RedisConsumption)
        (parcel,) = await anext(deliveries.parcels())
    assert deliveries in leaving._members
    assert parcel.without(set(parcel.positions)) is None
    assert deliveries not in leaving._members
    with pytest.raises(DeliverySettledError):
        await parcel.ack()


async def test_a_slot_moves_and_its_master_is_replaced_under_parcels(
    redis_cluster: RedisCluster, cluster_clients: Clients
) -> None:
    """Reads that were sent ahead meet ``ASK``, ``MOVED`` and ``READONLY``."""
    transport = await cluster_clients.open()
    root = await new_root(transport)
    subject = f"{root}.x"
    readers = [Reader(await cluster_clients.open(), f"{root}.*", replace(TOLD, batch_size=50)) for _ in range(2)]
    tasks = [asyncio.create_task(reader.run()) for reader in readers]

    async def publish() -> None:
        while True:
            await publish_all(transport, subject, 40)

    publishing = asyncio.create_task(publish())
    try:
        target = await asyncio.to_thread(redis_cluster.migrate_slot, stream_of(subject), batch=1, pause=0.01)
        await asyncio.to_thread(redis_cluster.failover, target)
        await publish_all(transport, subject, 200)
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
    await _all_came(transport, subject, readers, tasks)


async def test_a_member_that_left_is_forgotten_when_its_time_is_over(transport: RedisTransport) -> None:
    """Nobody answers what it had handed over, and the process lives on."""
    subject = f"{await new_root(transport)}.x"
    await publish_all(transport, subject, 5)
    for is_in_parcels in (True, False):
        async with transport.consume(subject, "g", replace(TOLD, ack_timeout=0.5)) as deliveries:
            async with asyncio.timeout(PATIENCE):
                await anext(deliveries.parcels() if is_in_parcels else aiter(deliveries))  # type: ignore[arg-type]
        await eventually(lambda: not transport._members, "nobody to be kept")
