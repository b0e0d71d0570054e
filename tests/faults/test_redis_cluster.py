"""Nodes of a Redis cluster are killed and replaced, slots move, and nobody who uses a transport has to care."""

import asyncio
import time
from collections import Counter
from contextlib import suppress

import pytest
from tests.engines import free_port
from tests.faults.redis_faults import OPTIONS, Clients, config_for, new_load, new_root
from tests.redis_engines import RedisCluster, RedisProcess
from tests.total_queue import Account
from tests.waiting import eventually, take

from gbe.errors import TransportUnavailableError, UnsupportedEngineError
from gbe.ids import new_ulid
from gbe.transport.redis import keys
from gbe.transport.redis.transport import RedisTransport

pytestmark = pytest.mark.fault


def stream_of(subject: str) -> str:
    """The key of a subject's stream."""
    return keys.keys_of(subject).stream.decode()


async def test_a_failover_disturbs_nobody(redis_cluster: RedisCluster, cluster_clients: Clients) -> None:
    """A replica takes over from its master in peace, as an upgrade does it, under load."""
    load = await new_load(cluster_clients)
    async with load.flowing(4000):
        for count, subject in zip((600, 1800, 3000), load.subjects, strict=True):
            await load.reached(count)
            with load.account.disturbance():
                master = await asyncio.to_thread(redis_cluster.master_of, stream_of(subject))
                await asyncio.to_thread(redis_cluster.failover, master)


async def test_a_master_that_dies_takes_nothing_with_it(redis_cluster: RedisCluster, cluster_clients: Clients) -> None:
    """With ``wait_replicas=1``: what was confirmed is known to the replica that is elected."""
    load = await new_load(cluster_clients, wait_replicas=1, elections=True)
    async with load.flowing(3000):
        await load.reached(800)
        with load.account.disturbance():
            master = await asyncio.to_thread(redis_cluster.master_of, stream_of(load.subjects[0]))
            await asyncio.to_thread(master.kill)
            await asyncio.to_thread(redis_cluster.master_of, stream_of(load.subjects[0]))
            await asyncio.to_thread(redis_cluster.start)
        await load.reached(2000)


async def test_a_slot_moves_under_its_publishers_and_consumers(
    redis_cluster: RedisCluster, cluster_clients: Clients
) -> None:
    """Key by key, there and back: ``ASK``, ``TRYAGAIN``, ``MOVED``."""
    load = await new_load(cluster_clients)
    async with load.flowing(4000):
        for count in (600, 2000):
            await load.reached(count)
            with load.account.disturbance():
                await asyncio.to_thread(redis_cluster.migrate_slot, stream_of(load.subjects[0]), batch=1, pause=0.001)


async def test_the_node_of_an_index_dies_and_patterns_still_find_everything(
    redis_cluster: RedisCluster, cluster_clients: Clients
) -> None:
    """With ``wait_replicas=1`` the index of subjects, and that of delayed messages, is safe like the messages are.

    Its node is stopped from replicating just before: a mark that is not waited for would be lost with it.
    """
    transport = await cluster_clients.open(wait_replicas=1, publish_timeout=4.0)
    found = None
    while found is None:
        root = await new_root(transport)
        found = await asyncio.to_thread(_far_from_its_index, redis_cluster, root)
    subject, index = found
    master = await asyncio.to_thread(redis_cluster.master_of, index)
    replica = await asyncio.to_thread(redis_cluster.replica_of, master)
    replica.freeze()  # it hears nothing of what its master is told now
    account = Account(OPTIONS.ack_timeout)
    due = time.time_ns() // 1_000_000 + 6000
    for moment in (None, due):
        id = new_ulid()
        account.attempted.add(id)
        with suppress(TransportUnavailableError):
            await transport.publish(subject, b"", id=id, deliver_at=moment, timeout=1.0)
            account.acknowledged.add(id)
    await asyncio.to_thread(master.kill)
    replica.thaw()
    await asyncio.to_thread(redis_cluster.master_of, index)
    await asyncio.to_thread(redis_cluster.start)
    other = await cluster_clients.open()
    async with other.consume(f"{root}.*", "g", OPTIONS) as member:
        source = aiter(member)
        for _ in account.acknowledged:
            (delivery,) = await take(source, 1, within=10.0)
            await delivery.ack()


def _far_from_its_index(cluster: RedisCluster, root: str) -> tuple[str, str] | None:
    """A subject whose stream lies on one master and the indexes that name it on another, if there is one."""
    for number in range(50):
        subject = f"{root}.far{number}"
        names = keys.keys_of(subject)
        index = keys.subjects_index(root.removeprefix("gbe."), names.bucket).decode()
        delays = keys.delays_index(names.bucket % 4).decode()
        own, master = cluster.master_of(stream_of(subject)), cluster.master_of(index)
        if own is not master is cluster.master_of(delays):
            return subject, index
    return None


async def test_a_cluster_that_is_down_for_a_while_is_waited_for(
    redis_cluster: RedisCluster, cluster_clients: Clients
) -> None:
    """``CLUSTERDOWN``: a master and its replica are gone, so nobody serves anything; then they are back."""
    load = await new_load(cluster_clients)
    async with load.flowing(2500):
        await load.reached(600)
        with load.account.disturbance(3.0):
            master = await asyncio.to_thread(redis_cluster.master_of, stream_of(load.subjects[0]))
            replica = await asyncio.to_thread(redis_cluster.replica_of, master)
            await asyncio.to_thread(replica.kill)
            await asyncio.to_thread(master.kill)
            others = [node for node in redis_cluster.nodes if node.answers]
            await eventually(lambda: b"cluster_state:fail" in others[0].call("CLUSTER", "INFO"), "the cluster is down")
            await asyncio.sleep(0.5)
            await asyncio.to_thread(redis_cluster.start)


async def test_a_cluster_that_stays_down_fails_publishes_in_time(
    redis_cluster: RedisCluster, cluster_clients: Clients
) -> None:
    """With the reason."""
    transport = await cluster_clients.open(request_timeout=1.0)
    subject = f"{await new_root(transport)}.x"
    await transport.publish(subject, b"")
    victim = next(
        node
        for node in redis_cluster.nodes[:]
        if node is not redis_cluster.master_of(stream_of(subject)) and _is_master(redis_cluster, node)
    )
    replica = redis_cluster.replica_of(victim)
    await asyncio.to_thread(replica.kill)
    await asyncio.to_thread(victim.kill)
    owner = redis_cluster.master_of(stream_of(subject))
    await eventually(lambda: b"cluster_state:fail" in owner.call("CLUSTER", "INFO"), "the cluster is down")
    with pytest.raises(TransportUnavailableError, match=r"CLUSTERDOWN|did not confirm"):
        await transport.publish(subject, b"", timeout=1.0)
    with pytest.raises(TransportUnavailableError):
        await transport.read(subject)


def _is_master(cluster: RedisCluster, node: RedisProcess) -> bool:
    return node.info("replication")["role"] == "master"


async def test_delayed_messages_come_through_a_failover_and_a_migration(
    redis_cluster: RedisCluster, cluster_clients: Clients
) -> None:
    """Never early, never twice, and none is missing."""
    transport, other = await cluster_clients.open(), await cluster_clients.open()
    root = await new_root(transport)
    due: dict[str, int] = {}
    async with other.tail([f"{root}.*"]) as tail:
        now = time.time_ns() // 1_000_000
        for number in range(60):
            moment = now + 800 + 50 * number
            due[await transport.publish(f"{root}.d{number % 3}", b"", deliver_at=moment)] = moment
        master = await asyncio.to_thread(redis_cluster.master_of, stream_of(f"{root}.d0"))
        await asyncio.to_thread(redis_cluster.failover, master)
        await asyncio.to_thread(redis_cluster.migrate_slot, stream_of(f"{root}.d1"), batch=1, pause=0.05)
        seen = await take(aiter(tail), len(due))
    assert Counter(message.envelope.id for message in seen) == Counter(due.keys())
    for message in seen:
        assert message.position is not None
        assert message.position.major >= due[message.envelope.id]


async def test_a_subject_that_is_new_while_its_slot_moves(
    redis_cluster: RedisCluster, cluster_clients: Clients
) -> None:
    """Neither node has all of its keys: it waits, and is stored once the slot has arrived."""
    transport, other = await cluster_clients.open(), await cluster_clients.open()
    root = await new_root(transport)
    ballast = [f"{{{stream_of(f'{root}.x')}}}:ballast{number}" for number in range(20)]
    master = await asyncio.to_thread(redis_cluster.master_of, stream_of(f"{root}.x"))
    for key in ballast:
        master.call("SET", key, "x")
    async with other.consume(f"{root}.*", "g", OPTIONS) as member:
        moving = asyncio.create_task(
            asyncio.to_thread(redis_cluster.migrate_slot, stream_of(f"{root}.x"), batch=1, pause=0.05)
        )
        ids = [await transport.publish(f"{root}.x", b"") for _ in range(10)]
        seen = await take(aiter(member), 10)
        assert [delivery.envelope.id for delivery in seen] == ids
        await moving


async def test_the_registry_moves(redis_cluster: RedisCluster, cluster_clients: Clients) -> None:
    """The slots of the streams' names and of an index: their channels move with them."""
    transport, other = await cluster_clients.open(), await cluster_clients.open()
    root = await new_root(transport)
    async with other.consume(f"{root}.*", "g", OPTIONS) as member, other.tail([f"{root}.*"]) as tail:
        source, reader = aiter(member), aiter(tail)
        for number in range(3):
            subject = f"{root}.fresh{number}"
            index = keys.subjects_index(root.removeprefix("gbe."), keys.keys_of(subject).bucket).decode()
            for key in (keys.STREAMS.decode(), index):
                await asyncio.to_thread(redis_cluster.migrate_slot, key)
            id = await transport.publish(subject, b"")
            assert (await take(source, 1))[0].envelope.id == id
            assert (await take(reader, 1))[0].envelope.id == id
        later = await new_root(transport)
        await other.publish(f"{later}.x", b"")


async def test_addresses_of_the_wrong_kind_are_told_apart(
    redis_cluster: RedisCluster, redis_server: RedisProcess
) -> None:
    """``redis://`` of a node of a cluster, and ``redis+cluster://`` of a single server: each says what it should be."""
    with pytest.raises(UnsupportedEngineError, match=r"redis\+cluster://"):
        await RedisTransport.open(config_for(redis_cluster.nodes[0].url))
    with pytest.raises(UnsupportedEngineError, match="no cluster: name it as redis://"):
        await RedisTransport.open(config_for(redis_server.url.replace("redis://", "redis+cluster://")))


async def test_a_cluster_is_found_through_any_of_its_nodes(
    redis_cluster: RedisCluster, redis_server: RedisProcess
) -> None:
    """One address is enough, a replica's too, and dead ones beside it do no harm."""
    master = redis_cluster.master_of(0)
    replica = redis_cluster.replica_of(master)
    dead = free_port()
    url = f"redis+cluster://127.0.0.1:{dead},{replica.address}"
    async with await RedisTransport.open(config_for(url)) as transport:
        root = await new_root(transport)
        for number in range(20):
            await transport.publish(f"{root}.s{number}", b"")
        assert await transport.ping() < 5.0
