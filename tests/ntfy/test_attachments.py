"""Attachments (section 4.6): what becomes a file, what is told of it, how it is handed out, and within which limits."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.naming import unique
from tests.ntfy.conftest import OpenObjects, OpenStore, OpenTransport, StartServer
from tests.ntfy.server import Loop, Server, eventually, message_in, refused

from gbe.http.config import HttpConfig
from gbe.http.services import now_ms
from gbe.notify.config import NotifyConfig

BASE = "https://push.example.net"
HOUR = 3600.0
KIB = 1024
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
LONG = "ä" * 3000


class Nodes(NamedTuple):
    """Two nodes on one engine, with one object store."""

    one: Server
    two: Server


class SharedNodes:
    """Two nodes of each back end, started when the first test wants them."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._nodes: dict[str, Nodes] = {}

    def get(self, back_end: str, start_one: Callable[[str], Server]) -> Nodes:
        if back_end not in self._nodes:
            namespace = unique("n")
            started = [self._stack.enter_context(start_one(namespace)) for _ in range(2)]
            self._nodes[back_end] = Nodes(*started)
        return self._nodes[back_end]


@pytest.fixture(scope="module")
def shared_nodes() -> Iterator[SharedNodes]:
    with ExitStack() as stack:
        yield SharedNodes(stack)


@pytest.fixture
def start_node(
    loop: Loop,
    http_client: httpx.Client,
    open_transport: OpenTransport,
    open_store: OpenStore,
    open_objects: OpenObjects,
) -> Callable[[str], Server]:
    """Makes a server in a namespace; who enters it starts it."""
    return lambda namespace: Server(
        loop,
        http_client,
        open_transport,
        namespace=namespace,
        notify=NotifyConfig(base_url=BASE),
        open_store=open_store,
        open_objects=open_objects,
    )


@pytest.fixture
def nodes(back_end: str, shared_nodes: SharedNodes, start_node: Callable[[str], Server]) -> Nodes:
    """Two nodes that the tests of this file share; each test has topics of its own."""
    return shared_nodes.get(back_end, start_node)


def path_of(message: dict[str, Any]) -> str:
    """The path of a message's attachment."""
    url: str = message["attachment"]["url"]
    assert url.startswith(f"{BASE}/file/")
    return url.removeprefix(BASE)


HTML = "<!DOCTYPE html><script>alert(1)</script>" + "x" * 5000
UPLOADS = [
    # name, body, headers → attachment's name, type, extension in the URL; what a browser is told
    ("a named file", b"hello", {"Filename": "notes.md"}, "notes.md", "text/plain; charset=utf-8", ".txt", ""),
    ("an empty file", b"", {"Filename": "empty"}, "empty", "text/plain; charset=utf-8", ".txt", ""),
    ("a long text", LONG.encode(), {}, "attachment.txt", "text/plain; charset=utf-8", ".txt", ""),
    ("exactly the limit", b"x" * 4096, {}, "attachment.txt", "text/plain; charset=utf-8", ".txt", ""),
    ("a picture", PNG, {}, "attachment.png", "image/png", ".png", ""),
    ("bytes", b"\x00\x01\xff" * 9, {}, "attachment.bin", "application/octet-stream", ".bin", ""),
    ("a PDF", b"%PDF-1.7 ...", {"f": "r.pdf"}, "r.pdf", "application/pdf", ".pdf", ""),
    ("a package", b"PK\x03\x04....", {"X-Filename": "a.apk"}, "a.apk",
     "application/vnd.android.package-archive", ".apk", ""),
    ("a page", HTML.encode(), {}, "attachment.html", "text/html; charset=utf-8", ".html", "text/plain; charset=utf-8"),
    ("umlauts", b"x", {"Filename": '=?utf-8?q?=C3=A4"\\=0D=0A.txt?='}, 'ä"\\  .txt',
     "text/plain; charset=utf-8", ".txt", ""),
    ("several parts", b"ab" * 400_000, {"Filename": "big"}, "big", "text/plain; charset=utf-8", ".txt", ""),
]  # fmt: skip


def test_what_is_uploaded_is_downloaded_from_any_node(nodes: Nodes, topic: str) -> None:
    """Message, poll and download agree; the bytes are the same; nothing that a browser would run is served as such."""
    for title, body, headers, name, kind, extension, served in UPLOADS:
        before = int(time.time())
        message = nodes.one.publish(topic, body, headers={**headers, "Title": title})
        attachment = message["attachment"]
        assert list(attachment) == ["name", "type", "size", "expires", "url"], title
        assert message["message"] == f"You received a file: {name}"
        assert (attachment["name"], attachment["type"], attachment["size"]) == (name, kind, len(body)), title
        assert before + 3 * HOUR <= attachment["expires"] <= time.time() + 3 * HOUR
        path = path_of(message)
        assert path.endswith(extension)
        file_id = path.removeprefix("/file/").removesuffix(extension)
        assert len(file_id) == 12
        assert file_id.isalnum()

        answer = nodes.two.get(path)
        assert (answer.status_code, answer.content) == (200, body), title
        assert answer.headers["content-type"] == (served or kind)
        assert answer.headers["content-length"] == str(len(body))
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["content-disposition"].startswith("attachment; filename=")
        assert nodes.two.get(f"/file/{file_id}").content == body
        assert nodes.two.get(f"/file/{file_id}.whatever").content == body

        head = nodes.two.request("HEAD", path)
        assert (head.status_code, head.content) == (200, b"")
        assert (head.headers["content-length"], head.headers["access-control-allow-origin"]) == (str(len(body)), "*")
        assert "content-disposition" not in head.headers
    messages = nodes.two.poll(topic)
    assert [m["title"] for m in messages] == [title for title, *_ in UPLOADS]
    assert all("attachment" in message for message in messages)
    quoted = next(m for m in messages if m["title"] == "umlauts")
    disposition = nodes.one.get(path_of(quoted)).headers["content-disposition"]
    assert disposition == "attachment; filename=\"___  .txt\"; filename*=UTF-8''%C3%A4%22%5C%20%20.txt"


def test_what_is_no_upload(nodes: Nodes, topic: str) -> None:
    """Rows 1 to 3 of section 4.5 come before files, and so do ordinary messages."""
    server = nodes.one
    assert "attachment" not in server.publish(topic, b"x" * 4095)
    assert "attachment" not in server.publish(topic, b"\xff" * 5000, headers={"UnifiedPush": "1", "Filename": "f"})
    assert "attachment" not in server.publish(topic, b"x" * 5000, headers={"X-Poll-ID": "abc", "Filename": "f"})
    external = server.publish(topic, b"x" * 5000, headers={"Attach": "https://x.net/a.png", "Filename": "b.png"})
    assert external["attachment"] == {"name": "b.png", "url": "https://x.net/a.png"}
    assert len(external["message"]) == 4096
    caption = server.publish(topic, PNG, headers={"Message": r"one\ntwo", "Filename": "p.png"})
    assert caption["message"] == "one\ntwo"


def test_publishing_as_json(nodes: Nodes, topic: str) -> None:
    """A file name turns the message text into a file, and a long message is one by itself (section 4.8)."""
    named = message_in(nodes.one.post("/", json.dumps({"topic": topic, "message": "text", "filename": "n.txt"})))
    assert named["message"] == "You received a file: n.txt"
    assert nodes.two.get(path_of(named)).text == "text"
    long = message_in(nodes.one.post("/", json.dumps({"topic": topic, "message": "y" * 5000})))
    assert nodes.two.get(path_of(long)).text == "y" * 5000


def test_unknown_files(nodes: Nodes, topic: str) -> None:
    """404, and what is no path of a file is another route's."""
    path = path_of(nodes.one.publish(topic, b"x", headers={"Filename": "f"}))
    other = "/file/" + "".join(chr(ord("A") + n) for n in range(12))
    refused(nodes.one.get(other), 40401)
    assert nodes.one.request("HEAD", other).status_code == 404
    refused(nodes.one.get(f"{path}/x"), 40401)
    refused(nodes.one.get("/file/..%2f..%2fetc"), 40401)
    refused(nodes.one.get("/file/tooshort.txt"), 40401)
    refused(nodes.one.get(path + "x" * 16), 40401)


def test_ranges_and_conditions_do_not_count(nodes: Nodes, topic: str) -> None:
    """Always the whole file, 200."""
    path = path_of(nodes.one.publish(topic, b"0123456789", headers={"Filename": "f"}))
    answer = nodes.one.get(path, headers={"Range": "bytes=2-3", "If-None-Match": "*"})
    assert (answer.status_code, answer.text) == (200, "0123456789")
    assert "etag" not in answer.headers


class TestWithoutFiles:
    """Not configured, a long or binary message is an error (section 4.6)."""

    def test_a_file_is_refused(self, server: Server, topic: str) -> None:
        """A long one, a binary one, and one with a name."""
        for body, headers in ((b"x" * 4096, {}), (b"\xff", {}), (b"x", {"Filename": "f"})):
            error = refused(server.post(f"/{topic}", body, headers=headers), 40014)
            assert error["error"].startswith("invalid request: attachments not allowed")
        refused(server.get("/file/AAAAAAAAAAAA"), 40401)


@pytest.fixture
def limited(start: StartServer, open_store: OpenStore, open_objects: OpenObjects) -> "StartLimited":
    return StartLimited(start, open_store, open_objects)


class StartLimited:
    """Starts nodes of one deployment with limits."""

    def __init__(self, start: StartServer, open_store: OpenStore, open_objects: OpenObjects) -> None:
        self._start, self._store, self._objects, self._namespace = start, open_store, open_objects, unique("n")

    def __call__(self, **limits: Any) -> Server:
        return self._start(
            notify=NotifyConfig(base_url=BASE, behind_proxy=True, visitor_request_limit_burst=1000, **limits),
            limits=True,
            namespace=self._namespace,
            open_store=self._store,
            open_objects=self._objects,
        )


def upload(server: Server, topic: str, size: int, client: str = "192.0.2.1") -> httpx.Response:
    return server.post(f"/{topic}", b"x" * size, headers={"Filename": "f", "X-Forwarded-For": client})


def test_sizes_are_limited_on_all_nodes_together(limited: StartLimited, topic: str) -> None:
    """Per file, per visitor and in all; with an announced length before a byte is read, and without one as it comes."""
    limits = {
        "attachment_file_size_limit": 10 * KIB,
        "visitor_attachment_total_size_limit": 25 * KIB,
        "attachment_total_size_limit": 40 * KIB,
    }
    one, two = limited(**limits), limited(**limits)
    assert upload(one, topic, 10 * KIB).status_code == 200
    error = refused(upload(one, topic, 10 * KIB + 1), 41301)
    assert error["error"] == "attachment too large, or bandwidth limit reached"
    assert error["link"] == "https://ntfy.sh/docs/publish/#limitations"

    def unannounced() -> Iterator[bytes]:
        yield from [b"x" * KIB] * 11

    chunked = two.request(
        "POST", f"/{topic}", content=unannounced(), headers={"Filename": "f", "X-Forwarded-For": "192.0.2.1"}
    )
    refused(chunked, 41301)
    with one.connect() as raw:  # an announced length is refused before anything of it has come
        raw.send(b"PUT /%b HTTP/1.1\r\nHost: x\r\nFilename: f\r\nContent-Length: 10241\r\n\r\n" % topic.encode())
        assert raw.answer().status == 413

    assert upload(two, topic, 10 * KIB).status_code == 200
    refused(upload(one, topic, 6 * KIB), 41301)  # 20 of 25 are taken, through whichever node
    assert upload(one, topic, 5 * KIB).status_code == 200
    refused(upload(two, topic, 1), 41301)
    assert upload(two, topic, 10 * KIB, "192.0.2.2").status_code == 200  # 35 of 40 in all
    refused(upload(one, topic, 6 * KIB, "192.0.2.2"), 41301)
    refused(upload(one, topic, 6 * KIB, "192.0.2.3"), 41301)
    assert len(one.poll(topic)) == 4


def test_bandwidth_of_the_day(limited: StartLimited, topic: str) -> None:
    """Up and down together, downloads at the uploader's expense; an upload is refused with 413, a download with 429."""
    server = limited(visitor_attachment_daily_bandwidth_limit=30 * KIB)
    path = path_of(message_in(upload(server, topic, 10 * KIB)))
    stranger = {"X-Forwarded-For": "198.51.100.9"}
    assert server.get(path, headers=stranger).status_code == 200
    assert server.request("HEAD", path, headers=stranger).status_code == 200
    refused(upload(server, topic, 10 * KIB + 1), 41301)
    assert server.get(path, headers=stranger).status_code == 200
    error = refused(server.get(path, headers=stranger), 42905)
    assert error["error"] == "limit reached: daily bandwidth reached"
    assert server.request("HEAD", path, headers=stranger).status_code == 200
    assert upload(server, topic, 10 * KIB, "198.51.100.9").status_code == 200


def test_a_download_costs_a_request(start: StartServer, open_store: OpenStore, open_objects: OpenObjects) -> None:
    server = start(
        notify=NotifyConfig(
            base_url=BASE, visitor_request_limit_burst=1, visitor_request_limit_replenish=HOUR
        ),
        limits=True,
        open_store=open_store,
        open_objects=open_objects,
    )  # fmt: skip
    refused(server.get("/file/AAAAAAAAAAAA"), 40401)
    refused(server.get("/file/AAAAAAAAAAAA"), 42901)


def test_what_expires_is_gone_and_counts_no_longer(
    limited: StartLimited, topic: str, loop: Loop, open_objects: OpenObjects
) -> None:
    """The file dies before its message; its bytes are removed, and there is room again."""
    server = limited(attachment_expiry_duration=2.0, visitor_attachment_total_size_limit=10 * KIB)
    message = message_in(upload(server, topic, 9 * KIB))
    path = path_of(message)
    assert server.get(path).status_code == 200
    refused(upload(server, topic, 9 * KIB), 41301)
    eventually(lambda: server.get(path).status_code == 404, "the file expires")
    refused(server.get(path), 40401)
    eventually(lambda: upload(server, topic, 9 * KIB).status_code == 200, "its bytes count no longer")
    assert server.poll(topic)[0] == message

    assert server.files is not None
    names = loop.call(_names(open_objects))
    assert len(names) == 2
    assert loop.call(server.files.sweep(now_ms())) == 0, "a download that began in time may end"
    assert loop.call(server.files.sweep(now_ms() + 120_000)) == 2
    assert loop.call(server.files.sweep(now_ms() + 120_000)) == 0
    assert loop.call(_names(open_objects)) == []


async def _names(open_objects: OpenObjects) -> list[str]:
    async with await open_objects() as objects:
        return [found.name async for found in objects.list("notify/files")]


def test_a_file_goes_no_later_than_its_message(limited: StartLimited, topic: str) -> None:
    server = limited(cache_duration=600.0)
    message = message_in(upload(server, topic, 10))
    assert 0 <= message["expires"] - message["attachment"]["expires"] <= 30  # the one was taken, then the other written
    uncached = message_in(
        server.post(f"/{topic}", b"x", headers={"Filename": "f", "Cache": "no", "X-Forwarded-For": "192.0.2.1"})
    )
    assert "expires" not in uncached
    assert uncached["attachment"]["expires"] >= time.time() + 2 * HOUR


def test_a_delay_beyond_the_life_of_the_file(limited: StartLimited, topic: str) -> None:
    """40015, before the body is looked at."""
    server = limited(attachment_expiry_duration=HOUR)
    delayed = {"Filename": "f", "X-Forwarded-For": "192.0.2.1"}
    refused(server.post(f"/{topic}", b"x", headers={**delayed, "Delay": "2h"}), 40015)
    message = message_in(server.post(f"/{topic}", b"x", headers={**delayed, "Delay": "30m"}))
    assert message["attachment"]["expires"] < message["expires"]
    assert server.post(f"/{topic}", b"no file", headers={"Delay": "2h"}).status_code == 200


def test_a_client_that_hangs_up_leaves_nothing(
    limited: "StartLimited", topic: str, loop: Loop, open_objects: OpenObjects
) -> None:
    """Half an upload is no message, no object, and no bytes that count."""
    server = limited()
    with server.connect() as raw:
        raw.send(b"PUT /%b HTTP/1.1\r\nHost: x\r\nFilename: f\r\nContent-Length: 100000\r\n\r\n" % topic.encode())
        raw.send(b"x" * 50_000)
    path = path_of(server.publish(topic, b"whole", headers={"Filename": "f"}))
    assert server.get(path).text == "whole"
    assert len(server.poll(topic)) == 1
    assert len(loop.call(_names(open_objects))) == 1
    assert server.files is not None
    assert loop.call(server.files.total_size(now_ms())) == 5


@pytest.mark.parametrize("back_end", ["memory"])  # no engine has a part in it
def test_a_large_upload_may_take_longer_than_a_small_body(
    start: StartServer, open_store: OpenStore, open_objects: OpenObjects, topic: str
) -> None:
    """The deadline of a body moves on as long as enough of it comes; a trickle is cut off."""
    server = start(
        notify=NotifyConfig(base_url=BASE),
        http=HttpConfig(body_timeout=3.0),
        open_store=open_store,
        open_objects=open_objects,
    )
    size, step = 1_000_000, 100_000
    head = b"PUT /%b HTTP/1.1\r\nHost: x\r\nFilename: f\r\nContent-Length: %d\r\n\r\n" % (topic.encode(), size)
    with server.connect() as raw:
        raw.send(head)
        for _ in range(size // step):
            raw.send(b"x" * step)
            time.sleep(0.4)  # not for anything to happen: the client is slow
        assert raw.answer().status == 200
    with server.connect() as raw:
        raw.send(head + b"x" * 1000)
        assert raw.answer().status == 408


@pytest.mark.parametrize("back_end", ["memory"])
@given(
    body=st.binary(max_size=9000),
    name=st.text(min_size=1, max_size=60),
    options=st.dictionaries(
        st.sampled_from(["Delay", "Attach", "UnifiedPush", "Cache", "Sequence-ID", "X-Poll-ID", "Message", "Expect"]),
        st.sampled_from(["1", "no", "3h", "10s", "2h", "http://x/y", "in 1 hour", "tomorrow, 1am", "s-1", "?", ""]),
        max_size=3,
    ),
    method=st.sampled_from(["PUT", "POST"]),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_upload_is_a_fault_of_the_server(
    nodes: Nodes, topic: str, body: bytes, name: str, options: dict[str, str], method: str
) -> None:
    """Whatever is sent, it is stored as it came or refused with a code; what is stored can be downloaded."""
    query = {"f": name.encode("utf-8", "replace")}
    answer = nodes.one.request(method, f"/{topic}", content=body, headers=options, params=query)
    assert answer.status_code in (200, 400, 413, 417), answer.text
    if answer.status_code == 200 and (attachment := answer.json().get("attachment")) and "size" in attachment:
        download = nodes.two.get(attachment["url"].removeprefix(BASE))
        assert (download.status_code, download.content) == (200, body)
