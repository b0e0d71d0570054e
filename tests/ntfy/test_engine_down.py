"""The engine goes away and comes back: clear answers in time, and nothing that was confirmed is lost."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest
from tests.engines import NatsProcess
from tests.ntfy.server import PATIENCE, Loop, Server, eventually, refused
from tests.ntfy.test_websocket import upgrade
from tests.redis_engines import RedisProcess

from gbe.http.config import HttpConfig
from gbe.notify.config import NotifyConfig
from gbe.redis.config import RedisConfig
from gbe.transport.base import Transport
from gbe.transport.embedded import EmbeddedConfig, EmbeddedEngine
from gbe.transport.nats.config import NatsConfig
from gbe.transport.open import embedded_endpoint, open_nats, open_redis

pytestmark = pytest.mark.fault

PUBLISH_TIMEOUT = 1.0
REQUEST_TIMEOUT = 1.0
SLACK = 5.0  # of a busy machine, for what should take a second


Engine = NatsProcess | RedisProcess


# a server that syncs once a second may forget what it has confirmed, if its disk is slow
@pytest.fixture(params=[NatsProcess, partial(RedisProcess, fsync="always")], ids=["nats", "redis"])
def own_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with request.param(tmp_path / "engine") as engine:
        yield engine


@pytest.fixture
def server(own_engine: Engine, loop: Loop, http_client: httpx.Client) -> Iterator[Server]:
    async def open_transport() -> Transport:
        if isinstance(own_engine, RedisProcess):
            return await open_redis(RedisConfig(url=own_engine.url, request_timeout=REQUEST_TIMEOUT))
        return await open_nats(NatsConfig(urls=(own_engine.url,), request_timeout=REQUEST_TIMEOUT))

    with Server(
        loop,
        http_client,
        open_transport,
        http=HttpConfig(publish_timeout=PUBLISH_TIMEOUT, shutdown_timeout=1),
        notify=NotifyConfig(keepalive_interval=5),
    ) as server:
        yield server


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_answers_while_it_is_down(server: Server, own_engine: Engine, topic: str, how: str) -> None:
    """503 with a body that says so, within the configured time; then everything works again."""
    before = server.publish(topic, "before")
    if how == "killed":
        own_engine.kill()
    else:
        own_engine.freeze()
    for method, path, body in (
        ("POST", f"/{topic}", "x"),
        ("POST", "/", f'{{"topic":"{topic}"}}'),
        ("DELETE", f"/{topic}/s", ""),
        ("GET", f"/{topic}/json?poll=1", ""),
        ("GET", f"/{topic}/raw?poll=1&since={before['id']}", ""),
        ("GET", f"/{topic}/sse?since={before['id']}", ""),
        ("GET", f"/{topic}/json?since=all", ""),
        ("GET", f"/{topic}new/json", ""),
    ):
        started = time.monotonic()
        response = server.request(method, path, content=body)
        error = unconfirmed(response) if method != "GET" else refused(response, 50301)
        assert error["error"].startswith("service unavailable")
        assert time.monotonic() - started < max(PUBLISH_TIMEOUT, REQUEST_TIMEOUT) + SLACK, (method, path)
    health = server.get("/v1/health")
    assert (health.status_code, health.json()) == (503, {"healthy": False})
    # what needs no engine goes on
    assert server.get("/").status_code == 200
    refused(server.post("/docs", "x"), 40010)
    if how == "killed":
        own_engine.start()
    else:
        own_engine.thaw()
    eventually(lambda: server.get("/v1/health").status_code == 200, "the server is healthy again")
    eventually(lambda: server.post(f"/{topic}", "after").status_code == 200, "publishing works again")
    eventually(lambda: server.get(f"/{topic}/json?poll=1").status_code == 200, "polling works again")
    messages = [m.get("message") for m in server.poll(topic)]
    assert messages[0] == "before"
    assert messages[-1] == "after"


def test_a_refused_upgrade_has_the_status_alone(server: Server, own_engine: Engine, topic: str) -> None:
    own_engine.kill()
    with server.connect() as raw:
        raw.send(upgrade(f"/{topic}/ws"))
        answer = raw.answer()
        assert (answer.status, answer.body) == (503, b"")


def test_stopping_while_a_stream_waits_for_the_engine(server: Server, own_engine: Engine, topic: str) -> None:
    own_engine.freeze()
    with server.connect() as lines, server.connect() as websocket:
        lines.send(f"GET /{topic}/json HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        websocket.send(upgrade(f"/{topic}/ws?since=all"))
        eventually(lambda: len(server.application.streams) == 2, "both streams wait")
        server.application.end_streams()
        refused(lines.answer(), 50301)
        assert websocket.answer().status in (101, 503)
    own_engine.thaw()


def test_what_was_confirmed_is_there(server: Server, own_engine: Engine, topic: str) -> None:
    """Publishers that go on through two crashes: each 200 is a stored message; live subscribers miss none."""
    stop = Event()
    confirmed: list[list[str]] = [[] for _ in range(4)]
    threads = [Thread(target=_publish_until, args=(server, topic, n, confirmed[n], stop)) for n in range(4)]
    with server.subscribe(topic) as stream:
        stream.opened()
        for thread in threads:
            thread.start()
        try:
            for round_number in range(1, 3):
                eventually(lambda r=round_number: min(map(len, confirmed)) >= 30 * r, "publishers get on")  # type: ignore[misc]
                own_engine.kill()
                own_engine.start()
            eventually(lambda: min(map(len, confirmed)) >= 90, "publishers get on after the second crash")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        end = server.publish(topic, "end")
        seen: list[str] = []
        while (message := stream.message())["id"] != end["id"]:
            seen.append(message["message"])
    stored = [m["message"] for m in server.poll(topic)][:-1]
    for own in confirmed:
        missing = set(own) - set(stored)
        assert not missing, f"confirmed and lost: {sorted(missing)[:5]}"
    assert seen == stored, "a live subscriber sees exactly what is stored, in its order"
    assert len(set(stored)) == len(stored), "stored twice"


def _publish_until(server: Server, topic: str, number: int, confirmed: list[str], stop: Event) -> None:
    count = 0
    while not stop.is_set():
        text = f"{number}-{count}"
        count += 1
        response = server.post(f"/{topic}", text)
        if response.status_code == 200:
            confirmed.append(text)
        else:
            unconfirmed(response)


def unconfirmed(response: httpx.Response) -> dict[str, Any]:
    """The error of a publish that is not confirmed: one that was under way may be stored or not, and says so."""
    code = response.json()["code"]
    return refused(response, 50302 if code == 50302 else 50301)


def test_subscribers_survive_a_restart_of_the_embedded_engine(
    tmp_path: Path, loop: Loop, http_client: httpx.Client, topic: str
) -> None:
    """kill -9 of the engine: its supervisor brings it back, and open streams go on without a gap."""
    stack = AsyncExitStack()
    config = EmbeddedConfig(durability="interval", restart_backoff=0.05)

    async def start_engine() -> EmbeddedEngine:
        return await stack.enter_async_context(EmbeddedEngine(tmp_path / "data", config))

    async def open_transport() -> Transport:
        return await open_nats(NatsConfig(**embedded_endpoint(tmp_path / "data")))  # type: ignore[arg-type]

    engine = loop.call(start_engine(), within=60)
    try:
        patient = HttpConfig(publish_timeout=PATIENCE)
        with Server(loop, http_client, open_transport, http=patient) as server, server.subscribe(topic) as stream:
            stream.opened()
            sent = [server.publish(topic, "before")]
            killed = engine.pid
            os.kill(killed, signal.SIGKILL)
            sent.append(server.publish(topic, "after"))  # waits for the engine, up to http.publish_timeout
            eventually(lambda: engine.is_ready and engine.pid != killed, "the engine was replaced")
            assert [stream.message() for _ in sent] == sent
            assert server.poll(topic) == sent
    finally:
        loop.call(stack.aclose(), within=60)
