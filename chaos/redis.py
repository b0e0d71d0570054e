"""Redis under load with things going wrong, counted as Jepsen's total-queue counts: ``python -m chaos.redis``.

    python -m chaos.redis                           # 200,000 messages on a cluster, and as many on a single server
    python -m chaos.redis --quick                   # a few thousand each
    python -m chaos.redis --on cluster --messages 50000 --seed 17

Publishers and the members of a group run in several clients, some members in processes of their own. Meanwhile, in
turn: a server is killed and started again on its append-only file; in the cluster a master is killed and replaced, a
replica takes over in peace, the slot of a stream in use moves; a member's process is frozen past its ack timeout, and
another is killed and replaced; a proxy cuts connections, delays them, and lets them go silent.

It prints the account, and fails (exit 1) if a message that was confirmed did not come out (lost), one came out that
nobody attempted (unexpected), or one came twice without a reason that the contract knows: its first delivery was not
answered in time, or a connection, server or member was lost meanwhile.

The cluster is used with ``wait_replicas=1``. Without it, Redis confirms what its replica may not have yet, and an
election forgets that: asynchronous replication's loss, not the transport's. For the same reason no master is frozen
through an election: once thawed it confirms what waits in its sockets before it learns that it is replaced.
"""

import argparse
import asyncio
import itertools
import logging
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tests.proxy import TcpProxy
from tests.redis_engines import RedisCluster, RedisProcess
from tests.redis_member import Member
from tests.total_queue import Account, history
from tests.waiting import eventually

from gbe.errors import TransportUnavailableError
from gbe.ids import new_ulid
from gbe.redis import connection
from gbe.redis.config import Address, RedisConfig
from gbe.transport.base import EARLIEST, ConsumeOptions, Delivery, StreamConfig, Tail
from gbe.transport.redis import keys
from gbe.transport.redis.transport import RedisTransport

ACK_TIMEOUT: Final = 3.0
ROOT: Final = "gbe.chaos"
SUBJECTS: Final = tuple(f"{ROOT}.s{number}" for number in range(12))
GROUP: Final = "g"
_PATIENCE: Final = 180.0
_AFTERMATH: Final = 2.0  # seconds for which a fault may show after it has ended

Fault = Callable[[], Awaitable[None]]


@dataclass
class Run:
    """One run: an engine, its clients, and the books."""

    url: str
    folder: Path
    dice: random.Random
    messages: int
    account: Account = field(default_factory=lambda: Account(ACK_TIMEOUT))
    started: float = field(default_factory=time.monotonic)
    members: list[Member] = field(default_factory=list)
    journals: list[Path] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    processes: ExitStack = field(default_factory=ExitStack)
    is_over: bool = False

    def say(self, text: str) -> None:
        """A line with the time and how far the publishers are."""
        seconds, count = time.monotonic() - self.started, len(self.account.acknowledged)
        print(f"{seconds:7.1f} s  {count:>7} confirmed  {text}", flush=True)

    # -- the load

    async def publish(self, transport: RedisTransport, numbers: Iterator[int]) -> None:
        """Publish one after the other: four of five until they are confirmed, the others once."""
        for number in numbers:
            if self.is_over and number >= self.messages:
                return
            id = new_ulid()
            self.account.attempted.add(id)
            is_patient = number % 5 > 0
            while id not in self.account.acknowledged:
                try:
                    subject = SUBJECTS[number % len(SUBJECTS)]
                    await transport.publish(subject, b"%d" % number, id=id, timeout=10.0 if is_patient else 1.0)
                    self.account.acknowledged.add(id)
                except TransportUnavailableError:
                    if not is_patient:
                        break  # nobody will know
                    await asyncio.sleep(0.05)

    async def handle(self, delivery: Delivery) -> None:
        """As a member in this process."""
        handling = self.account.handed(delivery, "here")
        await asyncio.sleep(0)
        with suppress(TransportUnavailableError):
            await delivery.ack()
        handling.ended = time.monotonic()

    async def follow(self, tail: Tail) -> None:
        """Note what a tail shows."""
        async for message in tail:
            self.shown.append(message.envelope.id)

    async def start_member(self) -> None:
        """One more member in a process of its own."""
        journal = self.folder / f"member{len(self.journals)}.journal"
        member = await asyncio.to_thread(
            Member, self.url, f"{ROOT}.*", GROUP, journal, ack_timeout=ACK_TIMEOUT, concurrency=50, work=0.01
        )
        self.processes.callback(member.kill)
        self.members.append(member)
        self.journals.append(journal)

    # -- what goes wrong

    async def freeze_a_member(self) -> None:
        """SIGSTOP, past its ack timeout; then it works on."""
        member = self.dice.choice(self.members)
        member.freeze()
        await asyncio.sleep(2 * ACK_TIMEOUT)
        member.thaw()

    async def kill_a_member(self) -> None:
        """SIGKILL with messages in hand; another takes its place."""
        self.members.pop(self.dice.randrange(len(self.members))).kill()
        await self.start_member()

    async def confirmed(self, count: int) -> None:
        """Wait until so many more publishes are confirmed."""
        confirmed = self.account.acknowledged
        wanted = len(confirmed) + count
        await eventually(lambda: len(confirmed) >= wanted, f"{wanted} messages", within=_PATIENCE)

    async def suffer(self, faults: dict[str, Fault], rounds: int) -> None:
        """Everything that can go wrong, so many times, in any order, with some messages in between."""
        plan = [name for _ in range(rounds) for name in self.dice.sample(sorted(faults), len(faults))]
        for name in plan:
            await self.confirmed(self.messages // (len(plan) + 1))
            self.say(name)
            with self.account.disturbance(_AFTERMATH):
                await faults[name]()


def faults_of_connections(proxies: Sequence[TcpProxy]) -> dict[str, Fault]:
    """What proxies can do."""

    async def cut() -> None:
        for _ in range(5):
            for proxy in proxies:
                proxy.cut()
            await asyncio.sleep(0.2)

    async def delay() -> None:
        for proxy in proxies:
            proxy.delay = 0.1
        await asyncio.sleep(3.0)
        for proxy in proxies:
            proxy.delay = 0.0

    async def stall(word: bytes = b"") -> None:
        for proxy in proxies:
            proxy.stall(word)
        await asyncio.sleep(4.0)

    return {
        "connections cut, five times": cut,
        "connections delayed by 0.1 s each way": delay,
        "connections half open": stall,
        "connections for wake-ups half open": lambda: stall(b"SSUBSCRIBE"),
    }


def faults_of_a_server(server: RedisProcess) -> dict[str, Fault]:
    """What can become of a single server with an append-only file."""

    async def restart() -> None:
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)

    async def freeze() -> None:
        server.freeze()
        await asyncio.sleep(2.5)
        server.thaw()

    async def forget() -> None:
        await asyncio.to_thread(server.call, "SCRIPT", "FLUSH")

    return {"kill -9 and restart of the server": restart, "server frozen for 2.5 s": freeze, "scripts flushed": forget}


def faults_of_a_cluster(cluster: RedisCluster, dice: random.Random) -> dict[str, Fault]:
    """What can become of a cluster: always of the master of a stream in use."""

    def stream() -> str:
        return keys.keys_of(dice.choice(SUBJECTS)).stream.decode()

    def replace_a_master() -> None:
        key = stream()
        cluster.master_of(key).kill()
        cluster.master_of(key)
        time.sleep(1.0)
        cluster.start()

    def restart_a_master() -> None:
        cluster.master_of(stream()).kill()
        cluster.start()

    def fail_over() -> None:
        cluster.failover(cluster.master_of(stream()))
        cluster.wait_ok()

    def migrate() -> None:
        cluster.migrate_slot(stream(), batch=20, pause=0.001)
        cluster.wait_ok()

    work = {
        "kill -9 of a master, its replica elected, then restart": replace_a_master,
        "kill -9 and restart of a master": restart_a_master,
        "failover": fail_over,
        "migration of a hot slot": migrate,
    }
    return {name: lambda one=one: asyncio.to_thread(one) for name, one in work.items()}  # type: ignore[misc]


@asynccontextmanager
async def proxied(nodes: Sequence[RedisProcess]) -> AsyncIterator[list[TcpProxy]]:
    """A proxy in front of each node, through which all clients of this process go, whatever a cluster tells them."""
    async with AsyncExitStack() as stack:
        proxies = {node.port: await stack.enter_async_context(TcpProxy(node.port, "redis")) for node in nodes}
        make = connection.make
        connection.make = lambda config, address: make(config, Address(address.host, proxies[address.port].port))
        try:
            yield list(proxies.values())
        finally:
            connection.make = make


async def flow(run: Run, config: RedisConfig, faults: dict[str, Fault], arguments: argparse.Namespace) -> bool:
    """Let messages flow while things go wrong, drain, and balance the books; whether they are in order."""
    account = run.account
    async with AsyncExitStack() as stack:
        stack.enter_context(run.processes)
        clients = [await stack.enter_async_context(await RedisTransport.open(config)) for _ in range(6)]
        await clients[0].ensure_stream(StreamConfig(name="chaos", subjects=(f"{ROOT}.*",)))
        options = ConsumeOptions(start=EARLIEST, ack_timeout=ACK_TIMEOUT, max_deliver=1000, batch_size=50)
        tasks = []
        for client in clients[3:5]:
            member = await stack.enter_async_context(client.consume(f"{ROOT}.*", GROUP, options))
            tasks.append(asyncio.create_task(member.run(run.handle, concurrency=50)))
        tail = await stack.enter_async_context(clients[5].tail([f"{ROOT}.*"]))
        tasks.append(asyncio.create_task(run.follow(tail)))
        for _ in range(3):
            await run.start_member()
        run.started = time.monotonic()
        numbers = itertools.count()
        publishing = [
            asyncio.create_task(run.publish(clients[number % 3], numbers)) for number in range(arguments.publishers)
        ]
        try:
            faults = faults | {"a member frozen past its ack timeout": run.freeze_a_member}
            faults["kill -9 of a member"] = run.kill_a_member
            await run.suffer(faults, arguments.rounds)
            run.is_over = True
            await asyncio.gather(*publishing)
            run.say("all published")
            await eventually(lambda: _is_drained(clients[0]), "the group to be done", within=_PATIENCE, interval=0.2)
            stored = {message.envelope.id for subject in SUBJECTS for message in await history(clients[0], subject)}
            await eventually(lambda: stored <= set(run.shown), "the tail", within=_PATIENCE, interval=0.2)
        finally:
            for task in (*publishing, *tasks):
                task.cancel()
            await asyncio.gather(*publishing, *tasks, return_exceptions=True)
            for member in run.members:
                await asyncio.to_thread(member.leave)
    for journal in run.journals:
        account.read_journal(journal)
    run.say("drained")
    print(account.report())
    print(f"{'stored':<48}{len(stored):>10}")
    print(f"{'  acknowledged and not stored':<48}{len(account.acknowledged - stored):>10}")
    print(f"{'shown by a tail':<48}{len(set(run.shown)):>10}")
    print(f"{'  twice':<48}{len(run.shown) - len(set(run.shown)):>10}")
    return account.is_sound and account.acknowledged <= stored <= set(run.shown)


async def _is_drained(transport: RedisTransport) -> bool:
    try:
        lag = await transport.lag(f"{ROOT}.*", GROUP)
    except TransportUnavailableError:
        return False
    return lag.pending + lag.unacknowledged == 0


async def on_a_server(arguments: argparse.Namespace) -> bool:
    """Everything that can happen to a single server."""
    with (
        tempfile.TemporaryDirectory(prefix="gbe-chaos-") as folder,
        RedisProcess(Path(folder) / "redis", fsync="always") as server,
    ):
        async with proxied([server]) as proxies:
            run = Run(server.url, Path(folder), random.Random(arguments.seed), arguments.messages)
            faults = faults_of_a_server(server) | faults_of_connections(proxies)
            return await flow(run, config_for(server.url), faults, arguments)


async def on_a_cluster(arguments: argparse.Namespace) -> bool:
    """Everything that can happen to three masters and three replicas."""
    with (
        tempfile.TemporaryDirectory(prefix="gbe-chaos-") as folder,
        RedisCluster(Path(folder), fsync="always", node_timeout_ms=1500) as cluster,
    ):
        async with proxied(cluster.nodes) as proxies:
            run = Run(cluster.url, Path(folder), random.Random(arguments.seed), arguments.messages)
            faults = faults_of_a_cluster(cluster, run.dice) | faults_of_connections(proxies)
            config = replace(config_for(cluster.url), wait_replicas=1)
            return await flow(run, config, faults, arguments)


def config_for(url: str) -> RedisConfig:
    """Patient with the engine, impatient with connections."""
    return RedisConfig(url=url, publish_timeout=30.0, request_timeout=20.0, stall_timeout=1.0, poll_interval=0.5)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", choices=("cluster", "server", "both"), default="both")
    parser.add_argument("--messages", type=int, default=200_000, help="how many are attempted at least")
    parser.add_argument("--rounds", type=int, default=2, help="how often each thing goes wrong")
    parser.add_argument("--publishers", type=int, default=64, help="publishes in flight")
    parser.add_argument("--quick", action="store_true", help="3,000 messages, each thing goes wrong once")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 100_000)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.messages, arguments.rounds = 3000, 1
    logging.basicConfig(level=logging.ERROR)
    print(f"seed {arguments.seed}")
    are_fine = []
    for name, work in (("cluster", on_a_cluster), ("server", on_a_server)):
        if arguments.on in (name, "both"):
            print(f"on a {name}: {arguments.messages} messages")
            are_fine.append(asyncio.run(work(arguments)))
            print(f"on a {name}: {'sound' if are_fine[-1] else 'NOT SOUND'}\n")
    sys.exit(0 if all(are_fine) else 1)


if __name__ == "__main__":
    main()
