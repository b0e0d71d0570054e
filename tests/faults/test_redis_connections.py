"""Connections to Redis are cut, go silent or are slow, those for commands and those for wake-ups."""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from tests.faults.redis_faults import OPTIONS, Clients, answers, config_for, new_load, new_root
from tests.proxy import TcpProxy
from tests.redis_engines import RedisProcess
from tests.total_queue import history
from tests.waiting import eventually, take

from gbe.errors import PublishOutcomeUnknownError, TransportUnavailableError
from gbe.ids import new_ulid
from gbe.redis.config import Address, RedisConfig
from gbe.redis.connection import connect
from gbe.redis.errors import LinkLostError
from gbe.redis.link import Link
from gbe.redis.protocol import Reply, pack

pytestmark = pytest.mark.fault

WAKE_UPS = b"SSUBSCRIBE"
"""Who has said this has a connection for wake-ups."""


async def test_nothing_is_lost_when_connections_are_cut(proxy: TcpProxy, through: Clients) -> None:
    """Again and again, all at once, under load."""
    load = await new_load(through)
    async with load.flowing(3000):
        for count in range(300, 2700, 400):
            await load.reached(count)
            with load.account.disturbance():
                proxy.cut()


@pytest.mark.parametrize("word", [b"", WAKE_UPS], ids=["all", "wake-ups"])
async def test_nothing_is_lost_when_connections_go_silent(proxy: TcpProxy, through: Clients, word: bytes) -> None:
    """Nothing arrives any more, and nobody says so: new connections take over."""
    load = await new_load(through)
    async with load.flowing(2000):
        for count in (500, 1200):
            await load.reached(count)
            with load.account.disturbance(4.0):
                proxy.stall(word)


async def test_a_slow_connection_changes_nothing(proxy: TcpProxy, through: Clients) -> None:
    """Half a tenth of a second each way, and a cut while much is on the way."""
    load = await new_load(through)
    async with load.flowing(600, publishers=60):
        proxy.delay = 0.05
        await load.reached(200)
        with load.account.disturbance():
            proxy.cut()


async def test_a_half_open_connection_that_is_full_is_given_up(proxy: TcpProxy, through: Clients) -> None:
    """Megabytes that cannot leave do not hold up the new connection."""
    transport = await through.open()
    subject = f"{await new_root(transport)}.x"
    await transport.publish(subject, b"")
    proxy.stall()
    await asyncio.gather(*(transport.publish(subject, bytes(1024 * 1024)) for _ in range(24)))
    assert len(await history(transport, subject)) == 25


async def test_a_server_that_hangs_up_while_greeting_is_tried_again(proxy: TcpProxy, through: Clients) -> None:
    """A connection that ends within the first answer is no reason to give up for good."""
    transport = await through.open()
    subject = f"{await new_root(transport)}.x"
    proxy.greeting_bytes = 3
    proxy.cut()
    with pytest.raises(TransportUnavailableError):
        await transport.publish(subject, b"", timeout=1.0)
    proxy.greeting_bytes = None
    await transport.publish(subject, b"")


async def test_lost_wake_ups_lose_no_message(proxy: TcpProxy, clients: Clients, through: Clients) -> None:
    """The connection for wake-ups is silent and nobody notices: members and tails find by themselves what is new.

    On subjects that they know, on one that is new, and what was refused by another.
    """
    blind = await through.open(stall_timeout=600.0)
    publisher = await clients.open()
    root = await new_root(publisher)
    await publisher.publish(f"{root}.x", b"known")
    async with (
        blind.consume(f"{root}.x", "literal", OPTIONS) as literal,
        blind.consume(f"{root}.*", "wildcard", OPTIONS) as wildcard,
        blind.tail([f"{root}.x"]) as tail,
        blind.tail([f"{root}.*"]) as wide,
    ):
        for member in (literal, wildcard):
            (delivery,) = await take(aiter(member), 1)
            await delivery.ack()
        proxy.stall(WAKE_UPS)
        id = await publisher.publish(f"{root}.x", b"")
        for member in (literal, wildcard):
            (delivery,) = await take(aiter(member), 1, within=10.0)
            assert delivery.envelope.id == id
            await delivery.nak()
            (delivery,) = await take(aiter(member), 1, within=10.0)
            assert (delivery.envelope.id, delivery.attempt) == (id, 2)
            await delivery.ack()
        for reader in (tail, wide):
            (message,) = await take(aiter(reader), 1, within=10.0)
            assert message.envelope.id == id
        id = await publisher.publish(f"{root}.new", b"")
        (delivery,) = await take(aiter(wildcard), 1, within=10.0)
        (message,) = await take(aiter(wide), 1, within=10.0)
        assert delivery.envelope.id == message.envelope.id == id


async def test_a_publish_that_took_long_is_found_without_a_wake_up(
    proxy: TcpProxy, redis_server: RedisProcess, clients: Clients, through: Clients
) -> None:
    """Its subject was marked as in use long before its message was stored: it is marked again before it counts."""
    async with TcpProxy(redis_server.port, "redis") as slow:
        publisher = await Clients(clients.stack, config_for(slow.url)).open(stall_timeout=600.0)
        blind = await through.open(stall_timeout=600.0)
        root = await new_root(publisher)
        async with blind.consume(f"{root}.*", "g", OPTIONS) as member, blind.tail([f"{root}.*"]) as tail:
            await publisher.publish(f"{root}.x", b"")
            (delivery,) = await take(aiter(member), 1)
            await delivery.ack()
            await take(aiter(tail), 1)
            proxy.stall(WAKE_UPS)
            await publisher.publish(f"{root}.x", b"")  # marked just before
            publishing = asyncio.create_task(publisher.publish(f"{root}.x", b"slow", timeout=60.0))
            slow.stall()
            await take(aiter(tail), 1)
            (delivery,) = await take(aiter(member), 1)
            await delivery.ack()
            await asyncio.sleep(5.0)  # no look sees the old mark any more
            slow.heal()
            id = await publishing
            (delivery,) = await take(aiter(member), 1, within=10.0)
            (message,) = await take(aiter(tail), 1, within=10.0)
            assert delivery.envelope.id == message.envelope.id == id


async def test_an_unknown_outcome_is_cleared_up_by_its_id_or_key(proxy: TcpProxy, through: Clients) -> None:
    """The answer was lost, and the publisher gave up: repeated, the message is stored once, under its first id."""
    transport = await through.open(stall_timeout=600.0)
    subject = f"{await new_root(transport)}.x"
    await transport.publish(subject, b"")
    ids = [new_ulid() for _ in range(6)]
    proxy.delay = 20.0
    outcomes = await asyncio.gather(
        *(transport.publish(subject, b"", id=id, idempotency_key=id, timeout=0.2) for id in ids), return_exceptions=True
    )
    assert all(isinstance(outcome, TransportUnavailableError) for outcome in outcomes)
    proxy.delay = 0.0
    proxy.cut()
    await eventually(lambda: answers(transport), "the connection")
    for id in ids[:3]:
        assert await transport.publish(subject, b"", id=id, idempotency_key=id) == id
    found = [await transport.publish(subject, b"", idempotency_key=id) for id in ids[3:]]
    stored = [message.envelope.id for message in (await history(transport, subject))[1:]]
    assert sorted(stored) == sorted([*ids[:3], *found])


async def test_a_refusal_after_a_lost_answer_leaves_the_outcome_unknown(
    redis_server: RedisProcess, proxy: TcpProxy, through: Clients
) -> None:
    """The first try may have been stored: that there is no memory for the second says nothing of it."""
    transport = await through.open(stall_timeout=600.0)
    subject = f"{await new_root(transport)}.x"
    await transport.publish(subject, b"")
    proxy.delay = 20.0
    id = new_ulid()
    publishing = asyncio.create_task(transport.publish(subject, b"", id=id))
    await eventually(lambda: redis_server.call("XLEN", subject.replace(".", ":")) == 2, "the message in the store")
    redis_server.call("CONFIG", "SET", "maxmemory", 1)
    proxy.cut()
    proxy.delay = 0.0
    with pytest.raises(PublishOutcomeUnknownError):
        await publishing
    redis_server.call("CONFIG", "SET", "maxmemory", 0)
    assert await transport.publish(subject, b"", id=id) == id
    assert len(await transport.read(subject)) == 2


async def test_a_member_never_holds_more_than_its_places_after_a_cut(
    proxy: TcpProxy, clients: Clients, through: Clients
) -> None:
    """What was on its way on the old connection is not delivered on top."""
    transport, publisher = await through.open(), await clients.open()
    subject = f"{await new_root(transport)}.x"
    options = replace(OPTIONS, max_inflight=3, ack_timeout=60.0)
    async with transport.consume(subject, "g", options) as deliveries:
        for _ in range(3):
            proxy.cut()
            await eventually(lambda: answers(transport), "the connection")
        await asyncio.gather(*(publisher.publish(subject, b"") for _ in range(20)))
        source = aiter(deliveries)
        held = await take(source, 3)
        more = asyncio.ensure_future(anext(source))
        await asyncio.wait([more], timeout=0.5)
        assert not more.done()
        assert (await transport.lag(subject, "g")).unacknowledged == 3
        more.cancel()
        for delivery in held:
            await delivery.ack()


async def test_subscriptions_stand_again_after_every_cut(proxy: TcpProxy, clients: Clients, through: Clients) -> None:
    """A thousand subjects, followed one by one: none is forgotten when their connection is made anew."""
    transport, publisher = await through.open(), await clients.open()
    root = await new_root(transport)
    subjects = [f"{root}.s{number}" for number in range(1000)]
    async with transport.tail(subjects) as tail:
        for _ in range(3):
            proxy.cut()
            ids = await asyncio.gather(*(publisher.publish(subject, b"") for subject in subjects))
            seen = await take(aiter(tail), len(subjects))
            assert sorted(message.envelope.id for message in seen) == sorted(ids)


def test_a_link_outlives_a_server_that_dies_while_it_writes(tmp_path: Path) -> None:
    """On the loop of servers and workers: there a write to a socket that has failed a moment ago raises anything."""

    async def ask(link: Link) -> Reply:
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(LinkLostError):
                    return await link.send(pack("PING"))

    async def scenario(engine: RedisProcess) -> None:
        link = Link(RedisConfig(url=engine.url), Address("127.0.0.1", engine.port), lambda: None)
        for _ in range(5):
            assert await ask(link) == b"PONG"
            killing = asyncio.create_task(asyncio.to_thread(engine.kill))
            while not killing.done():
                for _ in range(50):  # in steps of their own: each is a write
                    link.send(pack("ECHO", b"x" * 2000)).add_done_callback(lambda future: future.exception())
                    await asyncio.sleep(0)
            await asyncio.to_thread(engine.start)
        assert await ask(link) == b"PONG"
        await link.close()

    with RedisProcess(tmp_path) as engine, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario(engine))


def test_a_write_to_a_socket_that_is_gone_is_a_lost_link(tmp_path: Path) -> None:
    """Also where its end has not been read yet; uvloop has an error of its own for that."""

    async def scenario(engine: RedisProcess) -> None:
        connection = await connect(RedisConfig(url=engine.url), Address("127.0.0.1", engine.port))
        connection._writer.transport.abort()
        for _ in range(10):  # until the loop has closed it
            await asyncio.sleep(0)
        with pytest.raises(LinkLostError):
            connection.write(pack("PING"))
        connection.abort()

    with RedisProcess(tmp_path) as engine, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario(engine))
