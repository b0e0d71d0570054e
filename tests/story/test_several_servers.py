"""Several ``gbe serve`` processes on one engine are one service: publish on any, receive on all, lose any of them."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.engines import NatsProcess
from tests.redis_engines import RedisCluster, RedisProcess
from tests.story.gbe import PATIENCE, Gbe, events, eventually

StartServers = Callable[..., list[Gbe]]


@pytest.fixture(params=["nats", "redis", "redis-cluster"])
def transport_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """What to give to ``--transport``."""
    if request.param == "nats":
        with NatsProcess(tmp_path / "engine") as nats:
            yield nats.url
    elif request.param == "redis":
        with RedisProcess(tmp_path / "engine") as redis:
            yield redis.url
    else:
        with RedisCluster(tmp_path / "engine") as cluster:
            yield cluster.url


@pytest.fixture
def start(transport_url: str, tmp_path: Path) -> Iterator[StartServers]:
    """Starts servers, each in a folder of its own, and stops them in the end."""
    with ExitStack() as stack:

        def start_some(count: int, **environment: str) -> list[Gbe]:
            servers = []
            for number in range(count):
                folder = tmp_path / f"server-{number}"
                folder.mkdir()
                servers.append(stack.enter_context(Gbe(folder, "--transport", transport_url, **environment)))
            return [server.ready() for server in servers]

        yield start_some


class Listener:
    """A client that follows a topic on one server, in a thread."""

    def __init__(self, server: Gbe, topic: str, since: str = "") -> None:
        self.seen: list[dict[str, Any]] = []
        self._opened = threading.Event()
        self._url = f"{server.url}/{topic}/json" + (f"?since={since}" if since else "")
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        assert self._opened.wait(PATIENCE)

    def _listen(self) -> None:
        try:
            with httpx.stream("GET", self._url, trust_env=False, timeout=PATIENCE) as response:
                lines = response.iter_lines()
                assert json.loads(next(lines))["event"] == "open"
                self._opened.set()
                self.seen.extend(events(lines))
        except httpx.TransportError:
            return  # the server was killed

    def texts(self) -> list[str]:
        """What it has received."""
        return [message["message"] for message in list(self.seen)]


@pytest.mark.fault
def test_two_servers_are_one_service(start: StartServers) -> None:
    """Everybody receives everything, whoever was told; a client of a server that dies goes on at the other."""
    one, two = start(2)
    here, there = Listener(one, "ops"), Listener(two, "ops")
    sent = [server.publish("ops", f"{number}")["message"] for number in range(10) for server in (one, two)]
    for listener in (here, there):
        eventually(lambda listener=listener: listener.texts() == sent, "everything arrived, in order, once")  # type: ignore[misc]
    assert [m["message"] for m in one.poll("ops")] == [m["message"] for m in two.poll("ops")] == sent

    last = here.seen[-1]["id"]
    one.kill_tree()
    missed = two.publish("ops", "while one is gone")["message"]
    again = Listener(two, "ops", since=last)
    sent.append(missed)
    sent.append(two.publish("ops", "live again")["message"])
    eventually(lambda: again.texts() == sent[-2:], "the client that moved has missed nothing")
    eventually(lambda: there.texts() == sent, "the other has not noticed")


def test_a_server_joins_later(start: StartServers) -> None:
    """A new server has the whole history at once, and no copy of its own."""
    (one,) = start(1)
    for number in range(5):
        one.publish("ops", str(number))
    two = Gbe(one.folder, "--transport", _transport_of(one))
    with two:
        two.ready()
        assert [m["message"] for m in two.poll("ops")] == [str(number) for number in range(5)]


def test_what_waits_and_what_was_uploaded_outlives_every_server(
    start: StartServers, transport_url: str, tmp_path: Path
) -> None:
    """Both servers are killed while messages wait: the next one delivers them, once, and hands out the file."""
    settings = {
        "GBE_NOTIFY_BASE_URL": "https://push.example.net",
        "GBE_NOTIFY_MESSAGE_DELAY_MINIMUM": "0s",
        "GBE_NOTIFY_VISITOR_REQUEST_LIMIT_BURST": "100000",
        "GBE_OBJECTS_URL": str(tmp_path / "objects"),
    }
    one, two = start(2, **settings)
    with httpx.Client(trust_env=False, timeout=PATIENCE) as client:

        def send(server: Gbe, path: str, text: bytes, **headers: str) -> dict[str, Any]:
            answer = client.put(f"{server.url}/{path}", content=text, headers=headers)
            assert answer.status_code == 200, answer.text
            message: dict[str, Any] = answer.json()
            return message

        content = b"bytes\0" * 100_000
        path = send(one, "ops", content, Filename="a.bin")["attachment"]["url"].removeprefix("https://push.example.net")
        assert client.get(two.url + path).content == content
        waits = [send(server, "ops", b"later", Delay="4s")["id"] for server in (one, two, one)]
        send(one, "ops/dropped", b"never", Delay="4s")
        assert client.delete(f"{two.url}/ops/dropped").status_code == 200
        listed = client.get(f"{two.url}/ops/json?poll=1&scheduled=1").text
        assert all(f'"id":"{message_id}"' in listed for message_id in waits)
        assert "never" not in listed
        for server in (one, two):
            server.kill_tree()

        with Gbe(two.folder, "--transport", transport_url, **settings) as third:
            third.ready()
            eventually(lambda: sorted(_ids(third, "later")) == sorted(waits), "what waited is delivered once")
            assert client.get(third.url + path).content == content
            assert _ids(third, "never") == []


def _ids(server: Gbe, text: str) -> list[str]:
    return [message["id"] for message in server.poll("ops") if message.get("message") == text]


def _transport_of(server: Gbe) -> str:
    command = server.process.cmdline()
    return command[command.index("--transport") + 1]
