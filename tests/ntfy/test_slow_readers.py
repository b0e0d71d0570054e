"""Readers of every form that stop reading, all at once, on a server under load: they go, and nobody else notices."""

import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Thread

import pytest
from tests.ntfy.conftest import StartServer
from tests.ntfy.server import KEEPALIVE, PATIENCE, Raw, Server, eventually
from tests.ntfy.test_websocket import upgrade

from gbe.notify.config import NotifyConfig

FORMS = ("json", "sse", "raw", "ws")
READERS = 6
MOST = 8000  # messages: kernel buffers and bounded queues hold fewer, so a stuck client must be gone by then
TEXT = "x" * 4000
CONFIG = NotifyConfig(keepalive_interval=KEEPALIVE, subscriber_queue_bytes=65_536, subscriber_queue_messages=50)


@contextmanager
def stuck(server: Server, topic: str, form: str) -> Iterator[None]:
    """A client that takes the head of its answer and reads nothing more."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", server.port))
    with Raw(sock) as raw:
        path = f"/{topic}/{form}"
        raw.send(upgrade(path) if form == "ws" else f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        raw.head()
        yield


@contextmanager
def load(server: Server, topic: str) -> Iterator[list[int]]:
    """Others publish to other topics meanwhile; gives the statuses of their answers."""
    stop, statuses = Event(), list[int]()

    def publish(number: int) -> None:
        with server.connect() as raw:
            while not stop.is_set():
                statuses.append(raw.publish(f"{topic}-{number}", "load").status)

    threads = [Thread(target=publish, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)


@pytest.mark.parametrize("back_end", ["memory", "nats"])
def test_only_they_are_disconnected(start: StartServer, topic: str, caplog: pytest.LogCaptureFixture) -> None:
    server = start(notify=CONFIG)
    streams = server.application.streams
    with ExitStack() as stack, caplog.at_level(logging.WARNING):
        for form in FORMS:
            stack.enter_context(stuck(server, topic, form))
        readers = [stack.enter_context(server.subscribe(topic)).opened() for _ in range(READERS)]
        eventually(lambda: len(streams) == len(FORMS) + READERS, "all streams are open")
        statuses = stack.enter_context(load(server, topic))
        publisher = stack.enter_context(server.connect())
        count = 0
        while len(streams) > READERS:
            assert count < MOST, f"{len(streams) - READERS} stuck clients are still there"
            text = f"{count} {TEXT}"
            assert publisher.publish(topic, text).status == 200
            for reader in readers:
                assert reader.message()["message"] == text
            count += 1
        publisher.publish(topic, "the end")
        assert [reader.message()["message"] for reader in readers] == ["the end"] * READERS
        assert set(statuses) == {200}
    reasons = [record.getMessage() for record in caplog.records if record.getMessage().startswith("stream closed: ")]
    assert len(reasons) >= len(FORMS), reasons
    assert set(reasons) <= {"stream closed: its client reads too slowly", "stream closed: its client does not read"}
