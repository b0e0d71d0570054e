"""One command on its way: on a real server, and through what a cluster may answer."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from hiredis import ReplyError
from tests.engines import free_port
from tests.redis_engines import RedisProcess
from tests.waiting import CLOCKS_DIFFER, PATIENCE

from gbe.redis.call import Call
from gbe.redis.client import RedisClient
from gbe.redis.config import Address, RedisConfig
from gbe.redis.errors import (
    RedisClosedError,
    RedisFullError,
    RedisRefusedError,
    RedisUnavailableError,
)
from gbe.redis.protocol import Argument, Reply, pack
from gbe.redis.scripts import script
from gbe.redis.topology import slot_of

ADD = script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
SOON = 0.3


# -- on a real server


async def test_a_script_that_the_server_has_forgotten_is_sent_again(server: RedisProcess, client: RedisClient) -> None:
    """Whether it never knew it or was told to forget."""
    for expected in (1, 2, 3):
        server.call("SCRIPT", "FLUSH")
        assert await client.run(ADD, [b"forgotten"], [1]) == expected
    assert await client.run(ADD, [b"forgotten"], [1]) == 4


async def test_commands_of_one_step_keep_their_order(client: RedisClient) -> None:
    """Each caller gets the answer to its own."""
    replies = await asyncio.gather(*(client.run(ADD, [b"in order"], [1]) for _ in range(500)))
    assert replies == list(range(1, 501))


async def test_an_answer_that_does_not_come_in_time_is_an_error_at_the_deadline(
    server: RedisProcess, client: RedisClient
) -> None:
    """It may have been carried out; and the next one works when the server is back."""
    server.freeze()
    try:
        started = time.monotonic()
        with pytest.raises(RedisUnavailableError, match="did not answer in time") as caught:
            await client.call("INCR", "late", timeout=SOON)
        assert SOON - CLOCKS_DIFFER <= time.monotonic() - started < PATIENCE
        assert caught.value.maybe_done
    finally:
        server.thaw()
    assert await client.call("INCR", "late") >= 1


async def test_a_server_that_is_not_there_is_an_error_at_the_deadline() -> None:
    config = RedisConfig(url=f"redis://127.0.0.1:{free_port()}", connect_timeout=SOON)
    started = time.monotonic()
    with pytest.raises(RedisUnavailableError, match=r"127\.0\.0\.1"):
        await RedisClient.open(config)
    assert time.monotonic() - started < PATIENCE


async def test_a_closed_client_says_so(server: RedisProcess) -> None:
    """To those who come later, and to those who wait."""
    client = await RedisClient.open(RedisConfig(url=server.url))
    server.freeze()
    try:
        waiting = asyncio.create_task(client.call("GET", "x", timeout=30))
        await asyncio.sleep(0.05)
        await client.close()
        with pytest.raises(RedisClosedError):
            await waiting
    finally:
        server.thaw()
    with pytest.raises(RedisClosedError):
        await client.call("GET", "x")
    await client.close()


async def test_an_error_of_the_command_itself_is_final(client: RedisClient) -> None:
    await client.call("SET", "text", "x")
    with pytest.raises(ReplyError, match="not an integer"):
        await client.call("INCR", "text")


async def test_a_cancelled_caller_takes_nobody_elses_answer(client: RedisClient) -> None:
    """The answers behind it still go to those who asked."""
    first = asyncio.create_task(client.call("ECHO", "first", slot=0))
    second = asyncio.create_task(client.call("ECHO", "second", slot=0))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == b"second"


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisProcess]:
    """One that a test may fill, kill and start again."""
    with RedisProcess(tmp_path / "own", acl=("~*", "&*", "+@all", "-incr")) as engine:
        yield engine


@pytest.fixture
async def own_client(own_server: RedisProcess) -> AsyncIterator[RedisClient]:
    client = await RedisClient.open(RedisConfig(url=own_server.user_url, reconnect_wait=0.01))
    yield client
    await client.close()


async def test_a_full_server_and_a_missing_permission_are_told_apart(
    own_server: RedisProcess, own_client: RedisClient
) -> None:
    """Both at once."""
    own_server.call("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(RedisFullError, match="OOM"):
        await own_client.call("SET", "x", "y")
    with pytest.raises(RedisRefusedError, match="NOPERM"):
        await own_client.call("INCR", "x")


async def test_a_command_outlives_a_restart(own_server: RedisProcess, own_client: RedisClient) -> None:
    """It waits for the server, and is carried out."""
    await asyncio.to_thread(own_server.kill)
    pending = asyncio.create_task(own_client.call("SET", "kept", "y", timeout=30))
    await asyncio.sleep(0.1)
    await asyncio.to_thread(own_server.start)
    assert await pending == b"OK"


async def test_nobody_is_told_of_a_lost_answer_that_nobody_asked_for(
    own_server: RedisProcess, own_client: RedisClient
) -> None:
    """A command that was sent ahead, and is left alone when its sender ends."""
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    own_server.freeze()
    try:
        own_client.start("GET", "x").may_be_left()
        await own_client.close()
        await asyncio.sleep(0)
        gc.collect()
    finally:
        own_server.thaw()
    assert told == []


async def test_wrong_credentials_fail_at_once_and_stay_secret(own_server: RedisProcess) -> None:
    for url in (own_server.url, own_server.url.replace("://", "://gbe:hunter2@")):
        started = time.monotonic()
        with pytest.raises(RedisRefusedError) as caught:
            await RedisClient.open(RedisConfig(url=url))
        assert time.monotonic() - started < PATIENCE
        assert "hunter2" not in str(caught.value)


async def test_a_single_server_is_no_cluster(server: RedisProcess) -> None:
    """The text says how to name it."""
    with pytest.raises(RedisRefusedError, match="name it as redis://"):
        await RedisClient.open(RedisConfig(url=f"redis+cluster://{server.address}"))


# -- what a cluster may answer

HERE, THERE = Address("here", 1), Address("there", 2)


class FakeLink:
    """Answers with what a test has prepared, and remembers what it was sent."""

    def __init__(self, answers: Sequence[Reply]) -> None:
        self.answers, self.sent = list(answers), list[bytes]()
        self.retirements = 0

    def retire(self) -> None:
        self.retirements += 1

    def send(self, command: bytes) -> "asyncio.Future[Reply]":
        self.sent.append(command)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        future.set_result(b"OK" if command == pack("ASKING") else self.answers.pop(0))
        return future


class FakeNetwork:
    """Two nodes, and the map of their slots."""

    is_closed = False

    def __init__(self, here: Sequence[Reply], there: Sequence[Reply] = ()) -> None:
        self.links = {HERE: FakeLink(here), THERE: FakeLink(there)}
        self.waiting = FakeLink([])
        self.owner: Address | None = HERE
        self.moves: list[tuple[int, Address]] = []
        self.refreshes = 0

    def link(self, address: Address, use: str = "") -> FakeLink:
        return self.waiting if use else self.links[address]

    def wait_command(self, replicas: int) -> bytes:
        return pack("WAIT", replicas, 100)

    def moved(self, slot: int, owner: Address) -> None:
        self.moves.append((slot, owner))
        self.owner = owner

    def refresh_soon(self) -> None:
        self.refreshes += 1


async def result(network: FakeNetwork, *command: Argument, seconds: float = 5.0, replicas: int = 0) -> Reply:
    call = Call(
        network,  # type: ignore[arg-type]  # its links are ours
        command,
        lambda: network.owner,
        slot=slot_of(b"k"),
        replicas=replicas,
    )
    return await call.result(asyncio.get_running_loop().time() + seconds)


async def test_a_slot_that_moved_is_followed_and_remembered() -> None:
    network = FakeNetwork([ReplyError("MOVED 7629 there:2")], [b"value"])
    assert await result(network, "GET", "k") == b"value"
    assert network.moves == [(slot_of(b"k"), THERE)]
    assert network.links[THERE].sent == [pack("GET", "k")]


async def test_a_node_that_moved_to_itself_without_a_host_is_the_one_that_was_asked() -> None:
    network = FakeNetwork([ReplyError("MOVED 7629 :2")])
    network.links[Address("here", 2)] = FakeLink([b"value"])
    assert await result(network, "GET", "k") == b"value"


async def test_a_slot_on_its_way_is_asked_for_once() -> None:
    """The map stays as it is."""
    network = FakeNetwork([ReplyError("ASK 7629 there:2"), b"again here"], [b"value"])
    assert await result(network, "GET", "k") == b"value"
    assert network.links[THERE].sent == [pack("ASKING"), pack("GET", "k")]
    assert network.moves == []
    assert await result(network, "GET", "k") == b"again here"


@pytest.mark.parametrize(
    "code", ["TRYAGAIN", "CLUSTERDOWN", "LOADING", "READONLY", "MASTERDOWN", "UNBLOCKED", "BUSY", "NOREPLICAS"]
)
async def test_what_passes_is_waited_for(code: str) -> None:
    network = FakeNetwork([ReplyError(f"{code} for now"), ReplyError(f"{code} for now"), b"value"])
    assert await result(network, "GET", "k") == b"value"


async def test_a_script_that_met_a_key_on_its_way_is_tried_again() -> None:
    """The server says it in words of its own."""
    network = FakeNetwork([ReplyError("ERR Script attempted to access a non local key in a cluster node"), b"value"])
    assert await result(network, "GET", "k") == b"value"


async def test_a_server_that_has_become_a_replica_is_connected_to_anew() -> None:
    """Its name may be another server's by now; nothing else ends a connection."""
    network = FakeNetwork([ReplyError("READONLY replica"), ReplyError("LOADING"), b"value"])
    assert await result(network, "GET", "k") == b"value"
    assert network.links[HERE].retirements == 1


async def test_the_link_that_waits_for_replicas_is_connected_anew_when_it_leads_to_one() -> None:
    """That one, and not the one that others use."""
    network = FakeNetwork([])
    network.waiting = FakeLink([ReplyError("READONLY replica"), ReplyError("ERR WAIT cannot be used"), b"OK", 1])
    assert await result(network, "SET", "k", "v", replicas=1) == b"OK"
    assert (network.waiting.retirements, network.links[HERE].retirements) == (1, 0)


async def test_what_does_not_pass_is_an_error_at_the_deadline() -> None:
    """With the server's words; the command was not carried out."""
    network = FakeNetwork([ReplyError("LOADING the file")] * 50)
    with pytest.raises(RedisUnavailableError, match="LOADING the file") as caught:
        await result(network, "GET", "k", seconds=SOON)
    assert not caught.value.maybe_done


async def test_a_slot_that_nobody_serves_is_looked_for() -> None:
    network = FakeNetwork([])
    network.owner = None
    with pytest.raises(RedisUnavailableError, match="no node serves it"):
        await result(network, "GET", "k", seconds=SOON)
    assert network.refreshes > 1


async def test_too_few_replicas_make_another_attempt() -> None:
    """The command goes again, so that the next WAIT covers it; in the end nobody knows."""
    network = FakeNetwork([])
    network.waiting = FakeLink([b"OK", 0, b"OK", 1])
    assert await result(network, "SET", "k", "v", replicas=1) == b"OK"
    assert network.waiting.sent == [pack("SET", "k", "v"), pack("WAIT", 1, 100)] * 2
    network.waiting = FakeLink([b"OK", 0] * 50)
    with pytest.raises(RedisUnavailableError, match="0 of 1 replicas") as caught:
        await result(network, "SET", "k", "v", replicas=1, seconds=SOON)
    assert caught.value.maybe_done
