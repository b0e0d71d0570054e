"""Visitors and their limits: sections 8.2 to 8.4."""

import time
from contextlib import ExitStack

import pytest
from tests.ntfy.conftest import StartServer
from tests.ntfy.server import Server, eventually, refused
from tests.ntfy.test_websocket import receive

from gbe.notify.config import NotifyConfig
from gbe.notify.visitors import Visitors

HOUR = 3600.0


def test_the_request_bucket(start: StartServer, topic: str) -> None:
    """A burst is granted, then 42901."""
    server = start(
        limits=True, notify=NotifyConfig(visitor_request_limit_burst=5, visitor_request_limit_replenish=HOUR)
    )
    for _ in range(5):
        server.publish(topic, "x")
    error = refused(server.post(f"/{topic}", "x"), 42901)
    assert error["error"] == "limit reached: too many requests"
    assert error["link"] == "https://ntfy.sh/docs/publish/#limitations"
    refused(server.get(f"/{topic}/json?poll=1"), 42901)
    refused(server.get(f"/{topic}/auth"), 42901)
    refused(server.request("OPTIONS", f"/{topic}"), 42901)
    refused(server.request("DELETE", f"/{topic}/s"), 42901)
    refused(server.post("/", f'{{"topic":"{topic}"}}'), 42901)
    # what costs nothing still answers; names and JSON are looked at first
    assert server.get("/v1/health").status_code == 200
    assert server.get(f"/{topic}").status_code == 200
    assert server.get(f"/{topic}?up=1").status_code == 200
    refused(server.post("/docs", "x"), 40010)
    refused(server.post("/", "not json"), 40024)
    refused(server.get("/no/such/path"), 40401)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/t", "x"),
        ("GET", "/t/publish", ""),
        ("POST", "/", '{"topic":"t"}'),
        ("DELETE", "/t/s", ""),
        ("GET", "/t/json?poll=1", ""),
        ("GET", "/t/auth", ""),
        ("OPTIONS", "/t", ""),
        ("POST", "/t?priority=9", "x"),
        ("GET", "/file/AbCdEfGhIjKl", ""),
        ("POST", "/_matrix/push/v1/notify", "{}"),
    ],
)
def test_what_costs_a_request(start: StartServer, method: str, path: str, body: str) -> None:
    server = start(
        limits=True, notify=NotifyConfig(visitor_request_limit_burst=1, visitor_request_limit_replenish=HOUR)
    )
    assert server.request(method, path, content=body).status_code in (200, 400, 404, 500)  # no file, no base URL
    refused(server.get("/t/auth"), 42901)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/health", ""),
        ("GET", "/", ""),
        ("GET", "/t", ""),
        ("POST", "/", "{"),
        ("GET", "/a/b/c/d", ""),
        ("GET", "/v1/config", ""),
        ("GET", "/config.js", ""),
        ("GET", "/v1/stats", ""),
        ("GET", "/v1/account", ""),
        ("GET", "/v1/users", ""),
        ("GET", "/static/x", ""),
    ],
)
def test_what_costs_nothing(start: StartServer, method: str, path: str, body: str) -> None:
    server = start(
        limits=True, notify=NotifyConfig(visitor_request_limit_burst=1, visitor_request_limit_replenish=HOUR)
    )
    for _ in range(3):
        server.request(method, path, content=body)
    assert server.get("/t/auth").status_code == 200


def test_the_bucket_fills_again(start: StartServer) -> None:
    server = start(limits=True, notify=NotifyConfig(visitor_request_limit_burst=3, visitor_request_limit_replenish=0.2))
    began = time.monotonic()
    answers = eventually(lambda: _until_granted_again(server, began), "one more request is granted")
    granted, elapsed = answers
    assert granted <= 3 + elapsed / 0.2 + 1


def _until_granted_again(server: Server, began: float) -> tuple[int, float]:
    granted, was_refused = 0, False
    while not was_refused or granted < 5:
        ok = server.get("/t/auth").status_code == 200
        granted += ok
        was_refused |= not ok
    return granted, time.monotonic() - began


def test_messages_of_the_day(start: StartServer, topic: str) -> None:
    server = start(limits=True, notify=NotifyConfig(visitor_message_daily_limit=3))
    server.publish(topic, "1")
    refused(server.post(f"/{topic}", b"\xff"), 40014)  # fails only because of its body: it counts
    refused(server.post(f"/{topic}?priority=9", b"x"), 40007)  # fails before: it does not
    assert server.request("DELETE", f"/{topic}/s").status_code == 200
    error = refused(server.post(f"/{topic}", "4"), 42908)
    assert error["error"] == "limit reached: daily message quota reached"
    refused(server.post("/", f'{{"topic":"{topic}"}}'), 42908)
    refused(server.request("PUT", f"/{topic}/s/clear"), 42908)
    assert len(server.poll(topic)) == 2


def test_open_streams(start: StartServer, topic: str) -> None:
    """One slot per stream, whatever its form; a closed one gives its slot back."""
    server = start(limits=True, notify=NotifyConfig(visitor_subscription_limit=3))
    with ExitStack() as stack:
        stack.enter_context(server.subscribe(f"{topic},b,c")).opened()
        stack.enter_context(server.subscribe(topic, "sse")).line()
        receive(stack.enter_context(server.websocket(topic)))
        error = refused(server.get(f"/{topic}/json"), 42903)
        assert error["error"] == "limit reached: too many active subscriptions"
        refused(server.get(f"/{topic}/json?poll=1"), 42903)  # a poll occupies a slot while it runs
        server.publish(topic, "x")
    eventually(lambda: server.get(f"/{topic}/json?poll=1").status_code == 200, "a slot is free again")
    for _ in range(5):
        assert server.get(f"/{topic}/json?poll=1").status_code == 200
        refused(server.get(f"/{topic}/json?since=x"), 40008)


def test_topics_in_use(start: StartServer, topic: str) -> None:
    """By publishing and by subscribing, each counted once."""
    server = start(notify=NotifyConfig(global_topic_limit=3))
    with server.subscribe(f"{topic}a,{topic}b") as stream:
        stream.opened()
        server.publish(f"{topic}c", "the third")
        for _ in range(2):
            error = refused(server.post(f"/{topic}d", "x"), 42904)
            assert error["error"].startswith("limit reached: the total number of topics on the server")
            refused(server.get(f"/{topic}d/json?poll=1"), 42904)
            refused(server.post("/", f'{{"topic":"{topic}d"}}'), 42904)
            refused(server.request("DELETE", f"/{topic}d/s"), 42904)
        server.publish(f"{topic}a", "known")
        assert server.poll(f"{topic}a,{topic}c")[0]["message"] == "the third"


def test_new_topics_of_a_visitor(start: StartServer, topic: str) -> None:
    """So many at once; topics that are in use cost nothing, whoever brought them in (section 8.3)."""
    server = start(
        limits=True,
        notify=NotifyConfig(
            visitor_topic_creation_limit_burst=2, visitor_topic_creation_limit_replenish=HOUR, behind_proxy=True
        ),
    )
    other = {"X-Forwarded-For": "198.51.100.7"}
    server.publish(f"{topic}1", "x")
    server.poll(f"{topic}2")
    refused(server.post(f"/{topic}3", "x"), 42911)
    server.publish(f"{topic}3", "x", headers=other)
    for name in (1, 2, 3):
        server.publish(f"{topic}{name}", "x")
    refused(server.get(f"/{topic}4/json?poll=1"), 42911)


class TestBehindAProxy:
    """Section 8.4, over the wire: who is charged."""

    @pytest.mark.parametrize(
        ("header", "trusted", "sent", "other", "same_visitor"),
        [
            ("X-Forwarded-For", (), "198.51.100.7", "198.51.100.8", False),
            ("X-Forwarded-For", (), "1.1.1.1, 198.51.100.7", "2.2.2.2, 198.51.100.7", True),
            ("X-Forwarded-For", ("10.0.0.0/8",), "198.51.100.7, 10.1.2.3", "198.51.100.8, 10.1.2.3", False),
            ("X-Forwarded-For", ("10.0.0.0/8",), "198.51.100.7, 10.1.2.3", "198.51.100.7, 10.9.9.9", True),
            ("X-Forwarded-For", (), "2001:db8::1", "2001:db8::2", True),
            ("X-Forwarded-For", (), "2001:db8::1", "2001:db8:0:1::1", False),
            ("X-Forwarded-For", (), "nonsense", "more nonsense", True),
            ("X-Forwarded-For", (), "nonsense", "", True),
            ("Forwarded", (), "for=198.51.100.7;proto=https", 'for="198.51.100.8"', False),
            ("Forwarded", (), 'for="[2001:db8::1]:4711"', 'for="[2001:db8::9]"', True),
            ("CF-Connecting-IP", (), "198.51.100.7", "198.51.100.8", False),
        ],
    )  # fmt: skip
    def test_who_is_charged(
        self,
        start: StartServer,
        header: str,
        trusted: tuple[str, ...],
        sent: str,
        other: str,
        same_visitor: bool,
    ) -> None:
        server = start(
            limits=True,
            notify=NotifyConfig(
                behind_proxy=True,
                proxy_forwarded_header=header,
                proxy_trusted_hosts=trusted,
                visitor_request_limit_burst=1,
                visitor_request_limit_replenish=HOUR,
            ),
        )
        assert server.get("/t/auth", headers={header: sent}).status_code == 200
        refused(server.get("/t/auth", headers={header: sent}), 42901)
        assert server.get("/t/auth", headers={header: other}).status_code == (429 if same_visitor else 200)

    def test_without_a_proxy_the_header_is_ignored(self, start: StartServer) -> None:
        server = start(
            limits=True, notify=NotifyConfig(visitor_request_limit_burst=1, visitor_request_limit_replenish=HOUR)
        )
        assert server.get("/t/auth", headers={"X-Forwarded-For": "198.51.100.7"}).status_code == 200
        refused(server.get("/t/auth", headers={"X-Forwarded-For": "198.51.100.8"}), 42901)


def test_the_exempt_skip_requests_and_messages(start: StartServer, topic: str) -> None:
    server = start(
        notify=NotifyConfig(
            visitor_request_limit_burst=1, visitor_request_limit_replenish=HOUR, visitor_message_daily_limit=1
        )
    )
    for _ in range(5):
        server.publish(topic, "x")


def test_the_daily_limit_follows_from_the_request_limit() -> None:
    """17280 unless it is set (section 8.3)."""
    assert NotifyConfig().daily_message_limit == 17280
    assert NotifyConfig(visitor_message_daily_limit=5).daily_message_limit == 5


@pytest.mark.parametrize(
    ("address", "other", "same"),
    [
        ("203.0.113.9", "203.0.113.9", True),
        ("203.0.113.9", "203.0.113.10", False),
        ("203.0.113.9", "::ffff:203.0.113.9", True),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
    ],
)
def test_who_is_one_visitor(address: str, other: str, same: bool) -> None:
    """/32 for IPv4, /64 for IPv6 (section 8.2)."""
    visitors = Visitors(NotifyConfig())
    keys = {visitors.of_request((host, 1), []).key for host in (address, other)}
    assert (len(keys) == 1) is same
