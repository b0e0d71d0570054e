"""The state store on clusters: leaders change, slots move, and whoever counts in shared records does not notice."""

import asyncio
from pathlib import Path

import pytest
from tests.counters import NOW, Counters
from tests.nats_cluster import PASSWORD, USER, Cluster
from tests.redis_engines import MEMORYDB_RULES, RedisCluster
from tests.waiting import eventually

from gbe.redis.config import RedisConfig
from gbe.state.base import Changed, StateStore
from gbe.state.nats.store import NatsStateStore
from gbe.state.redis.keys import Buckets
from gbe.state.redis.store import RedisStateStore
from gbe.transport.embedded import EmbeddedEngine
from gbe.transport.nats.config import NatsConfig
from gbe.transport.open import embedded_endpoint

pytestmark = pytest.mark.fault

KEYS = [f"gbe.n.{number}" for number in range(3)]


class Follower:
    """A watcher that keeps a copy, and reads it anew when it is told to."""

    def __init__(self, state: StateStore, prefix: str) -> None:
        self.state, self.prefix = state, prefix
        self.known: dict[str, dict[str, bytes] | None] = {}
        self.ready = asyncio.Event()

    async def run(self) -> None:
        async with self.state.watch(self.prefix) as watch:
            self.ready.set()
            async for event in watch:
                if isinstance(event, Changed):
                    self.known[event.key] = event.fields
                else:
                    self.known = {record.key: record.fields async for record in self.state.scan(self.prefix)}


async def knows_everything(follower: Follower, task: asyncio.Task[None]) -> None:
    """Wait until the copy is what is stored."""
    expected = {record.key: record.fields async for record in follower.state.scan(follower.prefix)}
    await eventually(lambda: task.done() or follower.known == expected, "the watcher knows what is stored")
    assert follower.known == expected


async def open_nats(cluster: Cluster, *servers: int) -> NatsStateStore:
    urls = tuple(f"nats://{USER}:{PASSWORD}@{cluster.servers[number].address}" for number in servers)
    nats = NatsConfig(urls=urls, request_timeout=60.0, retry_after=1.0, ping_interval=1.0)
    return await NatsStateStore.open(nats, replicas=3)


async def test_three_nats_servers(tmp_path: Path) -> None:
    """Leaders step down and die, clients are on different servers."""
    async with (
        Cluster(tmp_path) as cluster,
        await open_nats(cluster, 0, 1) as one,
        await open_nats(cluster, 2) as other,
    ):
        follower = Follower(other, "gbe")
        task = asyncio.create_task(follower.run())
        await follower.ready.wait()
        counters = Counters(KEYS)
        async with counters.counting([one, other], times=60):
            await counters.reached(80)
            await cluster.step_down("KV_gbe-state")
            await counters.reached(160)
            leader = await cluster.leader_of("KV_gbe-state")
            leader.kill()
            await counters.reached(240)
            leader.spawn()
            await cluster.is_whole()
        for store in (one, other):
            due = await store.due("timeout_at", NOW, limit=100)
            assert {record.key for record in due} == set(KEYS)
            assert {record.key async for record in store.scan("gbe")} == set(KEYS)
        await knows_everything(follower, task)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_redis_cluster(tmp_path: Path) -> None:
    """A replica takes over in peace, and a bucket moves to another master while it is written and watched."""
    with RedisCluster(tmp_path, fsync="always", acl=MEMORYDB_RULES) as cluster:
        config = RedisConfig(url=cluster.user_url, request_timeout=60.0, stall_timeout=1.0)
        async with await RedisStateStore.open(config) as one, await RedisStateStore.open(config) as other:
            follower = Follower(other, "gbe")
            task = asyncio.create_task(follower.run())
            await follower.ready.wait()
            slots = [Buckets("gbe-state").of(key).slot for key in KEYS]
            counters = Counters(KEYS)
            async with counters.counting([one, other], times=400):
                await counters.reached(200)
                await asyncio.to_thread(cluster.migrate_slot, slots[0], pause=0.05, batch=1)
                await counters.reached(counters.done + 200)
                await asyncio.to_thread(lambda: cluster.failover(cluster.master_of(slots[1])))
                await counters.reached(counters.done + 200)
            due = await one.due("timeout_at", NOW, limit=100)
            assert {record.key for record in due} == set(KEYS)
            await knows_everything(follower, task)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_the_embedded_engine(tmp_path: Path) -> None:
    """The state store attaches to it as the transport does; what it stored is there after a restart."""
    async with EmbeddedEngine(tmp_path / "data"):
        endpoint = embedded_endpoint(tmp_path / "data")
        async with await NatsStateStore.open(NatsConfig(**endpoint)) as store:  # type: ignore[arg-type]
            await store.put("gbe.a", {"n": b"1", "timeout_at": b"5"})
    async with EmbeddedEngine(tmp_path / "data"):
        endpoint = embedded_endpoint(tmp_path / "data")
        async with await NatsStateStore.open(NatsConfig(**endpoint)) as store:  # type: ignore[arg-type]
            assert await store.get("gbe.a") == {"n": b"1", "timeout_at": b"5"}
            assert [record.key for record in await store.due("timeout_at", 5)] == ["gbe.a"]
