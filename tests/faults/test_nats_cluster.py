"""A cluster of three NATS servers: servers die, restart and lag, and nobody who uses a transport has to care."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.naming import unique
from tests.nats_cluster import PASSWORD, USER, Cluster, Server, Traffic, documented_permissions, everything, ids_of
from tests.waiting import eventually, next_millisecond, take

from gbe.transport.base import EARLIEST, LATEST, AfterId, FromTime, StreamConfig
from gbe.transport.nats.config import NatsConfig
from gbe.transport.nats.transport import NatsTransport

pytestmark = pytest.mark.fault


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Three servers, JetStream replicated, disks synced now and then."""
    async with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def nodes() -> AsyncIterator[AsyncExitStack]:
    """What the test opens is closed at its end, ahead of the cluster's."""
    async with AsyncExitStack() as stack:
        yield stack


async def node(nodes: AsyncExitStack, *servers: Server) -> NatsTransport:
    """A gbe that knows just these servers, credentials in their URLs."""
    config = NatsConfig(
        urls=tuple(f"nats://{USER}:{PASSWORD}@{server.address}" for server in servers),
        publish_timeout=60.0,
        request_timeout=30.0,
    )
    return await nodes.enter_async_context(await NatsTransport.open(config))


async def replicated(transport: NatsTransport) -> str:
    """A stream of the test's own with three copies; returns the root of its subjects."""
    name = unique()
    await transport.ensure_stream(StreamConfig(name=name, subjects=(f"gbe.{name}.*",), replicas=3))
    return f"gbe.{name}"


async def test_the_leader_dies_in_the_middle_of_everything(cluster: Cluster, nodes: AsyncExitStack) -> None:
    """No confirmed message is lost, tails show each once, and no caller sees an error.

    The publishing node knows only the server that dies; the cluster has told it of the others. The tails are those of
    another node, on another server.
    """
    first = await node(nodes, cluster.servers[0])
    root = await replicated(first)
    leader = await cluster.leader_of(root.removeprefix("gbe."))
    other = next(server for server in cluster.servers if server is not leader)
    publishing, following = await node(nodes, leader), await node(nodes, other)

    async with Traffic(publishing, following, root) as traffic:
        traffic.publish()
        await traffic.until(200)
        leader.kill()
        await traffic.until(400)
        leader.spawn()
        await cluster.is_whole()
        await traffic.until(200)
        await traffic.finish()

    assert traffic.errors == []


async def test_a_rolling_restart_disturbs_nobody(cluster: Cluster, nodes: AsyncExitStack) -> None:
    """Every server is stopped and started again under load, one after the other."""
    publishing, following = await node(nodes, cluster.servers[0]), await node(nodes, cluster.servers[1])
    root = await replicated(publishing)

    async with Traffic(publishing, following, root) as traffic:
        traffic.publish()
        for server in cluster.servers:
            await traffic.until(100)
            await server.stop()
            server.spawn()
            await cluster.is_whole()
        await traffic.until(100)
        await traffic.finish()

    assert traffic.errors == []


async def test_the_documented_permissions_are_enough_in_a_cluster(
    tmp_path: Path, nodes: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    """The table of docs/nats.md holds there too, its leaders included."""
    user = {"user": USER, "password": PASSWORD, "permissions": documented_permissions()}
    async with Cluster(tmp_path, {"authorization": {"users": [user]}}) as cluster, nodes:
        await everything(await node(nodes, *cluster.servers))
    assert "violation" not in caplog.text


async def test_tails_are_told_of_a_new_leader(cluster: Cluster, nodes: AsyncExitStack) -> None:
    """What its predecessor stored and did not republish any more is looked for then."""
    transport = await node(nodes, *cluster.servers)
    stream = (await replicated(transport)).removeprefix("gbe.")
    told = asyncio.Event()
    await transport._connection.on_new_leader(stream, told.set)

    async def told_of_the_next() -> bool:
        await cluster.step_down(stream)
        return told.is_set()

    # the engine announces a leader once: a server that has not heard of our subscription yet sends us nothing
    await eventually(told_of_the_next, "a new leader is announced", interval=0.5)


@dataclass(frozen=True)
class Lag:
    """A stream of which one server's replica is behind at this moment, and two nodes."""

    publishing: NatsTransport
    reading: NatsTransport  # through the server that lags
    subject: str
    early: str
    since: int  # unix ms, behind the early message
    ids: list[str]  # everything behind the early message, in order


@pytest.fixture
async def lag(cluster: Cluster, nodes: AsyncExitStack) -> Lag:
    """One server of three stood still while the others stored, and has just begun to run again."""
    root = await replicated(await node(nodes, *cluster.servers))
    leader = await cluster.leader_of(root.removeprefix("gbe."))
    behind = next(server for server in cluster.servers if server is not leader)
    publishing, reading = await node(nodes, leader), await node(nodes, behind)
    subject = f"{root}.x"
    early = await publishing.publish(subject, b"early")
    assert await reading.read(subject, start=LATEST)
    since = await next_millisecond()
    behind.freeze()
    try:
        for _ in range(10):
            await asyncio.gather(*(publishing.publish(f"{root}.bulk", b"x" * 2000) for _ in range(1000)))
        ids = [await publishing.publish(subject, b"x") for _ in range(10)]
    finally:
        behind.thaw()
    return Lag(publishing, reading, subject, early, since, ids)


async def test_a_replica_that_lags_hides_nothing_from_a_reader(lag: Lag) -> None:
    """What was confirmed before a read began is read, whichever server answers."""
    for _ in range(50):
        (latest,) = await lag.reading.read(lag.subject, start=LATEST)
        assert latest.envelope.id == lag.ids[-1]
        assert ids_of(await lag.reading.read(lag.subject, start=AfterId(lag.early))) == lag.ids
        assert await lag.reading.locate(lag.subject, lag.ids[-1]) == latest.position


async def test_a_replica_that_lags_hides_nothing_from_a_tail(lag: Lag) -> None:
    """Replay ends where live begins, also when the replica does not know yet what lies there and nothing follows."""
    for start, wanted in (
        (FromTime(lag.since), lag.ids),
        (AfterId(lag.early), lag.ids),
        (EARLIEST, [lag.early, *lag.ids]),
    ) * 5:
        async with lag.reading.tail([lag.subject], start) as literal:
            assert ids_of(await take(literal, len(wanted))) == wanted
    async with lag.reading.tail([lag.subject]) as literal:
        live = await lag.publishing.publish(lag.subject, b"live")
        assert ids_of(await take(literal, 1)) == [live]
    async with lag.reading.tail([f"{lag.subject.rpartition('.')[0]}.*"], EARLIEST) as wildcard:
        seen = [m.envelope.id for m in await take(wildcard, 10_012) if m.envelope.subject == lag.subject]
    assert seen == [lag.early, *lag.ids, live]
