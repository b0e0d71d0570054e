"""Section 10.3 over HTTP: what each caller may on each route, and which entry decides."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from tests.naming import unique
from tests.ntfy.access.accounts import ADMIN, TOKEN, Account, Nodes, basic, new_address
from tests.ntfy.server import PATIENCE, Server, Stream, eventually, refused
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from gbe.http.streams import GOING_AWAY

FORMS = ("json", "sse", "raw")
WRITES = [
    ("POST", "/{}"),
    ("PUT", "/{}"),
    ("POST", "/{}/seq"),
    ("GET", "/{}/publish?message=x"),
    ("GET", "/{}/send?message=x"),
    ("GET", "/{}/trigger"),
    ("PUT", "/{}/seq/clear"),
    ("GET", "/{}/seq/read"),
    ("DELETE", "/{}/seq"),
    ("GET", "/{}/seq/delete"),
    ("POST", "/"),
]
READS = [("GET", f"/{{}}/{word}") for word in ("json?poll=1", "sse?poll=1", "raw?poll=1", "auth")]

# (caller, topic, may read, may write), by the entries in conftest.py; everything else is denied
TABLE = [
    ("", "open-1", True, True),
    ("", "ops-1", False, False),
    ("", "ops-db", False, False),
    ("", "else", False, False),
    ("anna", "ops-1", True, True),
    ("anna", "ops-db", True, True),  # own entries beat longer ones of everybody
    ("anna", "OPS-1", False, False),  # case counts
    ("anna", "open-1", True, True),
    ("anna", "else", False, False),
    ("bert", "ops-1", True, False),
    ("bert", "ops-db", False, False),  # the longer one of the own entries
    ("bert", "open-1", True, False),  # own entries count first, though everybody may more
    (ADMIN, "else", True, True),
    (ADMIN, "ops-db", True, True),
]


@pytest.mark.parametrize(("caller", "topic", "reads", "writes"), TABLE)
def test_each_caller_may_what_the_entries_say(
    memory_nodes: Nodes, caller: str, topic: str, reads: bool, writes: bool
) -> None:
    headers = {"Authorization": basic(caller)} if caller else {}
    for may, routes in ((reads, READS), (writes, WRITES)):
        for method, path in routes:
            content = f'{{"topic":"{topic}"}}'
            response = memory_nodes.one.request(method, path.format(topic), headers=headers, content=content)
            if may:
                assert response.status_code == 200, (method, path, response.text)
            else:
                refused(response, 40301)


def test_of_several_topics_all_must_be_readable(memory_nodes: Nodes) -> None:
    headers = {"Authorization": basic("anna")}
    assert memory_nodes.one.get("/ops-1,open-1/auth", headers=headers).json() == {"success": True}
    for path in ("auth", "json?poll=1", "sse?poll=1"):
        error = refused(memory_nodes.one.get(f"/ops-1,else/{path}", headers=headers), 40301)
        assert error == {
            "code": 40301,
            "http": 403,
            "error": "forbidden",
            "link": "https://ntfy.sh/docs/publish/#authentication",
        }


@pytest.mark.parametrize("path", ["/v1/health", "/v1/config", "/metrics", "/else", "/else?up=1", "/config.js"])
def test_pages_and_figures_need_no_permission(memory_nodes: Nodes, path: str) -> None:
    assert memory_nodes.one.get(path).status_code == 200


class TestOrderOfChecks:
    """Section 4.2: of two things that are wrong, which one the client sees."""

    def test_the_name_of_the_topic_comes_before_the_permission(self, memory_nodes: Nodes) -> None:
        refused(memory_nodes.one.post("/docs", "x"), 40010)
        refused(memory_nodes.one.get("/docs/json?poll=1"), 40010)

    def test_the_permission_comes_before_the_options(self, memory_nodes: Nodes) -> None:
        refused(memory_nodes.one.post("/else?priority=9", "x"), 40301)
        refused(memory_nodes.one.get("/else/json?since=x"), 40301)

    def test_json_is_read_before_the_permission_is_asked(self, memory_nodes: Nodes) -> None:
        refused(memory_nodes.one.post("/", "{"), 40024)

    def test_credentials_come_before_everything(self, memory_nodes: Nodes) -> None:
        refused(memory_nodes.one.post("/docs", "x", headers={"Authorization": "Bearer tk_wrong"}), 40101)


def test_users_always_have_their_sync_topic(memory_nodes: Nodes) -> None:
    user = memory_nodes.new_user()
    topic = user.request(memory_nodes.one, "GET", "/v1/account").json()["sync_topic"]
    assert topic.startswith("st_")
    assert len(topic) == 16
    assert user.may(memory_nodes.one, f"/{topic}/auth")
    refused(memory_nodes.one.get(f"/{topic}/auth"), 40301)


def test_a_stream_ends_when_its_reader_may_no_longer_read(nodes: Nodes) -> None:
    """On the node that has the stream, though the change is made on another; others don't notice."""
    user, topic = nodes.new_user(), unique("t")
    nodes.allow(user.name, topic, "ro")
    headers = {"Authorization": user.header}
    eventually(lambda: user.may(nodes.other, f"/{topic}/auth"), "the other node knows the entry")
    with (
        nodes.other.subscribe(topic, headers={"Authorization": f"Bearer {TOKEN}"}) as admins,
        nodes.other.subscribe(topic, headers=headers) as stream,
    ):
        stream.opened()
        admins.opened()
        nodes.allow(user.name, topic, "deny")
        assert [line for line in stream.lines if '"keepalive"' not in line] == []
        nodes.one.publish(topic, "still here", headers={"Authorization": f"Bearer {TOKEN}"})
        assert admins.message()["message"] == "still here"
    refused(nodes.other.get(f"/{topic}/json", headers=headers), 40301)


def test_streams_of_a_deleted_user_end(nodes: Nodes) -> None:
    user, topic = nodes.new_user(), unique("open-")
    with nodes.other.subscribe(topic, headers={"Authorization": user.header}) as stream:
        stream.opened()
        assert nodes.admin("DELETE", "/v1/users", {"username": user.name}).status_code == 200
        assert [line for line in stream.lines if '"keepalive"' not in line] == []
    refused(nodes.other.get(f"/{topic}/auth", headers={"Authorization": user.header}), 40101)


class TestATokenThatExpires:
    """Ends the streams that it has opened, of every form, though nobody changes anything."""

    def test_while_they_are_open(self, memory_nodes: Nodes) -> None:
        user, topic = memory_nodes.new_user(), unique("open-")
        token = _token(user, memory_nodes, 10)
        with ExitStack() as stack:
            streams = _opened(stack, memory_nodes.one, topic, token)
            streams.read_to_the_end()
            assert time.time() >= token["expires"]
        refused(memory_nodes.one.get(f"/{topic}/json", headers=_bearer(token)), 40101)

    def test_sooner_than_it_was_said_when_they_were_opened(self, nodes: Nodes) -> None:
        """On all nodes; the stream of another token of the same user stays."""
        user, topic = nodes.new_user(), unique("open-")
        token, lasting = (_token(user, nodes, 3600) for _ in range(2))
        with ExitStack() as stack:
            streams = [_opened(stack, node, topic, token) for node in (nodes.one, nodes.other)]
            stays = stack.enter_context(nodes.other.subscribe(topic, headers=_bearer(lasting))).opened()
            soon = {"token": token["token"], "expires": int(time.time()) + 2}
            assert user.request(nodes.one, "PATCH", "/v1/account/token", json=soon).status_code == 200
            for each in streams:
                each.read_to_the_end()
            assert time.time() >= soon["expires"]
            nodes.one.publish(topic, "still here", headers={"Authorization": f"Bearer {TOKEN}"})
            assert stays.message()["message"] == "still here"


@dataclass
class _Open:
    streams: list[Stream]
    socket: ClientConnection

    def read_to_the_end(self) -> None:
        """There are signs of life until the server ends them, properly."""
        for stream in self.streams:
            assert not [line for line in stream.lines if '"message"' in line]
        with pytest.raises(ConnectionClosed) as closed:
            self.socket.recv(timeout=PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == GOING_AWAY


def _bearer(token: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {token['token']}"}


def _token(user: Account, nodes: Nodes, seconds: int) -> dict[str, Any]:
    body = {"expires": int(time.time()) + seconds}
    token: dict[str, Any] = user.request(nodes.one, "POST", "/v1/account/token", json=body).json()

    def is_known() -> bool:  # each look that comes too early is a failed login, of which an address has 30
        return nodes.other.get("/v1/account", headers={**_bearer(token), **new_address()}).status_code == 200

    eventually(is_known, "the other node knows the token")
    return token


def _opened(stack: ExitStack, node: Server, topic: str, token: dict[str, Any]) -> _Open:
    """A stream of each form; each has said that it is open."""
    streams = [stack.enter_context(node.subscribe(topic, form, headers=_bearer(token))) for form in FORMS]
    for stream in streams:
        stream.line()
    socket = stack.enter_context(node.websocket(topic, additional_headers=_bearer(token)))
    socket.recv(timeout=PATIENCE)
    return _Open(streams, socket)
