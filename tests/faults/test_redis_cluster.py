"""Nodes of a Redis cluster are killed and replaced, slots move, and nobody who uses a transport has to care."""

import asyncio

import pytest
from tests.faults.redis_faults import Clients, new_load
from tests.redis_engines import RedisCluster

from gbe.transport.redis import keys

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
