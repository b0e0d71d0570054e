"""The command line as a user meets it: ``gbe publish`` and ``gbe subscribe`` against a running ``gbe serve``."""

import asyncio
import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import pytest
from tests.engines import die_with_parent, free_port
from tests.waiting import PATIENCE, eventually

GBE = str(Path(sys.executable).parent / "gbe")
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("GBE_", "NTFY_")) and not name.lower().endswith("_proxy")
}
UNLIMITED = {"GBE_NOTIFY_VISITOR_REQUEST_LIMIT_EXEMPT_HOSTS": "127.0.0.1"}


class Program:
    """A ``gbe`` process of the test's own; its output goes to files."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [GBE, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=ENVIRONMENT | environment,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - nothing of ours runs in threads here
            )

    @property
    def out(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8")

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines(keepends=True) if line.endswith("\n")]

    def messages(self) -> list[str]:
        return [event["message"] for event in self.events()]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    async def waits(self) -> None:
        """Until it has done all that there was to do: it sleeps each time that one looks, for a while."""
        asleep = 0

        def is_idle() -> bool:
            nonlocal asleep
            asleep = asleep + 1 if psutil.Process(self.process.pid).status() == psutil.STATUS_SLEEPING else 0
            return asleep >= 50

        await eventually(is_idle, "nothing to do")

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        await eventually(lambda: self.process.poll() is not None, "the end of the program")
        return self.process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Server:
    """``gbe serve`` on a port of its own, which it keeps over restarts."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self._folder, self._arguments, self._environment = folder, arguments, environment
        self._program: Program | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._program = Program(
            self._folder / "server",
            "serve",
            "--listen",
            f"127.0.0.1:{self.port}",
            "--data-dir",
            str(self._folder / "data"),
            *self._arguments,
            **self._environment,
        )

    async def ready(self) -> None:
        assert self._program is not None
        program = self._program

        def healthy() -> bool:
            assert program.process.poll() is None, program.err
            return self.get("/v1/health") == '{"healthy":true}\n'

        await eventually(healthy, "a healthy server")

    def kill(self) -> None:
        """SIGKILL, as a crash does it."""
        if self._program is not None:
            self._program.__exit__()
            self._program = None

    def stop(self) -> None:
        if self._program is not None:
            self._program.signal(signal.SIGTERM)
            self._program.process.wait(timeout=PATIENCE)
            self._program = None

    def get(self, path: str) -> str:
        try:
            return httpx.get(self.url + path, trust_env=False).text
        except httpx.TransportError:
            return ""

    async def has_subscribers(self, count: int) -> None:
        wanted = f"ntfy_subscribers_total {count:.1f}\n"
        await eventually(lambda: wanted in self.get("/metrics"), f"{count} subscribers")


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


async def gbe(*arguments: str, stdin: bytes = b"", **environment: str) -> Finished:
    """Run a command to its end."""
    process = await asyncio.create_subprocess_exec(
        GBE,
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT | environment,
        preexec_fn=die_with_parent,
    )
    async with asyncio.timeout(PATIENCE):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("memory"), "--transport", "memory", **UNLIMITED)
    server.start()
    asyncio.run(server.ready())
    yield server
    server.stop()


@pytest.fixture
def topic(memory: Server) -> str:
    """The URL of a topic that nobody else uses."""
    return f"{memory.url}/t{random.getrandbits(60):x}"


async def test_a_message_travels_with_everything_that_belongs_to_it(topic: str) -> None:
    """Published on one side, it comes out of the other side as it was meant."""
    published = await gbe(
        "publish", topic, "**90 %** voll\nzweite Zeile", "--title", "Platte 💾 fast voll", "--priority", "high",
        "--tags", "warning,nas1", "--tags", "größe", "--click", "https://nas1.example.net", "--markdown",
        "--icon", "https://nas1.example.net/icon.png", "--sequence-id", "disk-nas1",
        "--actions", "view, Öffnen, https://nas1.example.net; http, Aufräumen, https://nas1.example.net/clean",
    )  # fmt: skip
    assert (published.code, published.err) == (0, "")
    name = topic.rpartition("/")[2]
    assert re.fullmatch(rf"published [A-Za-z0-9]{{12}} to {name}\n", published.out)

    (message,) = (await gbe("subscribe", topic, "--poll", "--json")).events
    assert message["id"] == published.out.split()[1]
    assert message["message"] == "**90 %** voll\nzweite Zeile"
    assert message["title"] == "Platte 💾 fast voll"
    assert message["priority"] == 4
    assert message["tags"] == ["warning", "nas1", "größe"]
    assert message["click"] == "https://nas1.example.net"
    assert message["icon"] == "https://nas1.example.net/icon.png"
    assert message["content_type"] == "text/markdown"
    assert message["sequence_id"] == "disk-nas1"
    assert [(action["action"], action["label"]) for action in message["actions"]] == [
        ("view", "Öffnen"),
        ("http", "Aufräumen"),
    ]


async def test_subscribers_see_messages_as_they_come(memory: Server, topic: str, tmp_path: Path) -> None:
    """Two topics in one subscription; after as many messages as were asked for it ends by itself."""
    await memory.has_subscribers(0)
    other = f"x{random.getrandbits(60):x}"
    with Program(tmp_path, "subscribe", f"{topic},{other}", "--count", "3", "--json") as subscriber:
        await memory.has_subscribers(1)
        for url, text in ((topic, "one"), (f"{memory.url}/{other}", "two"), (topic, "three")):
            assert (await gbe("publish", url, text)).code == 0
        assert await subscriber.ended() == 0
        assert subscriber.messages() == ["one", "two", "three"]
        assert subscriber.err == ""


async def test_the_answer_of_the_server_can_be_had_as_json(topic: str) -> None:
    answer = json.loads((await gbe("publish", topic, "--json", "--no-cache", stdin=b"from a pipe\n")).out)
    assert answer["message"] == "from a pipe"
    assert "expires" not in answer
    assert await gbe("publish", topic, "-", "--quiet", stdin=b"quiet") == Finished(0, "", "")
    assert [event["message"] for event in (await gbe("subscribe", topic, "--poll", "--json")).events] == ["quiet"]


async def test_since_and_filters_choose_what_is_shown(topic: str) -> None:
    async def shown(*options: str) -> list[str]:
        finished = await gbe("subscribe", topic, "--poll", "--json", *options)
        assert finished.code == 0, finished.err
        return [event["message"] for event in finished.events]

    first = json.loads((await gbe("publish", topic, "a", "--title", "ä b", "--json")).out)
    await gbe("publish", topic, "b", "--priority", "5", "--tags", "x,y")
    await gbe("publish", topic, "c", "--tags", "y")
    assert await shown() == ["a", "b", "c"]
    assert await shown("--since", first["id"]) == ["b", "c"]
    assert await shown("--since", "10m") == ["a", "b", "c"]
    assert await shown("--since", "latest") == ["c"]
    assert await shown("--since", "none") == []
    assert await shown("--filter-title", "ä b") == ["a"]
    assert await shown("--filter-message", "b") == ["b"]
    assert await shown("--filter-id", first["id"]) == ["a"]
    assert await shown("--filter-priority", "max,low") == ["b"]
    assert await shown("--filter-tags", "y") == ["b", "c"]
    assert await shown("--filter-tags", "y,x") == ["b"]
    assert await shown("--count", "2") == ["a", "b"]


async def test_a_command_runs_for_every_message(topic: str, tmp_path: Path) -> None:
    await gbe("publish", topic, "$(touch pwned) `touch pwned`; \"'", "--title", "Ünsafe")
    await gbe("publish", topic, "two")
    script = tmp_path / "on message.py"
    script.write_text("import json, os, sys\nprint(os.environ['NTFY_TITLE'], json.load(sys.stdin)['message'])\n")
    command = f"{sys.executable} '{script}'"
    finished = await gbe("subscribe", topic, "--since", "all", "--count", "2", "--exec", command)
    assert finished == Finished(0, "Ünsafe $(touch pwned) `touch pwned`; \"'\n two\n", "")


def test_on_a_terminal_it_is_colourful_and_no_message_takes_over(memory: Server, topic: str, tmp_path: Path) -> None:
    hostile = "\x1b]0;owned\x07\x1b[31m[red]\u202e"
    body = json.dumps({"topic": topic.rpartition("/")[2], "message": hostile, "title": hostile, "priority": 5})
    httpx.post(memory.url, content=body, trust_env=False).raise_for_status()
    terminal, end = pty.openpty()
    shown = b""
    environment = ENVIRONMENT | {"TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    try:
        subprocess.run([GBE, "subscribe", topic, "--poll"], stdout=end, env=environment, timeout=PATIENCE, check=True)
        shown += os.read(terminal, 65536)
        subprocess.run(
            [GBE, "subscribe", topic, "--poll", "--json"], stdout=end, env=environment, timeout=PATIENCE, check=True
        )
        shown_as_json = os.read(terminal, 65536)
    finally:
        os.close(end)
        os.close(terminal)
    text = shown.decode()
    assert "\x1b[1;31m" in text  # bold red, for the highest priority, is ours
    assert "\ufffd]0;owned\ufffd\ufffd[31m[red]\ufffd" in text
    assert "\u202e" not in re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "\x1b" not in re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert b"\x1b" not in shown_as_json
    assert json.loads(shown_as_json)["message"] == hostile


async def test_what_the_server_refuses_is_said_in_its_own_words(memory: Server, topic: str) -> None:
    """One line with ntfy's text and number, and exit 1."""
    for arguments, said in (
        (("publish", topic, "x", "--priority", "9"), "refused: invalid priority parameter (error 40007)"),
        (("publish", f"{memory.url}/docs", "x"), "refused: invalid request: topic name is not allowed (error 40010)"),
        (("publish", topic, "x", "--icon", "ftp://x"), "icon URL is invalid (error 40021)"),
        (
            ("publish", topic, "x", "--actions", "view, x"),
            "parameter 'url' is required for action 'view' (error 40018)",
        ),
        (("publish", topic, "x", "--sequence-id", "a b"), "refused: sequence ID invalid (error 40049)"),
        (("subscribe", topic, "--since", "1d"), "refused: invalid since parameter (error 40008)"),
        (("subscribe", topic, "--filter-priority", "9"), "refused: invalid priority parameter (error 40007)"),
        (("subscribe", f"{memory.url}/nothing/here"), "refused: page not found (error 40401)"),
    ):
        finished = await gbe(*arguments)
        assert (finished.code, finished.out) == (1, ""), arguments
        assert finished.err.startswith(f"gbe: {memory.url}")
        assert finished.err.endswith(f"{said}\n"), finished.err
        assert finished.err.count("\n") == 1


@pytest.mark.parametrize("command", [("publish", "ops", "x"), ("subscribe", "ops")], ids=["publish", "subscribe"])
async def test_a_server_that_cannot_be_used_is_named_with_the_reason(command: tuple[str, ...], memory: Server) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    finished = await gbe(*command, "--server", nobody, "--retry", "0")
    assert finished == Finished(1, "", f"gbe: cannot reach {nobody}: connection refused\n")
    tls = await gbe(*command, "--server", f"https://127.0.0.1:{memory.port}")
    assert (tls.code, tls.out) == (1, "")
    assert f"cannot reach https://127.0.0.1:{memory.port}: TLS fails" in tls.err
    usage = await gbe(*command, "--server", "ntfy.example.net")
    assert usage.code == 1
    assert "is not the URL of a server" in usage.err


async def test_a_publish_waits_for_a_server_that_is_just_starting(tmp_path: Path) -> None:
    server = Server(tmp_path, "--transport", "memory")
    publishing = asyncio.create_task(gbe("publish", f"{server.url}/ops", "early", "--retry", str(PATIENCE)))
    server.start()
    try:
        assert (await publishing).code == 0
    finally:
        server.stop()


async def test_a_publish_waits_until_its_visitor_may_publish_again(tmp_path: Path) -> None:
    """The bucket holds one request here, and gets the next one half a second later."""
    server = Server(
        tmp_path,
        "--transport",
        "memory",
        GBE_NOTIFY_VISITOR_REQUEST_LIMIT_BURST="1",
        GBE_NOTIFY_VISITOR_REQUEST_LIMIT_REPLENISH="4",
    )
    server.start()
    try:
        await server.ready()
        url = f"{server.url}/ops"
        await gbe("publish", url, "one", "--retry", str(PATIENCE))
        impatient = await gbe("publish", url, "two", "--retry", "0")
        assert (impatient.code, impatient.err) == (
            1,
            f"gbe: {server.url} refused: limit reached: too many requests (error 42901)\n",
        )
        assert (await gbe("publish", url, "three", "--retry", str(PATIENCE))).code == 0
    finally:
        server.stop()


async def test_a_subscriber_lives_through_the_death_of_its_server(tmp_path: Path) -> None:
    """The embedded default: the server is killed and started again on the same port and data, and what was published
    while the subscriber was not connected comes too, everything once and in order."""
    server = Server(tmp_path, **UNLIMITED)
    server.start()
    url = f"{server.url}/ops"
    try:
        await server.ready()
        with Program(tmp_path / "sub", "subscribe", url, "--json") as subscriber:
            await server.has_subscribers(1)
            for number in ("1", "2"):
                assert (await gbe("publish", url, number)).code == 0
            await eventually(lambda: subscriber.messages() == ["1", "2"], "the first messages")

            subscriber.signal(signal.SIGSTOP)  # so that it is certainly away when the next message comes
            server.kill()
            server.start()
            assert (await gbe("publish", url, "3", "--retry", str(PATIENCE))).code == 0
            subscriber.signal(signal.SIGCONT)

            await eventually(lambda: "connected again" in subscriber.err, "a new connection")
            assert (await gbe("publish", url, "4")).code == 0
            await eventually(lambda: len(subscriber.messages()) >= 4, "the other messages")
            assert subscriber.messages() == ["1", "2", "3", "4"]

            subscriber.signal(signal.SIGINT)
            assert await subscriber.ended() == 130
            told = subscriber.err.splitlines()
            assert len(told) == 2, told
            assert told[0].endswith("; connecting again")
            assert told[1] == "gbe: connected again"
    finally:
        server.stop()


async def test_nothing_is_lost_if_the_server_dies_before_the_first_message(tmp_path: Path) -> None:
    """Without an id to go on from, the subscriber asks for what came since its stream was opened."""
    server = Server(tmp_path, **UNLIMITED)
    server.start()
    url = f"{server.url}/ops"
    try:
        await server.ready()
        with Program(tmp_path / "sub", "subscribe", url, "--json", "--count", "1") as subscriber:
            await server.has_subscribers(1)
            await subscriber.waits()  # it has read that its stream is open
            subscriber.signal(signal.SIGSTOP)
            server.kill()
            server.start()
            assert (await gbe("publish", url, "while you were away", "--retry", str(PATIENCE))).code == 0
            subscriber.signal(signal.SIGCONT)
            assert await subscriber.ended() == 0
            assert subscriber.messages() == ["while you were away"]
    finally:
        server.stop()


async def test_ctrl_c_is_quiet(memory: Server, topic: str, tmp_path: Path) -> None:
    await memory.has_subscribers(0)
    with Program(tmp_path, "subscribe", topic) as subscriber:
        await memory.has_subscribers(1)
        subscriber.signal(signal.SIGINT)
        assert await subscriber.ended() == 130
        assert (subscriber.out, subscriber.err) == ("", "")


async def test_a_closed_pipe_ends_a_subscription_quietly(topic: str) -> None:
    """As in ``gbe subscribe ops --since all | head -1``."""
    for _ in range(2):
        await gbe("publish", topic, "x")
    for options in ("", "--json"):
        pipeline = await asyncio.create_subprocess_shell(
            f"{GBE} subscribe {topic} --poll {options} | true",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        async with asyncio.timeout(PATIENCE):
            _, err = await pipeline.communicate()
        assert err == b""
