"""A Redis server dies, freezes, forgets or refuses, in the middle of everything; callers go on by themselves."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import pytest
from tests.engines import free_port
from tests.faults.redis_faults import OPTIONS, Clients, answers, new_load, new_root
from tests.redis_engines import RedisProcess
from tests.total_queue import Account, history
from tests.waiting import PATIENCE, eventually, take

from gbe.errors import PublishOutcomeUnknownError, TransportUnavailableError, UnsupportedEngineError
from gbe.ids import new_ulid
from gbe.redis.config import RedisConfig
from gbe.transport import draining
from gbe.transport.base import StreamConfig
from gbe.transport.redis.activity import FRESH
from gbe.transport.redis.transport import RedisTransport

pytestmark = pytest.mark.fault


async def test_nothing_is_lost_when_the_server_is_killed(redis_server: RedisProcess, clients: Clients) -> None:
    """Twice, under load, and started again on its append-only file."""
    load = await new_load(clients)
    async with load.flowing(4000):
        for count in (800, 2400):
            await load.reached(count)
            with load.account.disturbance():
                await asyncio.to_thread(redis_server.kill)
                await asyncio.to_thread(redis_server.start)


async def test_nothing_is_lost_when_the_server_freezes(redis_server: RedisProcess, clients: Clients) -> None:
    """For longer than a connection may be silent: what waits in its sockets is carried out afterwards, and once."""
    load = await new_load(clients)
    async with load.flowing(2000):
        await load.reached(500)
        with load.account.disturbance():
            redis_server.freeze()
            await asyncio.sleep(2.0)
            redis_server.thaw()


async def test_nothing_is_lost_when_all_connections_are_killed(redis_server: RedisProcess, clients: Clients) -> None:
    """``CLIENT KILL``, again and again, the connections for wake-ups included."""
    load = await new_load(clients)
    async with load.flowing(3000):
        for count in range(300, 2700, 600):
            await load.reached(count)
            with load.account.disturbance():
                for kind in ("normal", "pubsub"):
                    await asyncio.to_thread(redis_server.call, "CLIENT", "KILL", "TYPE", kind)


async def test_nothing_is_lost_when_scripts_are_forgotten(redis_server: RedisProcess, clients: Clients) -> None:
    """``SCRIPT FLUSH``: nobody notices."""
    load = await new_load(clients)
    async with load.flowing(3000):
        for count in range(300, 2700, 300):
            await load.reached(count)
            await asyncio.to_thread(redis_server.call, "SCRIPT", "FLUSH")


async def test_publishes_that_end_in_the_outage_tell_how(redis_server: RedisProcess, clients: Clients) -> None:
    """Each fails within its deadline, as unavailable or as unknown; repeated with its id, it is stored once."""
    transport = await clients.open()
    subject = f"{await new_root(transport)}.x"
    await transport.publish(subject, b"")
    account = Account(OPTIONS.ack_timeout)
    slowest = 0.0

    async def publish() -> None:
        nonlocal slowest
        while time.monotonic() < end:
            id = new_ulid()
            account.attempted.add(id)
            started = time.monotonic()
            with suppress(TransportUnavailableError):
                await transport.publish(subject, b"", id=id, timeout=0.3)
                account.acknowledged.add(id)
            slowest = max(slowest, time.monotonic() - started)

    end = time.monotonic() + 1.5
    publishing = [asyncio.create_task(publish()) for _ in range(20)]
    await eventually(lambda: len(account.acknowledged) > 100, "a hundred publishes")
    redis_server.freeze()
    await asyncio.gather(*publishing)
    redis_server.thaw()
    assert slowest < PATIENCE
    failed = sorted(account.unknown)
    assert len(failed) >= 20
    repeated = set(failed[::2])
    await asyncio.gather(*(transport.publish(subject, b"", id=id) for id in repeated))
    stored = [message.envelope.id for message in (await history(transport, subject))[1:]]
    assert len(set(stored)) == len(stored)
    assert account.acknowledged | repeated <= set(stored) <= account.attempted


async def test_calls_to_a_server_that_is_down_fail_in_time(redis_server: RedisProcess, clients: Clients) -> None:
    """Every operation has a deadline of its own; when the server is back, the same calls succeed."""
    transport = await clients.open(request_timeout=1.0, publish_timeout=1.0)
    root = await new_root(transport)
    await transport.publish(f"{root}.x", b"")

    async def consume(pattern: str) -> None:
        async with transport.consume(pattern, "g"):
            pass

    async def tail(pattern: str) -> None:
        async with transport.tail([pattern]):
            pass

    async with transport.consume(f"{root}.x", "h", OPTIONS) as member:
        (delivery,) = await take(aiter(member), 1)
        for way in (redis_server.kill, redis_server.freeze):
            if not redis_server.is_running:
                await asyncio.to_thread(redis_server.start)
                await eventually(lambda: answers(transport), "the connection")
            await asyncio.to_thread(way)
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: transport.publish(f"{root}.x", b"known"),
                lambda: transport.publish("gbe.never.seen", b""),
                lambda: transport.publish(f"{root}.x", b"", durable=False),
                lambda: transport.publish(f"{root}.x", b"", deliver_at=time.time_ns() // 1_000_000 + 60_000),
                lambda: transport.read(f"{root}.x"),
                lambda: transport.locate(f"{root}.x", new_ulid()),
                lambda: transport.lag(f"{root}.x", "h"),
                lambda: transport.trim(f"{root}.x", 1),
                lambda: transport.ensure_stream(StreamConfig(name="other", subjects=("gbe.other.>",))),
                transport.ping,
                lambda: consume(f"{root}.x"),
                lambda: consume(f"{root}.*"),
                lambda: tail(f"{root}.x"),
                lambda: tail(f"{root}.*"),
            ]
            await delivery.in_progress()  # something to be sent that cannot be sent
            await all_fail(calls)
        redis_server.thaw()
        await eventually(lambda: answers(transport), "the connection")
        await transport.publish(f"{root}.x", b"again")
        for pattern in (f"{root}.x", f"{root}.*"):
            await consume(pattern)
            await tail(pattern)


async def all_fail(calls: Sequence[Callable[[], Awaitable[object]]]) -> None:
    """At once, so that their deadlines may be long enough for a machine that stands still now and then."""
    async with asyncio.timeout(PATIENCE):
        outcomes = await asyncio.gather(*(call() for call in calls), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if not isinstance(outcome, TransportUnavailableError)] == []


async def test_opening_without_a_server_fails_in_time(redis_server: RedisProcess, clients: Clients) -> None:
    """Dead or frozen; and says where it looked."""
    redis_server.freeze()
    for _ in range(2):
        started = time.monotonic()
        with pytest.raises(TransportUnavailableError, match=str(redis_server.port)):
            await clients.open(connect_timeout=0.5)
        assert time.monotonic() - started < PATIENCE
        await asyncio.to_thread(redis_server.kill)


async def test_closing_while_the_server_is_away_ends_soon(
    redis_server: RedisProcess, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be returned then: what was held comes back by itself after the ack timeout."""
    monkeypatch.setattr(draining, "DRAIN_TIMEOUT", 1.0)
    for way in (redis_server.kill, redis_server.freeze):
        transport = await RedisTransport.open(RedisConfig(url=redis_server.url, request_timeout=1.0))
        root = await new_root(transport)
        ids = {await transport.publish(f"{root}.{name}", b"") for name in "xxyy"}
        members = [transport.consume(pattern, "g", OPTIONS) for pattern in (f"{root}.x", f"{root}.*")]
        async with members[0] as literal, members[1] as wildcard, transport.tail([f"{root}.*"]):
            await take(aiter(literal), 1)
            await take(aiter(wildcard), 3)
            await asyncio.to_thread(way)
            publishing = asyncio.create_task(transport.publish(f"{root}.x", b"", timeout=2.0))
            await asyncio.sleep(0)
            started = time.monotonic()
            await transport.close()
            assert time.monotonic() - started < PATIENCE  # the time to drain, and of each answer its own
            with pytest.raises(TransportUnavailableError):
                await publishing
        if way == redis_server.kill:
            await asyncio.to_thread(redis_server.start)
        else:
            redis_server.thaw()
        again = await clients.open()
        async with again.consume(f"{root}.*", "g", OPTIONS) as wildcard:
            seen = set()
            async with asyncio.timeout(30.0):
                async for delivery in wildcard:
                    await delivery.ack()
                    seen.add(delivery.envelope.id)
                    if seen >= ids:
                        break


async def test_a_server_that_loads_is_waited_for(redis_server: RedisProcess, clients: Clients) -> None:
    """``LOADING``: the calls of clients that are connected wait, and so does one that connects."""
    transport = await clients.open()
    subject = f"{await new_root(transport)}.x"
    first = await transport.publish(subject, b"")
    redis_server.call("CONFIG", "SET", "appendfsync", "no")
    for number in range(40):
        redis_server.call("DEBUG", "POPULATE", 20_000, f"ballast{number}", 64)
    redis_server.call("BGREWRITEAOF")
    await eventually(lambda: redis_server.info("persistence")["aof_rewrite_in_progress"] == "0", "the rewrite")
    await asyncio.to_thread(redis_server.kill)
    starting = asyncio.create_task(asyncio.to_thread(redis_server.start))
    try:
        second = await transport.publish(subject, b"")
        other = await clients.open()
        assert [m.envelope.id for m in await other.read(subject)] == [first, second]
    finally:
        await starting
    assert "LOADING" in redis_server.log() or "Loading" in redis_server.log() or "DB loaded" in redis_server.log()


async def test_a_master_that_has_become_a_replica_refuses_clearly(redis_server: RedisProcess, clients: Clients) -> None:
    """``READONLY``: publishes wait for it to be a master again, until their deadline; nobody opens a replica."""
    transport = await clients.open()
    subject = f"{await new_root(transport)}.x"
    first = await transport.publish(subject, b"")
    redis_server.call("REPLICAOF", "127.0.0.1", free_port())  # nobody is there, so it keeps what it has
    with pytest.raises(TransportUnavailableError, match="READONLY") as caught:
        await transport.publish(subject, b"", timeout=4.0)
    assert not isinstance(caught.value, PublishOutcomeUnknownError)
    with pytest.raises(UnsupportedEngineError, match="replica"):
        await clients.open()
    waiting = asyncio.create_task(transport.publish(subject, b"", idempotency_key="waits"))
    await asyncio.sleep(0.2)
    redis_server.call("REPLICAOF", "NO", "ONE")
    id = await waiting
    assert [message.envelope.id for message in await transport.read(subject)] == [first, id]


@pytest.mark.parametrize("pattern", ["x", "*"])
@pytest.mark.parametrize("way", ["flushed", "restarted empty"])
async def test_consumption_goes_on_after_all_data_is_lost(
    redis_server: RedisProcess, clients: Clients, pattern: str, way: str
) -> None:
    """Groups are made anew (``NOGROUP``) where they began: what is published then is consumed, counted and kept."""
    transport, publisher = await clients.open(), await clients.open()
    root = await new_root(transport)
    stream = StreamConfig(name=root.removeprefix("gbe."), subjects=(f"{root}.>",))
    async with transport.consume(f"{root}.{pattern}", "g", OPTIONS) as member, transport.tail([f"{root}.>"]) as tail:
        for _ in range(3):
            await publisher.publish(f"{root}.x", b"before")
        for delivery in await take(aiter(member), 3):
            await delivery.ack()
        await take(aiter(tail), 3)
        if way == "flushed":
            redis_server.call("FLUSHALL")
            await asyncio.sleep(2 * FRESH)  # until then publishers rely on what the index of subjects has forgotten
        else:
            await asyncio.to_thread(redis_server.kill)
            for file in (redis_server.folder / "appendonlydir").iterdir():
                file.unlink()
            await asyncio.to_thread(redis_server.start)
            await eventually(lambda: answers(publisher), "the connection")
        await publisher.ensure_stream(stream)
        ids = [await publisher.publish(f"{root}.x", b"after") for _ in range(3)]
        seen = await take(aiter(member), 3)
        assert [delivery.envelope.id for delivery in seen] == ids
        assert [message.envelope.id for message in await take(aiter(tail), 3)] == ids
        lag = await publisher.lag(f"{root}.{pattern}", "g")
        assert (lag.pending, lag.unacknowledged) == (0, 3)
        assert await publisher.trim(f"{root}.x", time.time_ns() // 1_000_000 + 60_000) == 0
        for delivery in seen:
            await delivery.ack()
        await eventually(lambda: _is_idle(publisher, f"{root}.{pattern}"), "all acknowledged")
        if pattern == "*":
            fresh = await publisher.publish(f"{root}.fresh", b"")
            (delivery,) = await take(aiter(member), 1)
            assert delivery.envelope.id == fresh


async def _is_idle(transport: RedisTransport, pattern: str) -> bool:
    lag = await transport.lag(pattern, "g")
    return lag.pending + lag.unacknowledged == 0


async def test_a_wildcard_finds_what_is_published_after_all_data_is_lost(
    redis_server: RedisProcess, clients: Clients
) -> None:
    """What publishers remember of the index of subjects is worth nothing when the server has forgotten it."""
    publisher = await clients.open()
    root = await new_root(publisher)
    await publisher.publish(f"{root}.x", b"before")
    await asyncio.to_thread(redis_server.kill)
    for file in (redis_server.folder / "appendonlydir").iterdir():
        file.unlink()
    await asyncio.to_thread(redis_server.start)
    other = await clients.open()
    await other.ensure_stream(StreamConfig(name=root.removeprefix("gbe."), subjects=(f"{root}.>",)))
    id = await publisher.publish(f"{root}.x", b"after")
    async with other.consume(f"{root}.*", "g", OPTIONS) as member:
        (delivery,) = await take(aiter(member), 1, within=5.0)
        assert delivery.envelope.id == id


# -- delayed messages


async def test_delayed_messages_survive_the_server_and_come_once(redis_server: RedisProcess, clients: Clients) -> None:
    """Due while it was away, or later: by exactly one of several clients, never early, and once."""
    several = [await clients.open() for _ in range(4)]
    root = await new_root(several[0])
    ids: dict[str, int] = {}
    seen: dict[str, int] = {}
    async with several[3].tail([f"{root}.*"]) as tail:
        now = time.time_ns() // 1_000_000
        due = {f"{root}.d{number % 3}": [now + 700, now + 2500] for number in range(3)}
        for number, (subject, moments) in enumerate(due.items()):
            for moment in moments:
                for _ in range(10):
                    ids[await several[number].publish(subject, b"", deliver_at=moment)] = moment
        await asyncio.to_thread(redis_server.kill)
        await eventually(lambda: time.time_ns() // 1_000_000 > now + 900, "the first delivery time")
        await asyncio.to_thread(redis_server.start)
        for message in await take(aiter(tail), len(ids)):
            assert message.position is not None
            assert message.envelope.id not in seen
            seen[message.envelope.id] = message.position.major
        assert time.time_ns() // 1_000_000 >= now + 2500
    assert set(seen) == set(ids)
    assert all(seen[id] >= moment for id, moment in ids.items())
    stored = [m.envelope.id for subject in due for m in await history(several[0], subject)]
    assert sorted(stored) == sorted(ids)


async def test_a_delayed_message_whose_publish_was_not_confirmed_is_stored_once(
    redis_server: RedisProcess, clients: Clients
) -> None:
    """Repeated with its id, or with its idempotency key, before and after it was delivered."""
    transport = await clients.open()
    subject = f"{await new_root(transport)}.x"
    id = new_ulid()
    due = time.time_ns() // 1_000_000 + 1500
    redis_server.freeze()
    with pytest.raises(PublishOutcomeUnknownError):
        await transport.publish(subject, b"", id=id, idempotency_key="k", deliver_at=due, timeout=0.3)
    redis_server.thaw()
    assert await transport.publish(subject, b"", id=id, idempotency_key="k", deliver_at=due) == id
    assert await transport.publish(subject, b"", idempotency_key="k", deliver_at=due) == id
    async with transport.tail([subject]) as tail:
        await take(aiter(tail), 1)
    assert await transport.publish(subject, b"", id=id, idempotency_key="k") == id
    assert await transport.publish(subject, b"", idempotency_key="k") == id
    assert [message.envelope.id for message in await history(transport, subject)] == [id]
