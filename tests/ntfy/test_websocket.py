"""WebSocket subscriptions: section 5.5."""

import base64
import json
import os
import time
from typing import Any

import pytest
from tests.naming import unique
from tests.ntfy.conftest import StartServer
from tests.ntfy.server import KEEPALIVE, PATIENCE, Raw, Server, eventually, peers, refused
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection

from gbe.http.config import HttpConfig
from gbe.notify.config import NotifyConfig


def receive(connection: ClientConnection) -> dict[str, Any]:
    """The next event; every frame is text with one object and a newline."""
    frame = connection.recv(timeout=PATIENCE)
    assert isinstance(frame, str)
    assert frame.endswith("}\n")
    event: dict[str, Any] = json.loads(frame)
    return event


def upgrade(path: str, *headers: str) -> bytes:
    """The request of a handshake."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}", *headers, "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


def frame(raw: Raw) -> tuple[int, bytes]:
    """Opcode and payload of the next frame."""
    first, second = raw._file.read(2)
    length = second & 0x7F
    if length == 126:
        length = int.from_bytes(raw._file.read(2))
    return first & 0x0F, raw._file.read(length)


def test_a_live_message(server: Server, topic: str) -> None:
    with server.websocket(topic) as connection:
        opened = receive(connection)
        assert (opened["event"], opened["topic"]) == ("open", topic)
        sent = server.publish(topic, "hi <&> ü", headers={"Title": "T"})
        event = receive(connection)
    assert event.pop("sequence_id") == sent["id"]  # present even where it equals the id
    assert event == sent


def test_the_sequence_of_an_update(server: Server, topic: str) -> None:
    with server.websocket(topic) as connection:
        receive(connection)
        sent = server.publish(f"{topic}/s1", "x")
        assert receive(connection) == sent
        deleted = server.request("DELETE", f"/{topic}/s1").json()
        assert receive(connection) == deleted


def test_replay_then_live(server: Server, topic: str) -> None:
    past = [server.publish(topic + "ab"[n % 2], str(n)) for n in range(6)]
    with server.websocket(f"{topic}a,{topic}b", f"?since={past[1]['id']}") as connection:
        assert receive(connection)["topic"] == f"{topic}a,{topic}b"
        live = server.publish(topic + "b", "live")
        found = [receive(connection) for _ in range(5)]
    assert [event["id"] for event in found] == [m["id"] for m in (*past[2:], live)]


@pytest.mark.parametrize("headers", [{"Since": "all", "Priority": "5"}, None])
def test_options_in_headers_and_query(server: Server, topic: str, headers: dict[str, str] | None) -> None:
    server.publish(topic, "low")
    wanted = server.publish(topic, "high", headers={"Priority": "5"})
    query = "" if headers else "?since=all&priority=5"
    with server.websocket(topic, query, additional_headers=headers) as connection:
        receive(connection)
        assert receive(connection)["id"] == wanted["id"]


def test_a_poll_ends_without_a_close_frame(server: Server, topic: str) -> None:
    sent = server.publish(topic, "x")
    with server.connect() as raw:
        raw.send(upgrade(f"/{topic}/ws?poll=1"))
        assert raw.head()[0] == 101
        opcode, payload = frame(raw)
        assert (opcode, json.loads(payload)["id"]) == (1, sent["id"])
        assert raw._file.read() == b""


def test_an_empty_poll(server: Server, topic: str) -> None:
    with server.websocket(topic, "?poll=1") as connection, pytest.raises(ConnectionClosedError) as closed:
        connection.recv(timeout=PATIENCE)
    assert closed.value.rcvd is None


def test_every_origin_is_accepted(server: Server, topic: str) -> None:
    with server.websocket(topic, origin="https://evil.example") as connection:
        assert receive(connection)["event"] == "open"


@pytest.mark.parametrize("path", ["/t/ws", "/a,b/ws?since=all"])
def test_a_plain_get(server: Server, path: str) -> None:
    error = refused(server.get(path), 40016)
    assert error["link"] == "https://ntfy.sh/docs/subscribe/api/#websockets"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/docs/ws", 400),
        ("/t/ws?since=1d", 400),
        ("/t/ws?priority=9", 400),
        ("/no/such/path", 404),
        ("/bad%20topic/ws", 404),
        ("/a//ws", 404),
    ],
)
def test_what_is_refused_before_the_upgrade(server: Server, path: str, status: int) -> None:
    """The status code alone, no body."""
    with server.connect() as raw:
        raw.send(upgrade(path))
        answer = raw.answer()
        assert (answer.status, answer.body) == (status, b"")
        assert raw.is_closed()


def test_the_limit_of_subscriptions(start: StartServer, topic: str) -> None:
    server = start(limits=True, notify=NotifyConfig(visitor_subscription_limit=1))
    with server.websocket(topic) as connection:
        receive(connection)
        with pytest.raises(InvalidStatus) as refusal:
            server.websocket(topic)
        assert (refusal.value.response.status_code, refusal.value.response.body) == (429, b"")


@pytest.mark.parametrize("size", [65, 1000, 100_000])
def test_a_large_frame_ends_the_connection(server: Server, topic: str, size: int) -> None:
    with server.websocket(topic) as connection:
        receive(connection)
        connection.send("x" * size)
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=PATIENCE)


def test_small_frames_change_nothing(server: Server, topic: str) -> None:
    with server.websocket(topic) as connection:
        receive(connection)
        for _ in range(100):
            connection.send("x" * 64)
            connection.send(b"\xff")
        sent = server.publish(topic, "still here")
        assert receive(connection)["id"] == sent["id"]


def test_the_server_pings(memory_start: StartServer, topic: str) -> None:
    """Also long after the deadline of the handshake's headers, which ends with them; it once ended every stream."""
    server = memory_start(http=HttpConfig(header_timeout=1.0), notify=NotifyConfig(keepalive_interval=KEEPALIVE))
    started = time.monotonic()
    with server.connect() as raw:
        raw.send(upgrade(f"/{topic}/ws"))
        assert raw.head()[0] == 101
        assert frame(raw)[0] == 1
        opcode, payload = frame(raw)
        assert opcode == 9
        assert KEEPALIVE / 2 < time.monotonic() - started < PATIENCE
        raw.send(bytes([0x8A, 0x80 | len(payload), 0, 0, 0, 0]) + payload)  # a pong, masked with zeros
        sent = server.publish(topic, "x")
        assert json.loads(frame(raw)[1])["id"] == sent["id"]


def test_a_client_that_answers_no_ping_is_dropped(memory_start: StartServer, caplog: pytest.LogCaptureFixture) -> None:
    """One that reads what it is sent, and one that does not even do that; who answers stays."""
    topic = unique("t")
    server = memory_start(
        http=HttpConfig(pong_timeout=1.0, dead_peer_timeout=600.0), notify=NotifyConfig(keepalive_interval=KEEPALIVE)
    )
    with server.connect() as reading, server.connect() as deaf, server.websocket(topic) as lively:
        receive(lively)
        for silent in (reading, deaf):
            silent.send(upgrade(f"/{topic}/ws"))
        assert reading.head()[0] == 101
        addresses = [silent.socket.getsockname() for silent in (reading, deaf)]
        eventually(lambda: set(addresses) <= peers(), "the server has both")
        assert reading.is_closed()
        eventually(lambda: not peers().intersection(addresses), "their descriptors are gone")
        assert lively.socket.getsockname() in peers()
        sent = server.publish(topic, "x")
        assert receive(lively)["id"] == sent["id"]
    told = [record for record in caplog.records if "has not answered a ping within 1 s" in record.getMessage()]
    assert [record.__dict__["client"] for record in told] == ["127.0.0.1"] * 2
    assert not any(topic in str(record.__dict__) for record in told)


def test_a_client_that_closes_is_answered(server: Server, topic: str) -> None:
    with server.websocket(topic) as connection:
        receive(connection)
        connection.close(1000)
        with pytest.raises(ConnectionClosedOK):
            connection.recv(timeout=PATIENCE)


def test_a_stopping_server_says_goodbye(start: StartServer, topic: str) -> None:
    server = start()
    with server.websocket(topic) as connection:
        receive(connection)
        server.stop()
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=PATIENCE)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code in (1001, 1012)
