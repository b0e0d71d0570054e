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

StartServers = Callable[[int], list[Gbe]]


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

        def start_some(count: int) -> list[Gbe]:
            servers = []
            for number in range(count):
                folder = tmp_path / f"server-{number}"
                folder.mkdir()
                servers.append(stack.enter_context(Gbe(folder, "--transport", transport_url)))
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


def _transport_of(server: Gbe) -> str:
    command = server.process.cmdline()
    return command[command.index("--transport") + 1]
