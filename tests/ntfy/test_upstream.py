"""The relay for iPhones (section 12): what the upstream server hears, and what it does not."""

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.naming import unique
from tests.ntfy.conftest import OpenTransport, StartServer
from tests.ntfy.server import Loop, eventually
from tests.waiting import eventually as until

from gbe.notify.config import NotifyConfig
from gbe.notify.upstream import Upstream

BASE = "https://push.example.net"


class Heard(ThreadingHTTPServer):
    """An upstream server that writes down what it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Heard

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@pytest.fixture
def heard() -> Iterator[Heard]:
    with Heard() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_each_message_is_told_once(
    start: StartServer, loop: Loop, open_transport: OpenTransport, heard: Heard, topic: str
) -> None:
    """By one of the nodes; delayed ones when they are delivered, and nothing that no phone would fetch."""
    config = NotifyConfig(
        base_url=BASE, upstream_base_url=heard.url, upstream_access_token="tk_secret", message_delay_minimum=0.0
    )  # fmt: skip
    namespace = unique("n")
    server = start(notify=config, namespace=namespace)

    async def relay() -> list[asyncio.Task[None]]:
        other = await open_transport()
        tasks = [asyncio.create_task(Upstream(t, config, namespace, "2.0").run()) for t in (server.transport, other)]
        tasks[1].add_done_callback(lambda _: closing.append(asyncio.create_task(other.close())))
        await until(lambda: server.transport.memberships(f"{namespace}-notify-topic"), "a relay is at work")
        return tasks

    async def end(tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*closing)

    closing: list[asyncio.Task[None]] = []

    relays = loop.call(relay())
    try:
        first = server.publish(topic, "first")["id"]
        eventually(lambda: [h["x-poll-id"] for _, h, _ in heard.requests] == [first], "it is told of the first one")
        heard.requests.clear()
        later = server.publish(topic, "later", headers={"Delay": "2s"})["id"]
        server.publish(topic, b"\xff", headers={"UnifiedPush": "1"})
        server.publish("upAAAAAAAAAAAA", "text", headers={"UnifiedPush": "1"})
        server.request("DELETE", f"/{topic}/s")
        ids = [server.publish(topic, str(number))["id"] for number in range(5)]
        eventually(lambda: len(heard.requests) >= 6, "five messages and one delayed")
        path, headers, body = heard.requests[0]
        assert path == "/" + hashlib.sha256(f"{BASE}/{topic}".encode()).hexdigest()
        assert body == b""
        assert headers["user-agent"] == "ntfy/2.0"
        assert headers["authorization"] == "Bearer tk_secret"
        assert sorted(h["x-poll-id"] for _, h, _ in heard.requests) == sorted([*ids, later])
        assert heard.requests[-1][1]["x-poll-id"] == later
    finally:
        loop.call(end(relays))
