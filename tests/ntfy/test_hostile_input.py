"""Whatever arrives on a socket: bounded, answered or dropped, and nobody else notices."""

import contextlib
import json
import logging
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ntfy.conftest import StartServer
from tests.ntfy.server import KEEPALIVE, PATIENCE, Raw, Server, eventually, peers, refused
from tests.ntfy.test_websocket import frame, upgrade

from gbe.http.config import HttpConfig
from gbe.notify.config import NotifyConfig

MIB = 1024 * 1024


@pytest.fixture
def back_end() -> str:
    """How requests are read does not depend on the engine; the tests that need one say so."""
    return "memory"


def memory() -> int:
    """Resident bytes of this process, which the server shares."""
    return psutil.Process().memory_info().rss


def request(*lines: str | bytes, body: bytes = b"", method: str = "POST", path: str = "/t") -> bytes:
    """A request with these header lines, sent as they are."""
    encoded = [line if isinstance(line, bytes) else line.encode("latin-1") for line in lines]
    head = [f"{method} {path} HTTP/1.1".encode("latin-1"), b"Host: x", *encoded]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def pour(raw: Raw, piece: bytes, limit: int) -> int:
    """Send until the server has had enough; the bytes that left."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < limit:
            raw.send(piece)
            sent += len(piece)
    return sent


def deaf(server: Server) -> Raw:
    """A connection for whose client the kernel holds little: what it does not read, the server would have to."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", server.port))
    return Raw(sock)


def test_the_server_goes_on(server: Server, topic: str) -> None:
    """What the other tests of this file rely on: an ordinary request works."""
    assert server.poll(topic) == []


class TestSizes:
    """Bounded before it is read."""

    @pytest.mark.parametrize(
        "head",
        [
            request("X-Filler: " + "x" * 70_000),
            request(*[f"X-{n}: y" for n in range(10_000)]),
            b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            request("Title: x", path="/t?title=" + "y" * 70_000),
        ],
        ids=["value", "count", "path", "query"],
    )
    def test_large_headers(self, server: Server, head: bytes) -> None:
        error = refused(server.exchange(head), 43101)
        assert error["http"] == 431

    def test_headers_up_to_the_limit_are_fine(self, server: Server, topic: str) -> None:
        head = request("X-Filler: " + "x" * 60_000, "Content-Length: 2", body=b"hi", path=f"/{topic}")
        assert server.exchange(head).json()["message"] == "hi"

    @pytest.mark.parametrize("piece", [b"x" * 65536, b"X-A: b\r\n" * 8192, b"X: " + b"y" * 65536 + b"\r\n"])
    def test_endless_headers(self, server: Server, piece: bytes) -> None:
        """The answer comes, and the connection ends, long before the client is done."""
        before = memory()
        with server.connect() as raw:
            raw.send(b"GET /t HTTP/1.1\r\nX-Begin: ")
            sent = pour(raw, piece, 64 * MIB)
            assert sent < 64 * MIB
            assert raw.is_closed()
        assert memory() - before < 16 * MIB

    @pytest.mark.parametrize("path", ["/t", "/"])
    @pytest.mark.parametrize("chunked", [False, True])
    def test_endless_bodies(self, server: Server, path: str, chunked: bool) -> None:
        """Answered after the first bytes; what follows is not kept, and not read for ever."""
        before = memory()
        with server.connect() as raw:
            if chunked:
                raw.send(request("Transfer-Encoding: chunked", path=path))
                piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
            else:
                raw.send(request(f"Content-Length: {10**12}", path=path))
                piece = b"x" * 65536
            sent = pour(raw, piece, 256 * MIB)
            assert sent < 256 * MIB
        assert memory() - before < 16 * MIB

    @pytest.mark.parametrize(
        "piece",
        [b"X-Trailer: y\r\n" * 5000, b"z" * 65536],
        ids=["trailers", "one trailer"],
    )
    def test_endless_trailers(self, server: Server, piece: bytes) -> None:
        before = memory()
        with server.connect() as raw:
            raw.send(request("Transfer-Encoding: chunked", body=b"2\r\nhi\r\n0\r\nA: "))
            assert pour(raw, piece, 64 * MIB) < 64 * MIB
        assert memory() - before < 16 * MIB

    def test_endless_chunk_extensions(self, server: Server) -> None:
        before = memory()
        with server.connect() as raw:
            raw.send(request("Transfer-Encoding: chunked", body=b"2;a="))
            assert pour(raw, b"b" * 65536, 64 * MIB) < 64 * MIB
        assert memory() - before < 16 * MIB

    def test_a_large_body_gets_its_answer(self, server: Server) -> None:
        """A client that sends a megabyte where 4096 bytes are the limit still reads why it is refused."""
        response = server.post("/t", b"x" * MIB)
        refused(response, 40014)

    def test_many_parameters(self, server: Server, topic: str) -> None:
        query = "&".join(f"p{n}=1" for n in range(5000)) + "&title=late"
        started = time.monotonic()
        answer = server.exchange(request("Content-Length: 0", path=f"/{topic}?title=early&{query}"))
        assert answer.json()["title"] == "early"
        assert time.monotonic() - started < PATIENCE

    def test_deep_json(self, server: Server, topic: str) -> None:
        body = b'{"topic":"%s","actions":%s%s}' % (topic.encode(), b"[" * 3000, b"]" * 3000)
        refused(server.post("/", body), 40024)
        refused(server.post("/", b'{"topic":"t","priority":' + b"9" * 5000 + b"}"), 40024)

    def test_deep_actions(self, server: Server, topic: str) -> None:
        answer = server.exchange(request("Content-Length: 0", "Actions: " + "[" * 50_000, path=f"/{topic}"))
        refused(answer, 40018)


TRANSLATED = [
    (b"a\xff\xfeb", "a\ufffd\ufffdb"),
    (b"\xc3\xa4", "ä"),
    (b"=?utf-8?b?YQBi?=", "ab"),
    (b"=?utf-8?q?a=00b?=", "ab"),
    (b"=?utf-8?q?a=0D=0Ab?=", "a  b"),
    (b"=?utf-8?q?a=FFb?=", "a\ufffdb"),
    (b"tab\there", "tab\there"),
]


class TestBytes:
    """Invalid UTF-8, NULs and control characters."""

    @pytest.mark.parametrize(("sent", "expected"), TRANSLATED)
    def test_in_header_values(self, server: Server, topic: str, sent: bytes, expected: str) -> None:
        answer = server.exchange(request(b"Title: " + sent, "Content-Length: 1", body=b"x", path=f"/{topic}"))
        assert answer.json()["title"] == expected
        (stored,) = server.poll(topic)
        assert stored["title"] == expected

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("title=%FF%FE", "\ufffd\ufffd"),
            ("title=a%00b", "ab"),
            ("title=%E4", "\ufffd"),
            ("title=%zz", "%zz"),
            ("title=a%0Ab", "a\nb"),
            ("title=%F0%9F%92%BE", "💾"),
            ("title=%ED%A0%80x", "\ufffd\ufffd\ufffdx"),
            ("title=a;b", "a;b"),
            ("&&=&title=x&=&", "x"),
        ],
    )
    def test_in_the_query(self, server: Server, topic: str, query: str, expected: str) -> None:
        answer = server.exchange(request("Content-Length: 1", body=b"x", path=f"/{topic}?{query}"))
        assert answer.json()["title"] == expected
        with server.subscribe(topic, since="all", title=expected) as stream:
            stream.opened()
            assert stream.message()["title"] == expected

    @pytest.mark.parametrize("name", ["Title", "Tags", "Click", "Message", "X-Cache", "X-Whatever"])
    @pytest.mark.parametrize("bad", [b"\0", b"\x01", b"\x7f", b"\x1b"])
    def test_control_characters_in_headers(self, server: Server, name: str, bad: bytes) -> None:
        """Refused, or kept out of what others read: never taken over into a header or a line of ours."""
        answer = server.exchange(request(name.encode() + b": a" + bad + b"b", "Content-Length: 1", body=b"x"))
        assert answer.status in (200, 400)
        assert bad not in answer.body

    @pytest.mark.parametrize("head", [b"Ti\0tle: x", b"Ti tle: x", b"T\xff: x", b": x", b"no colon", b" folded: x"])
    def test_bad_header_names(self, server: Server, head: bytes) -> None:
        assert server.exchange(request(head, "Content-Length: 1", body=b"x")).status == 400

    @pytest.mark.parametrize("body", [b"\0", b"\xff", b"a\0b\0", b"\xc3", b"\xed\xa0\x80", bytes(range(256))])
    @pytest.mark.parametrize("path", ["/{topic}", "/{topic}?up=1", "/", "/{topic}/seq", "/{topic}?attach=http://x"])
    def test_in_bodies(self, server: Server, topic: str, path: str, body: bytes) -> None:
        response = server.post(path.format(topic=topic), body)
        assert response.status_code in (200, 400), response.text
        json.loads(response.content.decode())
        assert b"\0" not in response.content

    @pytest.mark.parametrize("form", ["json", "sse", "raw"])
    def test_no_message_forges_an_event(self, server: Server, topic: str, form: str) -> None:
        """Line ends of every kind stay inside the message they belong to."""
        text = 'a\n\nevent: open\ndata: {"x":1}\r\n\rb\u2028c\u0085d'
        server.publish(topic, text, headers={"Title": "=?utf-8?q?t=0Adata:_x?="})
        body = server.get(f"/{topic}/{form}?poll=1").content
        assert body.count(b"\n") == {"json": 1, "sse": 2, "raw": 1}[form]
        assert b"\r" not in body

    @pytest.mark.parametrize(
        "path",
        [
            "/../../etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/t/%2e%2e/json",
            "/..%2f..%2fetc%2fpasswd",
            "/static/../../../etc/passwd",
            "/file/..%2f..%2fetc%2fpasswd",
            "/t%00/json",
            "/%00",
            "/t%0a/json",
            "/t/json%0a",
            "/%ff%fe",
            "/%f0%9f%92%be",
            "/%",
            "/%zz",
            "/t\\json",
            "/gbe.notify.topic.t",
            "/t.x",
            "/%2a",
            "/%3e",
            "/t%2fjson%2f..",
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
    def test_paths(self, server: Server, method: str, path: str) -> None:
        answer = server.exchange(request("Content-Length: 1", body=b"x", method=method, path=path))
        assert answer.status in (404, 400)
        if answer.status == 404:
            refused(answer, 40401)

    def test_an_encoded_slash_is_a_slash(self, server: Server, topic: str) -> None:
        """As in ntfy, paths are compared decoded."""
        answer = server.exchange(request("Content-Length: 1", body=b"x", path=f"/{topic}%2Fs1"))
        assert answer.json()["sequence_id"] == "s1"


class TestMalformed:
    """What is not HTTP, or tries to be two requests at once."""

    @pytest.mark.parametrize(
        "data",
        [
            b"\x00\x01\x02\x03\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS client
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET t HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /t/json?\xff HTTP/1.1 extra\r\n\r\n",
            b"GET / HTTP/1.1\nHost x\n\n",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /t/json?poll=1 HTTP/1.1\r\n\r\n",
            request("Host: y", method="GET", path="/t/json?poll=1"),
            request("Content-Length: -1"),
            request("Content-Length: 1x", body=b"x"),
            request("Content-Length: " + "9" * 30),
            request("Content-Length: 1", "Content-Length: 2", body=b"xx"),
            request("Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
            request("Transfer-Encoding: chunked", "Content-Length: 5", body=b"0\r\n\r\n"),
            request("Transfer-Encoding: gzip, x", body=b"0\r\n\r\n"),
            request("Transfer-Encoding: chunked", body=b"zz\r\nhi\r\n0\r\n\r\n"),
            request("Transfer-Encoding: chunked", body=b"-2\r\nhi\r\n0\r\n\r\n"),
            request("Transfer-Encoding: chunked", body=b"2\r\nhixx\r\n0\r\n\r\n"),
            request("Transfer-Encoding: chunked", body=b"fffffffffffffffff\r\nhi"),
        ],
    )  # fmt: skip
    def test_it_is_refused_and_the_connection_ends(self, server: Server, data: bytes) -> None:
        with server.connect() as raw:
            raw.send(data)
            status, headers = raw.head()
            assert status in (0, 400, 408, 501), (status, headers)
            assert raw.is_closed(within=5)

    def test_the_answer_has_the_shape_of_every_error(self, server: Server) -> None:
        refused(server.exchange(b"nonsense\r\n\r\n"), 40000)

    def test_a_smuggled_request_is_never_run(self, server: Server, topic: str) -> None:
        inner = f"POST /{topic} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nevil".encode()
        for lines in (
            ("Transfer-Encoding: chunked", f"Content-Length: {5 + len(inner)}"),
            (f"Content-Length: {5 + len(inner)}", "Transfer-Encoding: chunked"),
            ("Transfer-Encoding: xchunked", "Content-Length: 0"),
            ("Transfer-Encoding: chunked, identity", "Content-Length: 0"),
            ("Transfer-Encoding : chunked", "Content-Length: 0"),
            ("Content-Length: 0", f"Content-Length: {len(inner)}"),
        ):
            with server.connect() as raw:
                raw.send(request(*lines, body=b"0\r\n\r\n" + inner))
                assert raw.head()[0] == 400
                assert raw.is_closed()
        assert server.poll(topic) == []

    def test_chunked_bodies(self, server: Server, topic: str) -> None:
        body = b"2;ext=1\r\nhi\r\n3\r\n yo\r\n0\r\nTitle: smuggled\r\nX-T: 1\r\n\r\n"
        answer = server.exchange(request("Transfer-Encoding: chunked", body=body, path=f"/{topic}"))
        assert answer.json()["message"] == "hi yo"
        assert "title" not in answer.json()
        document = json.dumps({"topic": topic}).encode()
        body = b"%x\r\n%b\r\n0\r\nTitle: smuggled\r\n\r\n" % (len(document), document)
        answer = server.exchange(request("Transfer-Encoding: chunked", body=body, path="/"))
        assert "title" not in answer.json()

    def test_pipelined_requests(self, server: Server, topic: str) -> None:
        """All are answered, in order."""
        with server.connect() as raw:
            raw.send(
                b"".join(
                    request(f"Content-Length: {len(str(n))}", body=str(n).encode(), path=f"/{topic}")
                    for n in range(200)
                )
            )
            assert [int(raw.answer().json()["message"]) for _ in range(200)] == list(range(200))
        assert [int(m["message"]) for m in server.poll(topic)] == list(range(200))

    def test_requests_behind_a_stream_wait(self, server: Server, topic: str) -> None:
        with server.connect() as raw:
            publish = request("Content-Length: 1", body=b"x", path=f"/{topic}")
            raw.send(request(method="GET", path=f"/{topic}/json") + publish)
            assert raw.head()[0] == 200
            server.publish(topic, "live")
            assert b'"open"' in raw._file.readline() + raw._file.readline()
            raw._file.readline()
            assert b'"live"' in raw._file.readline() + raw._file.readline()
        eventually(lambda: len(server.application.streams) == 0, "the stream ends when its client is gone")
        assert len(server.poll(topic)) == 1

    def test_an_upgrade_on_a_connection_that_is_to_close_is_answered(self, server: Server, topic: str) -> None:
        """Two ``Connection`` headers: the request was once thrown away, and its client waited for ever."""
        with server.connect() as raw:
            raw.send(upgrade(f"/{topic}/ws", "Connection: close"))
            refused(raw.answer(), 40016)
            assert raw.is_closed()

    def test_an_upgrade_to_something_else_is_an_ordinary_request(self, server: Server, topic: str) -> None:
        """``curl --http2`` asks for h2c on its first request."""
        head = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
        with server.connect() as raw:
            raw.send(request(*head, "Content-Length: 2", body=b"hi", path=f"/{topic}"))
            assert raw.answer().json()["message"] == "hi"
        with server.connect() as raw:
            raw.send(request(*head, method="GET", path=f"/{topic}/json?poll=1"))
            assert raw.answer().json()["message"] == "hi"

    @pytest.mark.parametrize(
        "lines",
        [
            ("Sec-WebSocket-Version: 13",),
            ("Sec-WebSocket-Key: short", "Sec-WebSocket-Version: 13"),
            ("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 7"),
            ("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",) * 2,
        ],
    )
    def test_bad_handshakes(self, server: Server, topic: str, lines: tuple[str, ...]) -> None:
        with server.connect() as raw:
            raw.send(request("Connection: Upgrade", "Upgrade: websocket", *lines, method="GET", path=f"/{topic}/ws"))
            assert raw.head()[0] in (400, 426)
            assert raw.is_closed()

    @pytest.mark.parametrize(
        ("lines", "query", "status"),
        [
            (("X-Long: " + "y" * 20_000,), "", 431),
            (tuple(f"X-{n}: y" for n in range(300)), "", 431),
            ((), "?x=" + "y" * 20_000, 414),
            (("Content-Length: 5",), "", 400),
            (("Transfer-Encoding: chunked",), "", 400),
        ],
        ids=["long header", "many headers", "long query", "body", "chunked body"],
    )
    def test_handshakes_that_the_library_does_not_take(
        self, server: Server, topic: str, lines: tuple[str, ...], query: str, status: int
    ) -> None:
        """They were neither answered nor ever closed: each cost the server a descriptor."""
        with server.connect() as raw:
            raw.send(upgrade(f"/{topic}/ws{query}", *lines))
            answer = raw.answer()
            assert (answer.status, answer.body) == (status, b"")
            assert raw.is_closed()

    def test_only_a_get_becomes_a_websocket(self, server: Server, topic: str) -> None:
        """Any other request that offers it is what it would be without."""
        with server.connect() as raw:
            lines = upgrade(f"/{topic}", "Content-Length: 2").removeprefix(b"GET")
            raw.send(b"POST" + lines + b"hi")
            assert raw.answer().json()["message"] == "hi"
            raw.send(request(method="GET", path=f"/{topic}/json?poll=1"))  # the connection is still one of HTTP
            assert raw.answer().json()["message"] == "hi"

    def test_a_whole_url_opens_a_websocket_too(self, server: Server, topic: str) -> None:
        with server.connect() as raw:
            raw.send(upgrade(f"http://x/{topic}/ws?poll=1"))
            assert raw.head()[0] == 101

    @pytest.mark.parametrize(
        "data",
        [b"\x81\x02hi", b"\x8f\x80\0\0\0\0", b"\x81\xff" + b"\xff" * 8 + b"\0" * 4, b"\xc1\x80\0\0\0\0", b"\0" * 100],
        ids=["unmasked", "unknown opcode", "enormous", "reserved bit", "zeros"],
    )
    def test_bad_frames(self, server: Server, topic: str, data: bytes) -> None:
        with server.connect() as raw:
            raw.send(upgrade(f"/{topic}/ws"))
            assert raw.head()[0] == 101
            frame(raw)
            raw.send(data)
            assert raw.is_closed()
        eventually(lambda: len(server.application.streams) == 0, "the stream ends")


def test_addresses_in_a_message_are_never_asked(server: Server, topic: str) -> None:
    """Whatever a publisher names, it is the subscribers' devices that go there."""
    with socket.create_server(("127.0.0.1", 0)) as inside:
        url = f"http://127.0.0.1:{inside.getsockname()[1]}/latest/meta-data"
        names = ("Attach", "Icon", "Click")
        actions = f"view, a, {url}; http, b, {url}"
        sent = server.publish(topic, "x", headers={**dict.fromkeys(names, url), "Actions": actions})
        assert sent["attachment"] == {"name": "meta-data", "url": url}
        document = {"topic": topic, **{name.lower(): url for name in names}}
        assert server.post("/", json.dumps(document)).status_code == 200
        for form in ("json", "sse", "raw"):
            assert server.get(f"/{topic}/{form}?poll=1").status_code == 200
        inside.setblocking(False)
        with pytest.raises(BlockingIOError):
            inside.accept()


class TestFloodsOfFrames:
    """What a client sends on a WebSocket costs the server no memory, however much it is."""

    def test_pings_whose_pongs_are_not_read(self, server: Server, topic: str) -> None:
        ping = b"\x89\xbc\0\0\0\0" + b"x" * 60
        with deaf(server) as raw:
            raw.send(upgrade(f"/{topic}/ws"))
            assert raw.head()[0] == 101
            raw.send(ping * (MIB // len(ping)))
            before = memory()
            for _ in range(12):
                raw.send(ping * (MIB // len(ping)))
            assert memory() - before < 5 * MIB
        assert server.publish(topic, "x")["message"] == "x"

    def test_pieces_of_a_message_that_never_ends(self, server: Server, topic: str) -> None:
        """Empty ones, so that the size of the message stays what it is."""
        with server.connect() as raw:
            raw.send(upgrade(f"/{topic}/ws"))
            assert raw.head()[0] == 101
            raw.send(b"\x01\x80\0\0\0\0" + b"\0\x80\0\0\0\0" * 100)
            assert raw.is_closed(within=12)  # sooner than for want of a pong
        eventually(lambda: len(server.application.streams) == 0, "the stream ends")

    def test_a_client_may_ping_and_send_pongs_nobody_asked_for(self, server: Server, topic: str) -> None:
        with server.connect() as raw:
            raw.send(upgrade(f"/{topic}/ws"))
            assert raw.head()[0] == 101
            assert frame(raw)[0] == 1
            raw.send(b"\x8a\x82\0\0\0\0hi" * 50 + b"\x89\x82\0\0\0\0yo")
            assert frame(raw) == (10, b"yo")


class TestSlowClients:
    """Time is bounded too."""

    def test_nothing_at_all(self, start: StartServer) -> None:
        server = start(http=HttpConfig(header_timeout=0.3))
        with server.connect() as raw:
            assert raw.is_closed()

    @pytest.mark.parametrize("begin", [b"GET /", b"GET /t HTTP/1.1\r\n", b"GET /t HTTP/1.1\r\nHost: x\r\nX-A: "])
    def test_headers_that_trickle(self, start: StartServer, begin: bytes) -> None:
        """However alive the client looks."""
        server = start(http=HttpConfig(header_timeout=1.0))
        started = time.monotonic()
        with server.connect() as raw:
            raw.send(begin)
            with contextlib.suppress(ConnectionError):
                while time.monotonic() - started < PATIENCE:
                    raw.send(b"a")
                    raw.socket.settimeout(0.05)
                    with contextlib.suppress(TimeoutError):
                        if raw.socket.recv(4096).startswith(b"HTTP/1.1 408 "):
                            break
            raw.socket.settimeout(PATIENCE)
            assert raw.is_closed()
        assert 0.9 < time.monotonic() - started < PATIENCE

    def test_the_second_request_has_the_same_time(self, start: StartServer, topic: str) -> None:
        server = start(http=HttpConfig(header_timeout=1.0))
        with server.connect() as raw:
            raw.send(request("Content-Length: 1", body=b"x", path=f"/{topic}") + b"GET /t HT")
            assert raw.answer().status == 200
            assert raw.answer().status == 408
            assert raw.is_closed()

    def test_an_idle_connection_is_kept_and_then_closed(self, start: StartServer, topic: str) -> None:
        server = start(http=HttpConfig(header_timeout=0.8, keep_alive_timeout=4))
        with server.connect() as raw:
            raw.send(request("Content-Length: 1", body=b"x", path=f"/{topic}"))
            assert raw.answer().status == 200
            raw.socket.settimeout(1.5)
            with pytest.raises(TimeoutError):
                raw.socket.recv(1)
            raw.socket.settimeout(PATIENCE)
            assert raw.is_closed()

    @pytest.mark.parametrize("path", ["/t", "/"])
    def test_bodies_that_trickle(self, start: StartServer, path: str) -> None:
        server = start(http=HttpConfig(body_timeout=1.0))
        started = time.monotonic()
        with server.connect() as raw:
            raw.send(request("Content-Length: 100", body=b"begin", path=path))
            raw.socket.settimeout(0.05)
            answer = b""
            while not answer and time.monotonic() - started < PATIENCE:
                raw.send(b"a")
                with contextlib.suppress(TimeoutError):
                    answer = raw.socket.recv(4096)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 40801
            raw.socket.settimeout(PATIENCE)
            assert raw.is_closed(), "what comes after 408 cannot be a request"
        assert 0.9 < time.monotonic() - started < PATIENCE

    def test_the_rest_of_a_refused_body_has_a_deadline_too(self, start: StartServer) -> None:
        server = start(http=HttpConfig(body_timeout=1.0))
        with server.connect() as raw:
            raw.send(request("Content-Length: 100000", "Priority: 9"))
            refused(raw.answer(), 40007)
            started = time.monotonic()
            with contextlib.suppress(ConnectionError):
                while time.monotonic() - started < PATIENCE:
                    raw.send(b"a")
                    raw.socket.settimeout(0.05)
                    try:
                        if not raw.socket.recv(4096):
                            break
                    except TimeoutError:
                        continue
            assert time.monotonic() - started < PATIENCE

    def test_expect_100_continue(self, server: Server, topic: str) -> None:
        with server.connect() as raw:
            raw.send(request("Content-Length: 2", "Expect: 100-continue", path=f"/{topic}"))
            assert raw.head()[0] == 100
            raw.send(b"hi")
            assert raw.answer().json()["message"] == "hi"

    def test_a_refused_expectation_is_not_asked_for_its_body(self, server: Server, topic: str) -> None:
        with server.connect() as raw:
            raw.send(request("Content-Length: 2", "Expect: 100-continue", "Priority: 9", path=f"/{topic}"))
            refused(raw.answer(), 40007)


class TestClientsThatGoAway:
    """In the middle of anything."""

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"POST /",
            b"POST /t HTTP/1.1\r\nHo",
            request("Content-Length: 100", body=b"half"),
            request("Content-Length: 100", path="/", body=b'{"topic":'),
            request("Transfer-Encoding: chunked", body=b"5\r\nha"),
            request(method="GET", path="/t/json"),
            request(method="GET", path="/t/sse?since=all"),
            request(method="GET", path="/t/json?poll=1"),
            upgrade("/t/ws"),
            upgrade("/t/ws?poll=1"),
            upgrade("/docs/ws"),
            request(method="GET", path="/v1/health"),
            request(method="GET", path="/metrics"),
        ],
    )
    @pytest.mark.parametrize("reset", [True, False])
    def test_at_once(self, server: Server, data: bytes, reset: bool) -> None:
        for _ in range(5):
            with server.connect() as raw:
                if reset:
                    raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raw.send(data)
        eventually(lambda: len(server.application.streams) == 0, "no stream outlives its client")
        assert server.get("/v1/health").status_code == 200

    def test_a_client_that_only_stops_sending_gets_its_answer(self, server: Server, topic: str) -> None:
        """As ``nc -N`` does: its request is complete, so it is answered, and then the connection ends."""
        with server.connect() as raw:
            raw.send(request("Content-Length: 2", body=b"hi", path=f"/{topic}"))
            raw.socket.shutdown(socket.SHUT_WR)
            assert raw.answer().json()["message"] == "hi"
        assert [m["message"] for m in server.poll(topic)] == ["hi"]

    def test_a_half_message_is_not_published(self, server: Server, topic: str) -> None:
        with server.connect() as raw:
            raw.send(request("Content-Length: 100", body=b"half", path=f"/{topic}"))
        with server.connect() as raw:
            raw.send(request("Transfer-Encoding: chunked", body=b"4\r\nhalf\r\n", path=f"/{topic}"))
        server.publish(topic, "whole")
        assert [m["message"] for m in server.poll(topic)] == ["whole"]

    @pytest.mark.parametrize("form", ["json", "sse", "raw", "ws"])
    def test_while_messages_come(self, server: Server, topic: str, form: str) -> None:
        for number in range(20):
            with server.connect() as raw:
                path = f"/{topic}/{form}?since=all"
                raw.send(upgrade(path) if form == "ws" else request(method="GET", path=path))
                assert raw.head()[0] in (101, 200)
                raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, number % 2))
                server.publish(topic, str(number))
        eventually(lambda: len(server.application.streams) == 0, "no stream outlives its client")
        assert len(server.poll(topic)) == 20

    def test_topics_are_forgotten(self, server: Server, topic: str) -> None:
        """A process receives only what somebody here follows (engine subscriptions end a little later)."""
        hub = server.application.services.hub
        with server.subscribe(topic) as stream:
            stream.opened()
            assert hub.followed_topics >= 1
        eventually(lambda: hub.followed_topics == 0, "nothing is followed any more")


class TestSlowReaders:
    """A subscriber that stops reading: a bounded queue, then the connection is dropped; nobody else notices."""

    CONFIG = NotifyConfig(keepalive_interval=KEEPALIVE, subscriber_queue_bytes=65_536, subscriber_queue_messages=50)

    @pytest.fixture(params=["json", "sse", "raw", "ws"])
    def stuck(
        self, request: pytest.FixtureRequest, start: StartServer, topic: str
    ) -> Iterator[tuple[Server, Raw, str]]:
        """A server and a connection whose client reads the open event and nothing more."""
        server = start(notify=self.CONFIG)
        path = f"/{topic}/{request.param}"
        with deaf(server) as raw:
            raw.send(upgrade(path) if request.param == "ws" else _get(path))
            raw.head()
            yield server, raw, request.param

    def test_it_is_dropped(self, stuck: tuple[Server, Raw, str], topic: str, caplog: pytest.LogCaptureFixture) -> None:
        server, _, _ = stuck
        streams = server.application.streams
        eventually(lambda: len(streams) == 1, "the stream is open")
        with server.subscribe(topic) as other, caplog.at_level(logging.INFO):
            other.opened()
            deadline = time.monotonic() + PATIENCE
            count, slowest = 0, 0.0
            while len(streams) > 1:
                assert time.monotonic() < deadline, "the stuck client is not dropped"
                started = time.monotonic()
                server.publish(topic, "x" * 4000)
                slowest = max(slowest, time.monotonic() - started)
                count += 1
                assert other.message()["message"] == "x" * 4000
        assert count < 4000, "kernel buffers and a bounded queue, no more"
        assert slowest < 2
        reasons = [r.getMessage() for r in caplog.records if r.getMessage().startswith("stream ")]
        assert len(reasons) == 1, reasons
        with server.subscribe(topic, since="all") as again:  # and comes back for what it missed
            again.opened()
            for _ in range(count):
                again.message()

    @pytest.mark.parametrize("form", ["json", "ws"])
    def test_one_whose_stream_ends_is_not_waited_for(self, start: StartServer, topic: str, form: str) -> None:
        """What is buffered for it would hold its connection, whether the server stops or it may no longer read."""
        notify = NotifyConfig(
            keepalive_interval=KEEPALIVE, message_size_limit=MIB, subscriber_queue_bytes=64 * MIB, base_url="http://x"
        )
        server = start(notify=notify)
        path = f"/{topic}/{form}"
        with deaf(server) as raw:
            raw.send(upgrade(path) if form == "ws" else _get(path))
            raw.head()
            eventually(lambda: len(server.application.streams) == 1, "the stream is open")
            for _ in range(9):
                server.publish(topic, "x" * 900_000)

            async def end() -> None:
                server.application.end_streams()

            server.loop.call(end())
            eventually(lambda: raw.socket.getsockname() not in peers(), "the connection is gone", within=20)

    def test_a_large_replay_waits_for_its_reader(self, start: StartServer, topic: str) -> None:
        """A replay is read from the engine as fast as the client takes it."""
        server = start(notify=self.CONFIG)
        for _ in range(2000):
            server.publish(topic, "x" * 4000)
        before = memory()
        with server.subscribe(topic, since="all") as stream:
            stream.opened()
            stream.message()
            live = server.publish(topic, "live")
            time.sleep(0.2)
            assert memory() - before < 64 * MIB
            found = [stream.message() for _ in range(2000)]
        assert found[-1] == live


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


class TestAnything:
    """Bytes that are no request, and requests in pieces; ``test_fuzz.py`` has requests of every kind."""

    @given(data=st.binary(min_size=1, max_size=400), prefix=st.sampled_from([b"", b"GET /t", b"POST /t HTTP/1.1\r\n"]))
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    def test_bytes(self, memory_server: Server, data: bytes, prefix: bytes) -> None:
        with memory_server.connect() as raw:
            raw.send(prefix + data)
            raw.socket.shutdown(socket.SHUT_WR)
            assert raw.is_closed()

    def test_requests_cut_to_pieces(self, server: Server, topic: str) -> None:
        """Where TCP cuts a request does not matter."""
        whole = request(
            "Title: =?utf-8?q?=C3=A4?=", "Tags: a,b", "Transfer-Encoding: chunked", path=f"/{topic}?click=x",
            body=b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        )  # fmt: skip
        shuffled = random.Random(1)
        for _ in range(10):
            with server.connect() as raw:
                raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                rest = whole
                while rest:
                    cut = shuffled.randint(1, 20)
                    raw.send(rest[:cut])
                    rest = rest[cut:]
                message = raw.answer().json()
            assert (message["title"], message["tags"], message["message"]) == ("ä", ["a", "b"], "hello world")


def test_memory_is_bounded_over_many_requests(server: Server, topic: str) -> None:
    """Distinct paths, topics and visitors leave nothing behind that grows."""

    def many(count: int) -> None:
        with server.connect() as raw:
            for number in range(count):
                raw.send(request("Content-Length: 0", method="GET", path=f"/{topic}-{number}/json?poll=1&x={number}"))
                raw.answer()

    _growth(many, 3000)


def _growth(work: Callable[[int], None], count: int) -> None:
    work(count)
    before = memory()
    work(count)
    assert memory() - before < 8 * MIB
