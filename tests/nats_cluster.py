"""nats-server processes as users run them: any configuration, alone or three in a cluster, on 127.0.0.1."""

import asyncio
import contextlib
import itertools
import json
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import nats.errors
from nats.aio.client import Client
from tests.engines import BINARY, die_with_parent, free_port
from tests.waiting import eventually, first, take

from gbe.errors import TransportError
from gbe.ids import new_ulid
from gbe.transport.base import EARLIEST, ConsumeOptions, Delivery, StoredMessage, StreamConfig, Tail, Transport

USER, PASSWORD = "gbe", "s3cret"
"""Credentials of a cluster's clients."""
_START_PATIENCE = 60.0


class Server:
    """One nats-server with a configuration of the test's own.

    Args:
        folder: its configuration, log and store.
        config: what its file says besides the address and the store; ``jetstream: None`` runs it without JetStream.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any] | None = None) -> None:
        self.folder, self.config = folder, dict(config or {})
        self.port, self.monitor_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"nats://{self.address}"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    async def start(self) -> None:
        """Start it and return once it is healthy; a port that somebody took meanwhile is exchanged."""
        for _ in range(10):
            self.spawn()
            if await self.is_healthy_in_time():
                return
            self.kill()
            self.port, self.monitor_port = free_port(), free_port()
        raise AssertionError(f"nats-server does not start: {self.log()[-2000:]}")

    def spawn(self) -> None:
        """Start the process, at the address it had before; does not wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "nats.json"
        file.write_text(json.dumps(self._configuration()))
        with (self.folder / "out").open("ab") as out:
            self._process = subprocess.Popen(
                [BINARY, "-c", file],
                stdout=out,
                stderr=out,
                env={},
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )

    def _configuration(self) -> dict[str, Any]:
        jetstream = {
            "store_dir": str(self.folder / "store"),
            "max_file_store": 4 * 1024**3,
            "max_memory_store": 256 * 1024**2,
        }
        whole = {"max_payload": 2 * 1024**2, "jetstream": jetstream} | self.config
        whole |= {"listen": self.address, "http": f"127.0.0.1:{self.monitor_port}"}
        return {key: value for key, value in whole.items() if value is not None}

    async def is_healthy_in_time(self) -> bool:
        """Wait until it serves, JetStream included; ``False`` if it ended or took too long."""
        deadline = time.monotonic() + _START_PATIENCE
        while time.monotonic() < deadline and self.is_running:
            if await self.is_healthy():
                return True
            await asyncio.sleep(0.02)
        return False

    async def is_healthy(self) -> bool:
        """What its health endpoint says: JetStream is there, its streams are recovered and current."""
        try:
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.monitor_port)
                with contextlib.closing(writer):
                    writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
                    return b" 200 " in await reader.readline()
        except (OSError, TimeoutError):
            return False

    def kill(self) -> None:
        """SIGKILL, as a crash does it; returns when it is gone."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
            self._process = None

    async def stop(self) -> None:
        """SIGTERM, as an upgrade does it; returns when it is gone."""
        process = self._process
        if process is not None:
            process.terminate()
            await eventually(lambda: process.poll() is not None, "nats-server stops")
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: it is there and does nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """What it wrote."""
        return (self.folder / "out").read_text()


class Cluster:
    """Three servers, each with a route to the others, JetStream replicated; clients need ``USER`` and ``PASSWORD``."""

    def __init__(self, folder: Path, config: Mapping[str, Any] | None = None, *, size: int = 3) -> None:
        self.servers = [Server(folder / f"n{number}") for number in range(1, size + 1)]
        routes = [free_port() for _ in self.servers]
        for number, (server, port) in enumerate(zip(self.servers, routes, strict=True), 1):
            server.config = {
                "authorization": {"user": USER, "password": PASSWORD},
                **(config or {}),
                "server_name": f"n{number}",
                "cluster": {
                    "name": "test",
                    "listen": f"127.0.0.1:{port}",
                    "routes": [f"nats-route://127.0.0.1:{other}" for other in routes],
                },
            }

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(server.url for server in self.servers)

    def named(self, name: str) -> Server:
        """The server that calls itself so."""
        return next(server for server in self.servers if server.config["server_name"] == name)

    async def __aenter__(self) -> Self:
        try:
            for server in self.servers:
                server.spawn()
            await self.is_whole()
        except BaseException:
            for server in self.servers:
                server.kill()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for server in self.servers:
            server.kill()

    async def is_whole(self) -> None:
        """Return when every server is healthy and every replica current."""
        for server in self.servers:
            assert await server.is_healthy_in_time(), server.log()[-2000:]

    async def step_down(self, stream: str) -> None:
        """Let a stream elect another leader; one that is busy may not answer, and does it or not."""
        client = Client()
        await client.connect(servers=list(self.urls), allow_reconnect=False, user=USER, password=PASSWORD)
        with contextlib.suppress(nats.errors.TimeoutError):
            await client.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}", timeout=5)
        await client.close()

    async def leader_of(self, stream: str) -> Server:
        """The server that leads a stream at this moment."""
        client = Client()
        await client.connect(servers=list(self.urls), allow_reconnect=False, user=USER, password=PASSWORD)
        try:
            deadline = time.monotonic() + _START_PATIENCE
            while time.monotonic() < deadline:
                reply = await client.request(f"$JS.API.STREAM.INFO.{stream}", timeout=5)
                leader = json.loads(reply.data).get("cluster", {}).get("leader")
                if leader:
                    return self.named(leader)
                await asyncio.sleep(0.05)
        finally:
            await client.close()
        raise AssertionError(f"stream {stream} has no leader")


class Traffic:
    """Publishers, a consumer group and tails on one stream, and the account of what became of each message.

    As in Jepsen's total-queue: what was confirmed must come out; what comes out must have been sent. A tail shows it
    once, in order per subject; a group may see it again.

    Args:
        publishing: the node that publishes and consumes.
        following: the node whose tails follow.
        root: subjects are ``{root}.{number}``; the stream of them must exist.
    """

    def __init__(self, publishing: Transport, following: Transport, root: str, *, subjects: int = 3) -> None:
        self._publishing, self._following = publishing, following
        self._subjects = [f"{root}.{number}" for number in range(subjects)]
        self._pattern = f"{root}.*"
        self.confirmed: dict[str, str] = {}  # id -> subject
        self.sent: set[str] = set()
        self.errors: list[Exception] = []
        self.consumed: dict[str, int] = {}  # id -> deliveries
        self.literal: list[StoredMessage] = []
        self.wildcard: list[StoredMessage] = []
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._publishers: list[asyncio.Task[None]] = []
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        literal = await self._stack.enter_async_context(self._following.tail(self._subjects[:1]))
        wildcard = await self._stack.enter_async_context(self._following.tail([self._pattern]))
        options = ConsumeOptions(start=EARLIEST, batch_size=50, ack_timeout=5.0, max_deliver=1000)
        group = await self._stack.enter_async_context(self._publishing.consume(self._pattern, "workers", options))
        self._tasks = [
            asyncio.create_task(self._collect(literal, self.literal)),
            asyncio.create_task(self._collect(wildcard, self.wildcard)),
            asyncio.create_task(group.run(self._handle, concurrency=20)),
        ]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping = True
        for task in [*self._tasks, *self._publishers]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._publishers, return_exceptions=True)
        await self._stack.aclose()

    async def _collect(self, tail: Tail, into: list[StoredMessage]) -> None:
        async for message in tail:
            into.append(message)  # noqa: PERF401  one by one: the account is read meanwhile

    async def _handle(self, delivery: Delivery) -> None:
        self.consumed[delivery.envelope.id] = self.consumed.get(delivery.envelope.id, 0) + 1

    def publish(self, *, publishers: int = 16, pause: float = 0.01) -> None:
        """Start publishing, each publisher one message after the other, until ``finish``."""
        self._publishers = [asyncio.create_task(self._publish(number, pause)) for number in range(publishers)]

    async def _publish(self, number: int, pause: float) -> None:
        for count in itertools.count():
            if self._stopping:
                return
            id, subject = new_ulid(), self._subjects[(number + count) % len(self._subjects)]
            self.sent.add(id)
            try:
                await self._publishing.publish(subject, b"%d.%d" % (number, count), id=id)
            except TransportError as exc:
                self.errors.append(exc)
            else:
                self.confirmed[id] = subject
            await asyncio.sleep(pause)

    async def until(self, more: int) -> None:
        """Return when so many more messages are confirmed."""
        wanted = len(self.confirmed) + more
        await eventually(lambda: len(self.confirmed) >= wanted, f"{more} more messages are confirmed", within=90)

    async def finish(self) -> None:
        """Stop publishing, wait until everything has come out, and check the account."""
        self._stopping = True
        await asyncio.gather(*self._publishers)
        first = {id for id, subject in self.confirmed.items() if subject == self._subjects[0]}
        for name, wanted, seen in (
            ("the group", self.confirmed.keys(), self.consumed.keys),
            ("the literal tail", first, lambda: ids_of(self.literal)),
            ("the wildcard tail", self.confirmed.keys(), lambda: ids_of(self.wildcard)),
        ):
            await eventually(
                lambda wanted=wanted, seen=seen: wanted <= set(seen()),  # type: ignore[misc]
                f"{name} has seen all of {len(wanted)} confirmed messages",
                within=60,
                interval=0.1,
            )
        assert self.consumed.keys() <= self.sent
        for tail in (self.literal, self.wildcard):
            ids = ids_of(tail)
            assert len(ids) == len(set(ids)), "a tail shows no message twice"
            assert set(ids) <= self.sent
            for subject in self._subjects:
                places = [m.position for m in tail if m.envelope.subject == subject and m.position is not None]
                assert places == sorted(places), "a tail keeps the order of a subject"

    def report(self) -> str:
        """The account in a line."""
        again = sum(times - 1 for times in self.consumed.values())
        return (
            f"{len(self.sent)} sent, {len(self.confirmed)} confirmed, {len(self.errors)} errors; group: "
            f"{len(self.consumed)} and {again} again; tails: {len(self.literal)} literal, {len(self.wildcard)} wildcard"
        )


def ids_of(messages: Sequence[StoredMessage]) -> list[str]:
    """Their ids, in order."""
    return [message.envelope.id for message in messages]


def documented_permissions() -> dict[str, list[str]]:
    """The table of docs/nats.md, as the server's configuration takes it."""
    text = (Path(__file__).parents[1] / "docs" / "nats.md").read_text()
    table = text[text.index("| what a client of the account must be allowed") :].partition("\n\n")[0]
    permissions: dict[str, list[str]] = {"publish": [], "subscribe": []}
    for row in table.splitlines()[2:]:
        _, _, publish, subscribe, _ = row.split("|")
        permissions["publish"] += re.findall(r"`([^`]+)`", publish)
        permissions["subscribe"] += re.findall(r"`([^`]+)`", subscribe)
    return permissions


async def everything(transport: Transport) -> None:
    """Each operation of the transport once."""
    await transport.ensure_stream(StreamConfig(name="gbe-a", subjects=("gbe.a.>",)))
    await transport.ensure_stream(StreamConfig(name="gbe-a", subjects=("gbe.a.>",), max_age=3600.0))
    await transport.ensure_stream(StreamConfig(name="gbe-deadletter", subjects=("gbe._deadletter.*",)))
    ids = [await transport.publish("gbe.a.x", b"1")]
    async with (
        transport.tail(["gbe.a.x"], EARLIEST) as literal,
        transport.tail(["gbe.a.*"], EARLIEST) as wildcard,
        transport.consume("gbe.a.>", "workers", ConsumeOptions(start=EARLIEST)) as deliveries,
    ):
        ids.append(await transport.publish("gbe.a.x", b"2", idempotency_key="k"))
        assert await transport.publish("gbe.a.x", b"2", idempotency_key="k") == ids[1]
        ids.append(await transport.publish("gbe.a.x", b"3", deliver_at=round(time.time() * 1000) + 200))
        for tail in (literal, wildcard):
            assert [message.envelope.id for message in await take(tail, 3)] == ids
        volatile = await transport.publish("gbe.a.x", b"", durable=False)
        for tail in (literal, wildcard):
            assert (await first(tail)).envelope.id == volatile
        one, two, three = await take(deliveries, 3)
        assert (await transport.lag("gbe.a.>", "workers")).unacknowledged == 3
        await one.in_progress()
        await one.ack()
        await two.dead_letter("as a test")
        await three.nak()
        await (await first(deliveries)).ack()

        async def settled() -> bool:
            return (await transport.lag("gbe.a.>", "workers")).unacknowledged == 0

        await eventually(settled, "the group has settled everything")
    assert len(await transport.read("gbe._deadletter.a")) == 1
    assert await transport.locate("gbe.a.x", ids[2]) is not None
    assert "gbe-deadletter" in [stream.name for stream in await transport.streams()]
    assert (await transport.stream_figures("gbe-deadletter")).messages == 1
    assert [known.group for known in await transport.memberships("gbe-a")] == ["workers"]
    assert await transport.subjects("gbe.a.>") == ["gbe.a.x"]
    waits = await transport.publish("gbe.a.x", b"4", deliver_at=round(time.time() * 1000) + 3_600_000)
    assert [envelope.id for envelope in await transport.waiting("gbe.a.x")] == [waits]
    assert await transport.withdraw("gbe.a.x", waits)
    assert await transport.waiting("gbe.a.x") == []
    assert await transport.trim("gbe.a.x", round(time.time() * 1000) + 1000) == 3
    assert await transport.read("gbe.a.x") == []
    await transport.ping()
