"""The engine dies, freezes, or cannot be reached, in the middle of everything; callers go on by themselves.

Counted as Jepsen's total-queue does it: whatever was acknowledged is delivered, nothing appears that was never
attempted, and what has an unknown outcome may appear, once.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.engines import NatsProcess
from tests.proxy import TcpProxy
from tests.waiting import PATIENCE, eventually, first, take

from gbe.errors import PublishOutcomeUnknownError, TransportUnavailableError
from gbe.ids import new_ulid
from gbe.transport.base import (
    EARLIEST,
    AfterPosition,
    ConsumeOptions,
    Delivery,
    StoredMessage,
    StreamConfig,
    Tail,
    Transport,
)
from gbe.transport.nats.config import NatsConfig
from gbe.transport.nats.transport import NatsTransport

pytestmark = pytest.mark.fault

SUBJECTS = ("gbe.a.x", "gbe.a.y", "gbe.a.z")
STREAM = StreamConfig(name="a", subjects=("gbe.a.>",))
OPTIONS = ConsumeOptions(start=EARLIEST, ack_timeout=3.0, max_deliver=1000)


@dataclass
class Engine:
    """A NATS server of this test's own, and how to talk to it."""

    process: NatsProcess
    config: NatsConfig

    async def open(self, **changes: object) -> Transport:
        return await NatsTransport.open(replace(self.config, **changes))  # type: ignore[arg-type]

    async def restart(self) -> None:
        """Killed without warning, and started again on the same store and port."""
        await asyncio.to_thread(self.process.kill)
        await asyncio.to_thread(self.process.start)


@pytest.fixture(params=["nats", "nats-fsync"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Both ways of storing."""
    is_fsync = request.param == "nats-fsync"
    with NatsProcess(tmp_path / "nats", sync_interval="always" if is_fsync else "2m") as process:
        config = NatsConfig(
            urls=(process.url,),
            group_commit=is_fsync,
            publish_timeout=30.0,
            request_timeout=20.0,
            retry_after=0.5,
            reconnect_wait=0.05,
            ping_interval=0.5,
        )
        yield Engine(process, config)


@dataclass
class Record:
    """What was attempted, and what came of it."""

    attempted: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    consumed: Counter[str] = field(default_factory=Counter)
    tailed: dict[str, list[StoredMessage]] = field(default_factory=dict)


class Load:
    """Publishers, a consumer group and tails of every kind, all at once."""

    def __init__(self, publisher: Transport, consumer: Transport, reader: Transport) -> None:
        self.publisher, self.consumer, self.reader = publisher, consumer, reader
        self.record = Record()
        self.publishing: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def flowing(self, total: int, publishers: int = 20) -> AsyncIterator[None]:
        """Everything runs inside the block; on leaving it, the publishers have ended and the books are balanced."""
        await self.publisher.ensure_stream(STREAM)
        async with AsyncExitStack() as stack:
            consumption = await stack.enter_async_context(self.consumer.consume("gbe.a.*", "g", OPTIONS))
            readers = [asyncio.create_task(consumption.run(self._handle, concurrency=20))]
            for name, patterns in (("literal", SUBJECTS[:1]), ("wildcard", ("gbe.a.>",)), ("merged", SUBJECTS)):
                tail = await stack.enter_async_context(self.reader.tail(patterns))
                readers.append(asyncio.create_task(self._read(tail, self.record.tailed.setdefault(name, []))))
            numbers = iter(range(total))
            self.publishing = [asyncio.create_task(self._publish(numbers)) for _ in range(publishers)]
            try:
                yield
                await asyncio.gather(*self.publishing)
                await self._balance()
            finally:
                for task in (*self.publishing, *readers):
                    task.cancel()
                await asyncio.gather(*self.publishing, *readers, return_exceptions=True)

    async def reached(self, count: int) -> None:
        """Wait until as many publishes are acknowledged."""
        await eventually(lambda: len(self.record.acknowledged) >= count, f"{count} acknowledged publishes")

    async def _publish(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            message_id = new_ulid()
            self.record.attempted.add(message_id)
            while message_id not in self.record.acknowledged:
                with suppress(TransportUnavailableError):  # with the same id: safe to repeat
                    await self.publisher.publish(SUBJECTS[number % 3], b"%d" % number, id=message_id, timeout=5.0)
                    self.record.acknowledged.add(message_id)

    async def _handle(self, delivery: Delivery) -> None:
        self.record.consumed[delivery.envelope.id] += 1

    async def _read(self, tail: Tail, seen: list[StoredMessage]) -> None:
        async for message in tail:
            seen.append(message)  # noqa: PERF401  one by one: the others look on

    async def _balance(self) -> None:
        record = self.record
        stored = {subject: await history(self.publisher, subject) for subject in SUBJECTS}
        ids = Counter(m.envelope.id for messages in stored.values() for m in messages)
        assert set(ids.values()) == {1}, "stored twice"
        assert record.acknowledged <= set(ids) <= record.attempted
        await eventually(lambda: set(record.consumed) >= set(ids), "all stored messages to be consumed")
        assert set(record.consumed) == set(ids)
        for name, subjects in (("literal", SUBJECTS[:1]), ("wildcard", SUBJECTS), ("merged", SUBJECTS)):
            seen = record.tailed[name]
            wanted = sum(len(stored[subject]) for subject in subjects)
            await eventually(lambda seen=seen, wanted=wanted: len(seen) >= wanted, f"all messages in the {name} tail")
            for subject in SUBJECTS:
                expected = stored[subject] if subject in subjects else []
                assert [m for m in seen if m.envelope.subject == subject] == expected, f"{name} tail of {subject}"


async def history(transport: Transport, subject: str) -> list[StoredMessage]:
    """Everything that is stored on a subject."""
    found = page = await transport.read(subject)
    while page:
        position = page[-1].position
        assert position is not None
        page = await transport.read(subject, start=AfterPosition(position))
        found = found + page
    return found


# -- the engine


async def test_nothing_is_lost_or_doubled_when_the_engine_is_killed(engine: Engine) -> None:
    """Twice, under load: publishers, consumers and tails come through without help."""
    async with await engine.open() as one, await engine.open() as two, await engine.open() as three:
        load = Load(one, two, three)
        async with load.flowing(4000):
            for count in (800, 2400):
                await load.reached(count)
                await engine.restart()


async def test_publishes_that_end_in_the_outage_tell_how(engine: Engine) -> None:
    """Each fails within its deadline, as unavailable or as unknown; repeated with its id, it is stored once."""
    async with await engine.open() as transport:
        await transport.ensure_stream(STREAM)
        await transport.publish(SUBJECTS[0], b"")
        outcomes: dict[str, bool] = {}
        slowest = 0.0

        async def publish() -> None:
            nonlocal slowest
            while time.monotonic() < end:
                message_id = new_ulid()
                started = time.monotonic()
                try:
                    await transport.publish(SUBJECTS[0], b"", id=message_id, timeout=0.3)
                    outcomes[message_id] = True
                except TransportUnavailableError:
                    outcomes[message_id] = False
                slowest = max(slowest, time.monotonic() - started)

        end = time.monotonic() + 2.0
        publishing = [asyncio.create_task(publish()) for _ in range(20)]
        await eventually(lambda: sum(outcomes.values()) > 100, "a hundred publishes")
        await asyncio.to_thread(engine.process.kill)
        await asyncio.gather(*publishing)
        assert slowest < 3.0
        failed = [message_id for message_id, acknowledged in outcomes.items() if not acknowledged]
        assert len(failed) >= 20

        await asyncio.to_thread(engine.process.start)
        repeated, abandoned = failed[::2], set(failed[1::2])
        await asyncio.gather(*(transport.publish(SUBJECTS[0], b"", id=message_id) for message_id in repeated))
        stored = Counter(message.envelope.id for message in (await history(transport, SUBJECTS[0]))[1:])
        assert set(stored.values()) == {1}
        acknowledged = {message_id for message_id, was in outcomes.items() if was} | set(repeated)
        assert acknowledged <= set(stored) <= acknowledged | abandoned


async def test_calls_to_an_engine_that_is_down_fail_in_time(engine: Engine) -> None:
    """Every operation has a deadline of its own; when the engine is back, the same calls succeed."""
    async with await engine.open(request_timeout=1.0, publish_timeout=1.0) as transport:
        await transport.ensure_stream(STREAM)
        await transport.publish(SUBJECTS[0], b"")
        await asyncio.to_thread(engine.process.kill)

        async def consume() -> None:
            async with transport.consume("gbe.a.x", "g"):
                pass

        async def tail() -> None:
            async with transport.tail(["gbe.a.*"]):
                pass

        calls = [
            lambda: transport.publish(SUBJECTS[0], b"known"),
            lambda: transport.publish("gbe.never.seen", b""),
            lambda: transport.publish("gbe.never.seen", b"", timeout=0.2),
            lambda: transport.publish(SUBJECTS[0], b"", durable=False),
            lambda: transport.read(SUBJECTS[0]),
            lambda: transport.locate(SUBJECTS[0], new_ulid()),
            lambda: transport.lag(SUBJECTS[0], "g"),
            lambda: transport.trim(SUBJECTS[0], 1),
            lambda: transport.ensure_stream(STREAM),
            transport.ping,
            consume,
            tail,
        ]
        async with asyncio.timeout(PATIENCE):
            outcomes = await asyncio.gather(*(call() for call in calls), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes if not isinstance(outcome, TransportUnavailableError)] == []
        await asyncio.to_thread(engine.process.start)
        await eventually(lambda: is_back(transport), "the connection")
        await transport.publish(SUBJECTS[0], b"again")
        await consume()
        await tail()


async def is_back(transport: Transport) -> bool:
    try:
        await transport.ping()
    except TransportUnavailableError:
        return False
    return True


async def test_opening_without_an_engine_fails_in_time(engine: Engine) -> None:
    """And says where it looked."""
    await asyncio.to_thread(engine.process.kill)
    started = time.monotonic()
    with pytest.raises(TransportUnavailableError, match=str(engine.process.port)):
        await engine.open(connect_timeout=0.5)
    assert time.monotonic() - started < PATIENCE


async def test_a_delayed_message_survives_the_engine(engine: Engine) -> None:
    """It is delivered when due, or at once if the engine was away then; once, and never early."""
    async with await engine.open() as transport:
        await transport.ensure_stream(STREAM)
        async with transport.tail(["gbe.a.>"]) as tail:
            now = time.time_ns() // 1_000_000
            await transport.publish(SUBJECTS[0], b"later", deliver_at=now + 3500)
            await transport.publish(SUBJECTS[0], b"missed", deliver_at=now + 300)
            await asyncio.to_thread(engine.process.kill)
            await eventually(lambda: time.time_ns() // 1_000_000 > now + 400, "the first delivery time")
            await asyncio.to_thread(engine.process.start)
            seen = await take(aiter(tail), 2)
            assert [m.envelope.payload for m in seen] == [b"missed", b"later"]
            assert time.time_ns() // 1_000_000 >= now + 3500
        assert len(await history(transport, SUBJECTS[0])) == 2


async def test_a_frozen_engine_is_waited_for(engine: Engine) -> None:
    """SIGSTOP for a while: what was sent meanwhile is answered afterwards, and nothing happens twice."""
    async with await engine.open() as one, await engine.open() as two, await engine.open() as three:
        load = Load(one, two, three)
        async with load.flowing(2500):
            for count in (400, 1500):
                await load.reached(count)
                engine.process.freeze()
                await asyncio.sleep(1.2)
                engine.process.thaw()


async def test_a_frozen_engine_fails_publishes_in_time_and_knows_them_afterwards(engine: Engine) -> None:
    """The outcome is unknown: the engine may have them in its socket. Repeated, they are stored once."""
    async with await engine.open() as transport:
        await transport.ensure_stream(STREAM)
        await transport.publish(SUBJECTS[0], b"")
        engine.process.freeze()
        ids = [new_ulid() for _ in range(10)]
        outcomes = await asyncio.gather(
            *(transport.publish(SUBJECTS[0], b"", id=message_id, timeout=0.4) for message_id in ids),
            return_exceptions=True,
        )
        engine.process.thaw()
        assert {type(outcome) for outcome in outcomes} == {PublishOutcomeUnknownError}
        assert [outcome.message_id for outcome in outcomes if isinstance(outcome, PublishOutcomeUnknownError)] == ids
        await asyncio.gather(*(transport.publish(SUBJECTS[0], b"", id=message_id) for message_id in ids))
        stored = Counter(message.envelope.id for message in (await history(transport, SUBJECTS[0]))[1:])
        assert stored == Counter(ids)


# -- the connection


@pytest.fixture
async def proxy(engine: Engine) -> AsyncIterator[TcpProxy]:
    """Between the clients and the engine."""
    async with TcpProxy(engine.process.port) as proxy:
        engine.config = replace(engine.config, urls=(proxy.url,))
        yield proxy


async def test_nothing_is_lost_or_doubled_when_connections_are_cut(engine: Engine, proxy: TcpProxy) -> None:
    """Again and again, all at once, under load."""
    async with await engine.open() as one, await engine.open() as two, await engine.open() as three:
        load = Load(one, two, three)
        async with load.flowing(3000):
            for count in range(300, 2700, 400):
                await load.reached(count)
                proxy.cut()


async def test_half_open_connections_are_noticed(engine: Engine, proxy: TcpProxy) -> None:
    """Nothing arrives any more and nobody says so: the pings find out, and new connections take over."""
    async with await engine.open() as one, await engine.open() as two, await engine.open() as three:
        load = Load(one, two, three)
        async with load.flowing(1500):
            await load.reached(500)
            proxy.stall()


async def test_a_half_open_connection_that_is_full_is_given_up(engine: Engine, proxy: TcpProxy) -> None:
    """Megabytes that cannot leave do not hold up the reconnection."""
    async with await engine.open() as transport:
        await transport.ensure_stream(STREAM)
        await transport.publish("gbe.a.x", b"")
        proxy.stall()
        await asyncio.gather(*(transport.publish("gbe.a.x", bytes(1024 * 1024)) for _ in range(24)))
        assert len(await history(transport, "gbe.a.x")) == 25


async def test_an_answer_that_nobody_waits_for_any_more_does_no_harm(engine: Engine) -> None:
    """A ping that timed out while the engine was frozen is answered afterwards, and the connection goes on."""
    async with await engine.open(ping_interval=300.0, request_timeout=2.0) as transport:
        await transport.ensure_stream(STREAM)
        await transport.publish("gbe.a.x", b"")
        async with transport.tail(["gbe.a.x"]) as tail:
            engine.process.freeze()
            with pytest.raises(TransportUnavailableError):
                await transport.ping()
            engine.process.thaw()
            await transport.publish("gbe.a.x", b"next", timeout=10.0)
            assert (await first(aiter(tail), within=10.0)).envelope.payload == b"next"
            assert await transport.ping() < 2.0


async def test_a_slow_connection_changes_nothing(engine: Engine, proxy: TcpProxy) -> None:
    """Half a tenth of a second each way, and a cut while much is on the way."""
    async with await engine.open() as one, await engine.open() as two, await engine.open() as three:
        load = Load(one, two, three)
        async with load.flowing(800):
            proxy.delay = 0.05
            await load.reached(300)
            proxy.cut()


async def test_an_engine_that_hangs_up_while_greeting_is_tried_again(engine: Engine, proxy: TcpProxy) -> None:
    """A connection that ends within the first line is no reason to give up for good."""
    async with await engine.open() as transport:
        await transport.ensure_stream(STREAM)
        proxy.greeting_bytes = 50
        proxy.cut()
        with pytest.raises(TransportUnavailableError):
            await transport.publish(SUBJECTS[0], b"", timeout=1.0)
        proxy.greeting_bytes = None
        await transport.publish(SUBJECTS[0], b"")


async def test_a_member_never_holds_more_than_its_places_after_a_cut(engine: Engine, proxy: TcpProxy) -> None:
    """What the engine still remembers of the old connection's requests is not delivered on top."""
    async with await engine.open() as transport, await engine.open() as publisher:
        await transport.ensure_stream(STREAM)
        options = replace(OPTIONS, max_inflight=3, ack_timeout=60.0)
        async with transport.consume("gbe.a.x", "g", options) as deliveries:
            for _ in range(3):
                proxy.cut()
                await eventually(lambda: is_back(transport), "the connection")
            await asyncio.gather(*(publisher.publish("gbe.a.x", b"") for _ in range(20)))
            source = aiter(deliveries)
            held = await take(source, 3)
            more = asyncio.ensure_future(anext(source))
            await asyncio.wait([more], timeout=0.5)
            assert not more.done()
            assert (await transport.lag("gbe.a.x", "g")).unacknowledged == 3
            more.cancel()
            for delivery in held:
                await delivery.ack()


async def test_an_idle_tail_learns_what_it_missed_without_being_told(engine: Engine, proxy: TcpProxy) -> None:
    """The last message before silence is lost on the way with the connection: the tails fetch it by themselves."""
    async with await engine.open() as transport, await engine.open(urls=(engine.process.url,)) as direct:
        await direct.ensure_stream(STREAM)
        async with transport.tail(["gbe.a.x"]) as literal, transport.tail(["gbe.a.*"]) as wildcard:
            proxy.stall()
            message_id = await direct.publish("gbe.a.x", b"")
            for tail in (literal, wildcard):
                assert (await first(aiter(tail))).envelope.id == message_id


async def test_closing_while_the_engine_is_away_ends_soon(engine: Engine) -> None:
    """Nothing can be returned then: it comes back by itself after the ack timeout."""
    transport = await engine.open()
    await transport.ensure_stream(STREAM)
    await transport.publish("gbe.a.x", b"")
    async with transport.consume("gbe.a.x", "g", OPTIONS) as deliveries, transport.tail(["gbe.a.*"]):
        await first(aiter(deliveries))
        await asyncio.to_thread(engine.process.kill)
        started = time.monotonic()
        await transport.close()
        assert time.monotonic() - started < PATIENCE
    await asyncio.to_thread(engine.process.start)
    async with await engine.open() as transport, transport.consume("gbe.a.x", "g", OPTIONS) as deliveries:
        await (await first(aiter(deliveries))).ack()  # its attempt is 1 or 2: the engine forgets counts when it crashes
