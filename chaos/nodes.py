"""Two gbe nodes on one cluster, killed while clients publish and follow: ``python -m chaos.nodes [--engine …]``.

``python -m chaos.nodes --engine nats`` runs two ``gbe serve`` on a NATS cluster of three servers, ``--engine redis`` on
a Redis Cluster of three masters and three replicas (``redis.wait_replicas: 1``). Publishers number the messages of
their topic and send the next one when the last is answered, to whichever node answers; followers read a topic as ntfy's
clients do, and when they are hung up on they come back, to either node, ``since`` the last message they have. Meanwhile
the nodes are killed (SIGKILL) and started again, and so are servers of the engine. It fails (exit 1) unless

- every message that was confirmed reaches every follower of its topic,
- no follower gets one twice: neither the same id, unless it asked for it, nor the same number under another id,
- the confirmed messages of a topic come in the order in which they were published.

A publish without an answer may be stored or not, and is repeated under a number of its own.
"""

import argparse
import asyncio
import contextlib
import itertools
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import msgspec
import uvloop
from benchmarks.harness import say

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.engines import free_port
from tests.nats_cluster import PASSWORD, USER, Cluster
from tests.redis_engines import RedisCluster
from tests.tasks.processes import GbeProcess
from tests.waiting import eventually

HOST: Final = "127.0.0.1"
CONFIGURATION: Final = "gbe.yaml"
_PATIENCE: Final = 120.0
_ANSWER_PATIENCE: Final = 40.0
_PAUSE: Final = 0.2
_LONGEST: Final = 1800.0
_STREAMS: Final = ("notify-topic", "notify", "events", "events-api", "events-audit", "tasks", "deadletter")


class _Event(msgspec.Struct):
    event: str
    id: str = ""
    message: str = ""


_decoder: Final = msgspec.json.Decoder(_Event)


@dataclass
class Books:
    """What was said and heard. Numbers are those of messages, by topic, in the order in which they were confirmed."""

    confirmed: dict[str, list[int]] = field(default_factory=dict)
    unanswered: Counter[str] = field(default_factory=Counter)
    hung_up: int = 0
    received: int = 0
    again: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Messages confirmed so far."""
        return sum(map(len, self.confirmed.values()))


class Node:
    """One ``gbe serve``, on a port that it keeps."""

    def __init__(self, name: str, url: str, folder: Path, settings: dict[str, str]) -> None:
        self.name, self.port = name, free_port()
        self._url, self._log, self._configuration = url, folder / f"{name}.log", folder / CONFIGURATION
        self._settings = settings | {
            "GBE_LISTEN": f"{HOST}:{self.port}",
            "GBE_LOG_LEVEL": "warning",
            "GBE_NOTIFY_VISITOR_REQUEST_LIMIT_EXEMPT_HOSTS": "127.0.0.0/8",
            "GBE_NOTIFY_VISITOR_SUBSCRIPTION_LIMIT": "1000000",
        }
        self._process: GbeProcess | None = None

    def start(self) -> None:
        """Start it; it answers some time later."""
        self._process = GbeProcess(
            ["serve", "--config", str(self._configuration)],
            self._url,
            "chaos",
            self._log,
            quick=False,
            settings=self._settings,
        )

    async def answers(self) -> None:
        """Return when it does."""
        deadline = time.monotonic() + _PATIENCE
        async with httpx.AsyncClient(trust_env=False) as client:
            while time.monotonic() < deadline:
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(f"http://{HOST}:{self.port}/v1/health")).status_code == 200:
                        return
                if self._process is None or not self._process.is_alive:
                    break
                await asyncio.sleep(0.05)
        raise AssertionError(f"{self.name} does not answer: {self._log.read_text()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL, as a crash does it."""
        if self._process is not None:
            self._process.kill()


class Follower:
    """Reads one topic, from one node after the other, as ntfy's clients do."""

    def __init__(self, topic: str, nodes: list[Node], books: Books, dice: random.Random) -> None:
        self.topic, self._nodes, self._books, self._dice = topic, nodes, books, dice
        self.numbers: list[int] = []
        self.stands = asyncio.Event()
        self._ids: set[str] = set()
        self._seen: set[int] = set()
        self._last = ""

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                await self._follow(self._dice.choice(self._nodes).port)
            self._books.hung_up += 1
            await asyncio.sleep(_PAUSE * (1 + self._dice.random()))

    async def _follow(self, port: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            since = f"?since={self._last or 'all'}"
            writer.write(f"GET /{self.topic}/json{since} HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode())
            async with asyncio.timeout(_ANSWER_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
            if head[9:12] != b"200":
                return
            while True:  # a keepalive comes every 45 seconds
                async with asyncio.timeout(60):
                    line = await reader.readuntil(b"\n")
                if line.startswith(b"{"):
                    self._take(_decoder.decode(line))
        finally:
            writer.close()

    def _take(self, event: _Event) -> None:
        if event.event == "open":
            self.stands.set()
        if event.event != "message":
            return
        self._books.received += 1
        if event.id in self._ids:  # a client knows what it has by the id
            self._books.again += 1
            return
        self._ids.add(event.id)
        self._last = event.id
        number = int(event.message)
        if number in self._seen:
            self._books.violations.append(f"{self.topic}: {number} came under two ids")
        self._seen.add(number)
        self.numbers.append(number)

    def misses(self) -> set[int]:
        """What was confirmed and has not come."""
        return set(self._books.confirmed.get(self.topic, ())) - self._seen

    def check_order(self) -> None:
        """Whether what was confirmed came as it was published."""
        confirmed = set(self._books.confirmed.get(self.topic, ()))
        came = [number for number in self.numbers if number in confirmed]
        if came != sorted(came):
            at = next(i for i, (one, next_) in enumerate(itertools.pairwise(came)) if one > next_)
            self._books.violations.append(f"{self.topic}: {came[at]} came before {came[at + 1]}")


class Publisher:
    """Publishes the messages of one topic, one after the other, at a pace."""

    def __init__(self, topic: str, nodes: list[Node], books: Books, dice: random.Random) -> None:
        self.topic, self._nodes, self._books, self._dice = topic, nodes, books, dice
        self._number = 0

    async def run(self, messages: int, pause: float) -> None:
        """Until so many are confirmed."""
        confirmed = self._books.confirmed.setdefault(self.topic, [])
        due = asyncio.get_running_loop().time() + self._dice.uniform(0, pause)
        while len(confirmed) < messages:
            try:
                reader, writer = await asyncio.open_connection(HOST, self._dice.choice(self._nodes).port)
            except OSError:
                await asyncio.sleep(_PAUSE)
                continue
            try:
                while len(confirmed) < messages:
                    await asyncio.sleep(due - asyncio.get_running_loop().time())
                    due = max(due + pause, asyncio.get_running_loop().time() - 1)
                    number, self._number = self._number, self._number + 1
                    status = await self._publish(reader, writer, b"%d" % number)
                    if status == b"200":
                        confirmed.append(number)
                    else:
                        self._books.unanswered[f"status {status.decode()}"] += 1
                        break
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as exc:
                self._books.unanswered[type(exc).__name__] += 1
            finally:
                writer.close()

    async def _publish(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> bytes:
        head = f"POST /{self.topic} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        async with asyncio.timeout(_ANSWER_PATIENCE):
            answer = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
        return answer[9:12]


# -- engines


@dataclass(frozen=True)
class Engine:
    """A cluster, as this needs it."""

    url: str
    settings: dict[str, str]
    configuration: str
    crash: Callable[[], AsyncIterator[None]]
    """Kills a server at its first step, and starts it at the second."""


@asynccontextmanager
async def _nats(folder: Path, dice: random.Random) -> AsyncIterator[Engine]:
    async with Cluster(folder / "cluster") as cluster:
        streams = "".join(f"  - {{name: {name}, replicas: 3}}\n" for name in _STREAMS)

        async def crash() -> AsyncIterator[None]:
            server = dice.choice(cluster.servers)
            server.kill()
            yield
            server.spawn()
            await cluster.is_whole()

        yield Engine(
            ",".join(cluster.urls),
            {"GBE_NATS_USER": USER, "GBE_NATS_PASSWORD": PASSWORD, "GBE_STATE_REPLICAS": "3"},
            f"streams:\n{streams}",
            crash,
        )


@asynccontextmanager
async def _redis(folder: Path, dice: random.Random) -> AsyncIterator[Engine]:
    cluster = RedisCluster(folder / "cluster", masters=3, replicas=3)
    await asyncio.to_thread(cluster.start)
    try:

        async def crash() -> AsyncIterator[None]:
            server = await asyncio.to_thread(cluster.master_of, dice.randrange(16384))
            server.kill()
            yield
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(cluster.wait_ok)

        yield Engine(cluster.user_url, {"GBE_REDIS_WAIT_REPLICAS": "1"}, "", crash)
    finally:
        await asyncio.to_thread(cluster.kill)


_ENGINES: Final = {"nats": _nats, "redis": _redis}


# -- the run


async def _torment(nodes: list[Node], engine: Engine, books: Books, plan: list[str], messages: int) -> None:
    """The faults of a plan, spread evenly over what is to be published."""
    for step, fault in enumerate(plan, 1):
        due = messages * step / (len(plan) + 1)
        await eventually(lambda due=due: books.count >= due, f"{due:g} are confirmed", within=_LONGEST)  # type: ignore[misc]
        books.faults[fault] += 1
        if fault == "engine":
            steps = engine.crash()
            await anext(steps)
            say(f"{books.count:>7} confirmed  a server of the engine killed")
            await asyncio.sleep(3)
            async for _ in steps:
                pass
            say(f"{books.count:>7} confirmed  and back")
        else:
            node = nodes[step % len(nodes)]
            node.kill()
            say(f"{books.count:>7} confirmed  {node.name} killed")
            await asyncio.sleep(1)
            node.start()
            await node.answers()
            say(f"{books.count:>7} confirmed  {node.name} answers again")


async def run(arguments: argparse.Namespace, engine_name: str) -> Books:
    """One run on one engine; its books are checked."""
    dice = random.Random(arguments.seed)
    books, topics = Books(), [f"t{number}" for number in range(arguments.topics)]
    with tempfile.TemporaryDirectory(prefix="gbe-nodes-") as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(_ENGINES[engine_name](folder, dice))
            (folder / CONFIGURATION).write_text(engine.configuration)
            nodes = [Node(name, engine.url, folder, engine.settings) for name in ("a", "b")]
            for node in nodes:
                node.start()
                stack.callback(node.kill)
                await node.answers()
            followers = [
                Follower(topics[number % len(topics)], nodes, books, dice) for number in range(arguments.followers)
            ]
            following = [asyncio.create_task(follower.run()) for follower in followers]
            async with asyncio.timeout(_PATIENCE):
                await asyncio.gather(*(follower.stands.wait() for follower in followers))
            say(f"{len(followers)} followers of {len(topics)} topics on two nodes")
            began = time.monotonic()
            share, pause = arguments.messages // len(topics), len(topics) / arguments.rate
            plan = ["node"] * arguments.node_kills + ["engine"] * arguments.engine_kills
            dice.shuffle(plan)
            tormenting = asyncio.create_task(_torment(nodes, engine, books, plan, share * len(topics)))
            await asyncio.gather(*(Publisher(topic, nodes, books, dice).run(share, pause) for topic in topics))
            await tormenting
            say(f"{books.count} confirmed in {time.monotonic() - began:.0f} s")
            with contextlib.suppress(AssertionError):  # who misses what is said below
                await eventually(lambda: not any(f.misses() for f in followers), "all is heard", within=_PATIENCE)
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
    for follower in followers:
        if missing := follower.misses():
            books.violations.append(f"{follower.topic}: {len(missing)} never came, {min(missing)} for one")
        follower.check_order()
    return books


def report(engine: str, books: Books) -> None:
    """Print the account."""
    say(f"{engine}: {books.count} confirmed, {books.received} received, of these {books.again} known by their id")
    say(f"faults {dict(books.faults)}; followers hung up on {books.hung_up} times; unanswered {dict(books.unanswered)}")
    for violation in books.violations[:20]:
        say(f"VIOLATION {violation}")
    say("nothing lost, nothing twice, order kept" if not books.violations else f"{len(books.violations)} violations")


def main() -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m chaos.nodes", description=__doc__)
    parser.add_argument("--engine", choices=sorted(_ENGINES), action="append", help="default: one after the other")
    parser.add_argument("--topics", type=int, default=100)
    parser.add_argument("--followers", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--rate", type=float, default=400, help="messages per second")
    parser.add_argument("--node-kills", type=int, default=5)
    parser.add_argument("--engine-kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 100_000)
    arguments = parser.parse_args()
    say(f"seed {arguments.seed}")
    failed = False
    for engine in arguments.engine or sorted(_ENGINES):
        books = uvloop.run(run(arguments, engine))
        report(engine, books)
        failed |= bool(books.violations)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
