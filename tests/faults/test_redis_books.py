"""What Redis miscounts, what operators do behind our back, what foreign programs write: the books still agree."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.faults.redis_faults import OPTIONS, Clients, config_for, new_root
from tests.proxy import TcpProxy
from tests.redis_engines import RedisProcess
from tests.waiting import eventually, take

from gbe.errors import TransportUnavailableError
from gbe.ids import is_ulid, new_ulid
from gbe.transport.base import LATEST, Delivery
from gbe.transport.redis import keys
from gbe.transport.redis.transport import RedisTransport

pytestmark = pytest.mark.fault


def stream_of(subject: str) -> bytes:
    """The key of a subject's stream."""
    return keys.keys_of(subject).stream


@pytest.fixture
async def transport(clients: Clients) -> RedisTransport:
    """A client of the server."""
    return await clients.open()


async def pending(transport: RedisTransport, subject: str) -> int:
    """What the group has ahead of it."""
    return (await transport.lag(subject, "g")).pending


async def found_group(transport: RedisTransport, pattern: str) -> None:
    """The group has been there and is away."""
    async with transport.consume(pattern, "g", replace(OPTIONS, start=LATEST)):
        pass


# -- lag


async def test_lag_is_right_after_an_operator_deleted_a_message(
    redis_server: RedisProcess, transport: RedisTransport
) -> None:
    """``XDEL`` in the middle of what is unread, while it is read, and afterwards: Redis' own count never recovers."""
    subject = f"{await new_root(transport)}.x"
    await found_group(transport, subject)
    for number in range(10):
        await transport.publish(subject, b"%d" % number)
    entries = redis_server.call("XRANGE", stream_of(subject), "-", "+")
    redis_server.call("XDEL", stream_of(subject), entries[5][0])
    assert await pending(transport, subject) == 9
    async with transport.consume(subject, "g", replace(OPTIONS, batch_size=2, max_inflight=2)) as deliveries:
        source = aiter(deliveries)
        for left in (8, 7, 6, 5, 4, 3, 2, 1, 0):
            (delivery,) = await take(source, 1)
            await delivery.ack()
            await eventually(lambda left=left: _at_most(transport, subject, left), f"a lag of {left}")
    assert (await transport.lag(subject, "g")).pending == 0
    await transport.publish(subject, b"next")
    assert await pending(transport, subject) == 1


async def _at_most(transport: RedisTransport, subject: str, left: int) -> bool:
    lag = await transport.lag(subject, "g")
    assert lag.pending + lag.unacknowledged <= left
    return True


async def test_lag_is_right_after_an_operator_trimmed(redis_server: RedisProcess, transport: RedisTransport) -> None:
    """``XTRIM`` of what is unread, of all of it, and of what was read."""
    subject = f"{await new_root(transport)}.x"
    await found_group(transport, subject)
    for _ in range(10):
        await transport.publish(subject, b"")
    redis_server.call("XTRIM", stream_of(subject), "MAXLEN", "=", 4)
    assert await pending(transport, subject) == 4
    async with transport.consume(subject, "g", replace(OPTIONS, batch_size=1, max_inflight=1)) as deliveries:
        (delivery,) = await take(aiter(deliveries), 1)
        await delivery.ack()
    await eventually(lambda: _is(transport, subject, 3), "a lag of three")
    redis_server.call("XTRIM", stream_of(subject), "MAXLEN", "=", 0)
    assert await pending(transport, subject) == 0
    await transport.publish(subject, b"")
    assert await pending(transport, subject) == 1


async def _is(transport: RedisTransport, subject: str, count: int) -> bool:
    lag = await transport.lag(subject, "g")
    return lag.pending + lag.unacknowledged == count


async def test_lag_is_right_when_a_publish_has_trimmed_what_was_too_old(
    redis_server: RedisProcess, transport: RedisTransport
) -> None:
    """A publish drops whole nodes of old messages; what the group has not read of them is not counted any more."""
    redis_server.call("CONFIG", "SET", "stream-node-max-entries", 5)
    subject = f"{await new_root(transport, max_age=0.5)}.x"
    await found_group(transport, subject)
    for _ in range(20):
        await transport.publish(subject, b"old")
    await asyncio.sleep(0.7)
    await transport.publish(subject, b"young")
    assert redis_server.call("XLEN", stream_of(subject)) == 1
    assert await pending(transport, subject) == 1


async def test_lag_counts_what_is_too_old_no_more(transport: RedisTransport) -> None:
    """Also what was handed out and never answered."""
    subject = f"{await new_root(transport, max_age=0.5)}.x"
    for _ in range(4):
        await transport.publish(subject, b"old")
    options = replace(OPTIONS, batch_size=2, max_inflight=2, ack_timeout=60.0)
    async with transport.consume(subject, "g", options) as deliveries:
        await take(aiter(deliveries), 2)
        lag = await transport.lag(subject, "g")
        assert (lag.pending, lag.unacknowledged) == (2, 2)
        await asyncio.sleep(0.7)
        lag = await transport.lag(subject, "g")
        assert (lag.pending, lag.unacknowledged, lag.oldest_age) == (0, 0, None)


async def test_a_group_that_was_away_when_its_stream_expired_misses_nothing(
    redis_server: RedisProcess, transport: RedisTransport
) -> None:
    """The key is gone, and the group with it; what is published afterwards is its own all the same."""
    root = await new_root(transport, max_age=3600.0)
    for pattern, subject in ((f"{root}.x", f"{root}.x"), (f"{root}.y.*", f"{root}.y.a")):
        await transport.publish(subject, b"before")
        await found_group(transport, pattern)
        redis_server.call("PEXPIRE", stream_of(subject), 1)
        await eventually(lambda subject=subject: not redis_server.call("EXISTS", stream_of(subject)), "its end")
        for number in range(3):
            await transport.publish(subject, b"%d" % number)
        assert await pending(transport, pattern) == 3
        assert await transport.trim(subject, time.time_ns() // 1_000_000 + 60_000) == 0
        async with transport.consume(pattern, "g", replace(OPTIONS, start=LATEST)) as deliveries:
            seen = await take(aiter(deliveries), 3)
            assert [delivery.envelope.payload for delivery in seen] == [b"0", b"1", b"2"]


async def test_lag_does_not_wait_for_answers_that_come_later(clients: Clients, transport: RedisTransport) -> None:
    """A handler that says again and again that it works on, over a slow connection, holds up nobody who asks."""
    subject = f"{await new_root(transport)}.x"
    await transport.publish(subject, b"")
    async with transport.consume(subject, "g", OPTIONS) as deliveries:
        (delivery,) = await take(aiter(deliveries), 1)
        send = transport._client.run

        async def slowly(*arguments: object, **options: object) -> object:
            await asyncio.sleep(0.1)
            return await send(*arguments, **options)  # type: ignore[arg-type]

        transport._client.run = slowly  # type: ignore[method-assign,assignment]

        async def beat() -> None:
            while True:
                await delivery.in_progress()
                await asyncio.sleep(0.01)

        beating = asyncio.create_task(beat())
        await asyncio.sleep(0.2)
        async with asyncio.timeout(10.0):
            assert (await transport.lag(subject, "g")).unacknowledged == 1
        beating.cancel()


# -- foreign programs


async def test_a_foreign_message_without_a_wake_up_is_consumed_and_tailed(
    redis_server: RedisProcess, transport: RedisTransport
) -> None:
    """Another program just adds an entry, its id left to the server."""
    subject = f"{await new_root(transport)}.x"
    async with transport.consume(subject, "g", OPTIONS) as deliveries, transport.tail([subject]) as tail:
        await asyncio.sleep(0.1)  # both have looked, and found nothing
        redis_server.call("XADD", stream_of(subject), "*", "id", new_ulid(), "ts", 17, "data", "foreign")
        (delivery,), (message,) = await take(aiter(deliveries), 1), await take(aiter(tail), 1)
        assert delivery.envelope == message.envelope == (await transport.read(subject))[0].envelope
        assert (message.envelope.payload, message.envelope.timestamp) == (b"foreign", 17)
        await delivery.ack()


@pytest.mark.parametrize(
    "fields",
    [
        (b"id", b"\xff\xfe", b"ts", b"17", b"data", b"odd"),
        (b"id", b"x", b"ts", b"yesterday", b"data", b"odd"),
        (b"id", b"x", b"ts", b"9" * 5000, b"data", b"odd"),
        (b"data", b"odd", b"ts", b"-1"),
        (b"data", b"odd", b"tp", b"\xff"),
        (b"data", b"odd", b"\xff", b"\xff"),
    ],
)
async def test_a_foreign_message_that_makes_no_sense_stops_nobody(
    redis_server: RedisProcess, transport: RedisTransport, fields: tuple[bytes, ...]
) -> None:
    """It is shown as well as it can be, and what lies behind it is not held up."""
    root = await new_root(transport)
    subject = f"{root}.x"
    async with (
        transport.consume(subject, "g", OPTIONS) as literal,
        transport.consume(f"{root}.*", "h", OPTIONS) as wildcard,
        transport.tail([subject]) as tail,
    ):
        redis_server.call("XADD", stream_of(subject), "*", *fields)
        await transport.publish(subject, b"next")
        for member in (literal, wildcard):
            for delivery in await take(aiter(member), 2, within=10.0):
                await delivery.ack()
        seen = await take(aiter(tail), 2, within=10.0)
        assert [message.envelope.payload for message in seen] == [b"odd", b"next"]
        stored = await transport.read(subject)
        assert [await transport.locate(subject, m.envelope.id) for m in stored] == [m.position for m in stored]
        assert [is_ulid(message.envelope.id) for message in stored] == [True, True]


# -- nothing half done


async def test_a_message_that_could_not_be_stored_is_not_known_as_stored(
    redis_server: RedisProcess, transport: RedisTransport
) -> None:
    """Another program has taken the stream's name: once that is put right, the same publish stores its message."""
    subject = f"{await new_root(transport)}.x"
    redis_server.call("SET", stream_of(subject), "an operator's")
    id = new_ulid()
    for _ in range(2):
        with pytest.raises(TransportUnavailableError, match="WRONGTYPE"):
            await transport.publish(subject, b"", id=id, idempotency_key="k")
    redis_server.call("DEL", stream_of(subject))
    assert await transport.publish(subject, b"", id=id, idempotency_key="k") == id
    assert [message.envelope.id for message in await transport.read(subject)] == [id]


async def test_a_server_without_memory_refuses_and_keeps_what_it_has(
    redis_server: RedisProcess, clients: Clients
) -> None:
    """A publish fails with the reason and stores nothing; consuming and trimming go on, and make room."""
    transport = await clients.open(publish_timeout=3.0)
    root = await new_root(transport, max_age=3600.0)
    subject = f"{root}.x"
    async with (
        transport.consume(subject, "g", OPTIONS) as literal,
        transport.consume(f"{root}.*", "h", OPTIONS) as wild,
    ):
        for _ in range(40):
            await transport.publish(subject, bytes(1000))
        redis_server.call("CONFIG", "SET", "maxmemory", 1_000_000)
        refused = [new_ulid() for _ in range(3)]
        for id in refused:
            with pytest.raises(TransportUnavailableError, match="OOM"):
                await transport.publish(subject, b"", id=id)
            with pytest.raises(TransportUnavailableError, match="OOM"):
                await transport.publish(subject, b"", id=id, deliver_at=time.time_ns() // 1_000_000 + 600_000)
        await _consume_all(literal, transport, subject, "g")
        await _consume_all(wild, transport, f"{root}.*", "h")
        async with transport.consume(subject, "late", OPTIONS) as late:
            await _consume_all(late, transport, subject, "late")
        assert await transport.trim(subject, time.time_ns() // 1_000_000 + 60_000) == 40
        redis_server.call("CONFIG", "SET", "maxmemory", 0)
        assert await transport.publish(subject, b"", id=refused[0]) == refused[0]
        assert [message.envelope.id for message in await transport.read(subject)] == refused[:1]


async def _consume_all(member: AsyncIterator[Delivery], transport: RedisTransport, pattern: str, group: str) -> None:
    async def work() -> None:
        async for delivery in aiter(member):
            await (delivery.nak() if delivery.attempt == 1 else delivery.ack())

    working = asyncio.create_task(work())

    async def is_done() -> bool:
        lag = await transport.lag(pattern, group)
        return lag.pending + lag.unacknowledged == 0

    await eventually(is_done, "all consumed", interval=0.05)
    working.cancel()


# -- clocks and limits


async def test_a_clock_that_is_set_costs_no_message(
    transport: RedisTransport, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This machine's clock jumps by a day: what is too old is a matter of the server's."""
    root = await new_root(transport, max_age=3600.0)
    reader = await clients.open()
    now = time.time
    async with reader.consume(f"{root}.x", "g", OPTIONS) as member, reader.tail([f"{root}.x"]) as tail:
        monkeypatch.setattr(time, "time", lambda: now() + 86_400)
        id = await transport.publish(f"{root}.x", b"")
        assert [message.envelope.id for message in await reader.read(f"{root}.x")] == [id]
        (delivery,) = await take(aiter(member), 1, within=10.0)
        (message,) = await take(aiter(tail), 1, within=10.0)
        assert delivery.envelope.id == message.envelope.id == id


async def test_a_limit_counts_a_message_whose_answer_was_lost(redis_server: RedisProcess, clients: Clients) -> None:
    """It was stored, and then the connection was cut: it goes when its turn comes, as any other."""
    async with TcpProxy(redis_server.port, "redis") as proxy:
        transport = await Clients(clients.stack, config_for(proxy.url)).open(stall_timeout=600.0)
        root = await new_root(transport, max_msgs=10)
        await transport.publish(f"{root}.known", b"")
        proxy.delay = 0.3
        publishing = asyncio.create_task(transport.publish(f"{root}.x", b""))
        await eventually(lambda: redis_server.call("XLEN", stream_of(f"{root}.x")) == 1, "the message in the store")
        proxy.cut()
        proxy.delay = 0.0
        await publishing
        for _ in range(20):
            await transport.publish(f"{root}.y", b"")
        assert [len(await transport.read(f"{root}.{name}")) for name in "xy"] == [0, 10]
