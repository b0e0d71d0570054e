"""A user of Redis with the rules of docs/redis.md, and nothing else: enough for everything, and none too many."""

import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.nats_cluster import everything
from tests.redis_engines import RedisCluster, RedisProcess
from tests.waiting import eventually, first, take

from gbe.errors import TransportUnavailableError, UnsupportedEngineError
from gbe.redis.config import RedisConfig
from gbe.transport.base import EARLIEST, ConsumeOptions, StreamConfig, Transport
from gbe.transport.redis.transport import RedisTransport

PAGE = Path(__file__).parents[2] / "docs" / "redis.md"
IN_A_CLUSTER_ONLY = {"cluster|slots", "asking"}
WHEN_SLOTS_MOVE_ONLY = {"asking"}


def documented_rules() -> tuple[str, ...]:
    """The rules of the page's ``ACL SETUSER``, without the user's name and password."""
    block = PAGE.read_text(encoding="utf-8").partition("<!-- acl:")[2].partition("```sh\n")[2].partition("```")[0]
    command = shlex.split(block.replace("\\\n", " "))
    assert command[:6] == ["redis-cli", "ACL", "SETUSER", "gbe", "on", ">s3cret"]
    return tuple(command[6:])


def commands_of(rules: Sequence[str]) -> set[str]:
    return {rule[1:] for rule in rules if rule.startswith("+")}


def called(node: RedisProcess) -> set[str]:
    """The commands that a server was asked for, scripts included."""
    stats = node.info("commandstats").items()
    return {key.removeprefix("cmdstat_") for key, value in stats if not value.startswith("calls=0")}


def refused(node: RedisProcess) -> list[Any]:
    """What a server refused to its users."""
    entries: list[Any] = node.call("ACL", "LOG", 100)
    return entries


async def whatever_else(transport: RedisTransport) -> None:
    """What ``everything`` leaves out: limits of a stream, age that comes and goes, delayed naks, idle subjects."""
    limited = StreamConfig(name="gbe-l", subjects=("gbe.l.>",), max_msgs=3, max_bytes=100_000)
    await transport.ensure_stream(limited)
    for number in range(5):
        await transport.publish(f"gbe.l.{number % 2}", b"%d" % number)
    assert sum([len(await transport.read(f"gbe.l.{number}")) for number in range(2)]) == 3
    await transport.ensure_stream(StreamConfig(name="gbe-l", subjects=("gbe.l.>",)))

    aged = StreamConfig(name="gbe-o", subjects=("gbe.o.>",), max_age=4.0)
    await transport.ensure_stream(aged)
    options = ConsumeOptions(start=EARLIEST, ack_timeout=1.0)
    async with transport.consume("gbe.o.*", "slow", options) as deliveries:
        id = await transport.publish("gbe.o.x", b"1")
        await (await first(deliveries)).nak(0.05)
        again = await first(deliveries)
        assert (again.envelope.id, again.attempt > 1) == (id, True)
        once_more = await first(deliveries)  # not answered
        assert once_more.attempt > again.attempt
        await once_more.ack()
    for number in range(3):
        await transport.publish("gbe.o.x", b"%d" % number)

    async def is_forgotten() -> bool:
        return (await transport.lag("gbe.o.*", "slow")).pending == 0

    await eventually(is_forgotten, "what is too old is no lag")
    await transport.ensure_stream(StreamConfig(name="gbe-o", subjects=("gbe.o.>",)))

    await transport._client.call("DEL", "gbe:o:x")  # as if its newest message were too old
    assert await transport._activity.forget(-1) == 1  # as it happens after ten minutes


async def open_with(url: str, **more: Any) -> RedisTransport:
    return await RedisTransport.open(RedisConfig(url=url, publish_timeout=30.0, request_timeout=20.0, **more))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisProcess]:
    with RedisProcess(tmp_path / "redis", acl=documented_rules()) as engine:
        yield engine


async def test_the_documented_rules_are_enough_and_none_is_idle(server: RedisProcess) -> None:
    """Every operation works on one server, nothing is refused, and every command of the page was called."""
    async with await open_with(server.user_url) as transport:
        await everything(transport)
        await whatever_else(transport)
        await works_for_patterns(transport)
    with RedisProcess(server.folder.parent / "replica", options=(f"replicaof 127.0.0.1 {server.port}",)) as replica:
        replica.call("CONFIG", "SET", "masteruser", "default")
        replica.call("CONFIG", "SET", "masterauth", server._configuration(0)[-1].split()[-1])
        await eventually(lambda: server.info("replication")["connected_slaves"] == "1", "there is a replica")
        async with await open_with(server.user_url, wait_replicas=1) as transport:
            await transport.publish("gbe.a.x", b"with a replica")
    assert refused(server) == []
    assert commands_of(documented_rules()) - called(server) == IN_A_CLUSTER_ONLY


async def works_for_patterns(transport: Transport) -> None:
    """Two members of one group and a tail, all of a pattern, meet subjects that come later."""
    options = ConsumeOptions(start=EARLIEST, batch_size=1, max_inflight=1)
    async with (
        transport.tail(["gbe.a.>"]) as tail,
        transport.consume("gbe.a.>", "pair", options) as one,
        transport.consume("gbe.a.>", "pair", options) as other,
    ):
        ids = [await transport.publish(f"gbe.a.new.{number}", b"") for number in range(4)]
        assert {message.envelope.id for message in await take(tail, 4)} == set(ids)
        for deliveries in (one, other):
            await (await first(deliveries)).ack()


async def test_the_documented_rules_are_enough_in_a_cluster(tmp_path: Path) -> None:
    """There too, while slots move and masters change."""
    rules = documented_rules()
    with RedisCluster(tmp_path, acl=rules) as cluster:
        async with await open_with(cluster.user_url, wait_replicas=1) as transport:
            await everything(transport)
            await whatever_else(transport)
            cluster.migrate_slot("gbe:a:x")
            cluster.failover(cluster.master_of("gbe:a:x"))
            await transport.publish("gbe.a.x", b"to the new master")
            await works_for_patterns(transport)
        assert [refused(node) for node in cluster.nodes] == [[] for _ in cluster.nodes]
        asked = set().union(*(called(node) for node in cluster.nodes))
    assert commands_of(rules) - asked <= WHEN_SLOTS_MOVE_ONLY


@pytest.mark.parametrize("missing", ["+info", "+ssubscribe", "~{gbe/*", "&{gbe/*", "+hgetall"])
async def test_a_server_that_refuses_what_is_needed_at_start_is_told_apart(tmp_path: Path, missing: str) -> None:
    """It is an error to open a transport there."""
    rules = tuple(rule for rule in documented_rules() if rule != missing)
    with (
        RedisProcess(tmp_path, acl=rules) as engine,
        pytest.raises((UnsupportedEngineError, TransportUnavailableError)),
    ):
        await RedisTransport.open(RedisConfig(url=engine.user_url, connect_timeout=3.0, request_timeout=3.0))


@pytest.mark.parametrize("missing", ["+xadd", "~gbe:*", "~{gbe:*", "&{gbe:*"])
async def test_a_missing_rule_is_an_error_of_the_publish(tmp_path: Path, missing: str) -> None:
    """At once, and not after a timeout in silence."""
    rules = tuple(rule for rule in documented_rules() if rule != missing)
    with RedisProcess(tmp_path, acl=rules) as engine:
        async with await open_with(engine.user_url) as transport:
            await transport.ensure_stream(StreamConfig(name="gbe-a", subjects=("gbe.a.>",)))
            started = time.monotonic()
            with pytest.raises(TransportUnavailableError, match=r"NOPERM|The user executing the script can't"):
                await transport.publish("gbe.a.x", b"")
            assert time.monotonic() - started < 10


async def test_other_namespaces_are_out_of_reach(server: RedisProcess) -> None:
    """A user of ``gbe`` stores nothing elsewhere."""
    async with await open_with(server.user_url) as transport:
        await transport.ensure_stream(StreamConfig(name="other-a", subjects=("other.a.>",)))
        with pytest.raises(TransportUnavailableError, match="NOPERM"):
            await transport.publish("other.a.x", b"")
