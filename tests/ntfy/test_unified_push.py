"""UnifiedPush with subscriber rate limiting, and the Matrix gateway (sections 4.11 and 4.13)."""

import json

import pytest
from tests.naming import unique
from tests.ntfy.conftest import OpenStore, StartServer
from tests.ntfy.server import Server, eventually, message_in, refused

from gbe.notify.config import NotifyConfig
from gbe.notify.topics_in_use import TopicsInUse
from gbe.notify.visitors import Visitors

BASE = "https://push.example.net"
GATEWAY = "/_matrix/push/v1/notify"
HOUR = 3600.0
UP = "upAbCdEf123456"


def notification(pushkey: str, **more: object) -> str:
    return json.dumps({"notification": {"event_id": "$1", **more, "devices": [{"app_id": "a", "pushkey": pushkey}]}})


@pytest.fixture
def gateway(start: StartServer) -> Server:
    return start(notify=NotifyConfig(base_url=BASE))


def test_discovery(gateway: Server) -> None:
    answer = gateway.get(GATEWAY)
    assert (answer.status_code, answer.content) == (200, b'{"unifiedpush":{"gateway":"matrix"}}\n')
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_notification_becomes_a_message(gateway: Server, topic: str) -> None:
    """The whole JSON, byte for byte."""
    text = notification(f"{BASE}/{topic}?up=1", room_name="ä <&>") + "  \n"
    with gateway.subscribe(topic) as stream:
        stream.opened()
        answer = gateway.post(GATEWAY, text)
        assert (answer.status_code, answer.json()) == (200, {"rejected": []})
        message = stream.message()
    assert (message["event"], message["message"]) == ("message", text)
    assert gateway.poll(topic) == [message]


def test_another_servers_push_key_is_rejected(gateway: Server) -> None:
    for pushkey in ("https://other.example/t?up=1", f"{BASE}.evil.example/t", "t", f"{BASE}:99/t"):
        answer = gateway.post(GATEWAY, notification(pushkey))
        assert (answer.status_code, answer.json()) == (200, {"rejected": [pushkey]})


REFUSED = [
    ("", 40019),
    ("not json", 40019),
    ("[]", 40019),
    ("null", 40019),
    ("[" * 4000, 40019),
    ('{"notification":{}}', 40019),
    ('{"notification":{"devices":[]}}', 40019),
    ('{"notification":{"devices":[{"app_id":"x"}]}}', 40019),
    ('{"notification":{"devices":[{"pushkey":7}]}}', 40019),
    (notification(f"{BASE}/"), 40019),
    (notification(f"{BASE}/a/b?up=1"), 40019),
    (notification(f"{BASE}/docs?up=1"), 40010),
    (notification(f"{BASE}/t?up=1", filler="x" * 4096), 41302),
    ("x" * 4096, 41302),
]


def test_what_the_gateway_refuses(gateway: Server) -> None:
    for body, code in REFUSED:
        refused(gateway.post(GATEWAY, body), code)


def test_without_a_base_url_there_is_no_gateway(server: Server) -> None:
    for method in ("GET", "POST"):
        refused(server.request(method, GATEWAY), 50003)


class TestSubscriberRateLimiting:
    """``visitor_subscriber_rate_limiting``: who subscribes pays, and without a subscriber nothing is taken."""

    @pytest.fixture
    def nodes(self, start: StartServer, open_store: OpenStore) -> tuple[Server, Server]:
        namespace = unique("n")
        config = NotifyConfig(
            base_url=BASE,
            behind_proxy=True,
            visitor_subscriber_rate_limiting=True,
            visitor_request_limit_burst=12,
            visitor_request_limit_replenish=HOUR,
        )

        def node() -> Server:
            return start(notify=config, namespace=namespace, open_store=open_store, limits=True)

        return node(), node()

    def test_who_pays(self, nodes: tuple[Server, Server]) -> None:
        """507 before anybody has subscribed, on whichever node; then the subscriber is charged, not the publisher."""
        one, two = nodes
        phone, server = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "198.51.100.1"}
        error = refused(one.post(f"/{UP}?up=1", b"x", headers=server), 50701)
        assert error["error"] == "cannot publish to UnifiedPush topic without previously active subscriber"
        refused(one.post("/other?up=1", b"x", headers=server), 50701)
        push = notification(f"{BASE}/{UP}?up=1")
        refused(one.post(GATEWAY, push, headers=server), 50701)
        assert one.post(f"/{UP}", b"no UnifiedPush", headers=server).status_code == 200

        assert two.get(f"/{UP}/json?poll=1", headers=phone).status_code == 200
        refused(two.post("/other?up=1", b"x", headers=server), 50701)
        for _ in range(11):  # one of twelve went with the poll: but on the other node
            assert one.post(f"/{UP}?up=1", b"\xff", headers=server).status_code == 200
        assert one.post(f"/{UP}?up=1", b"\xff", headers=server).status_code == 200
        refused(one.post(f"/{UP}?up=1", b"\xff", headers=server), 42901)
        assert one.post(GATEWAY, push, headers=server).status_code == 200, "the gateway's own request is its caller's"
        assert two.post(f"/{UP}?up=1", b"x", headers=server).status_code == 200

    def test_a_stream_appoints_too(self, nodes: tuple[Server, Server]) -> None:
        one, two = nodes
        with one.subscribe(f"a,{UP}") as stream:
            stream.opened()
            message = message_in(two.post(f"/{UP}?up=1", b"hello"))
            assert stream.message() == message


def test_a_topic_that_was_idle_for_long_is_forgotten(start: StartServer, open_store: OpenStore, topic: str) -> None:
    """The Matrix server is told so after 12 hours without a subscriber; until then it may try again."""
    server = start(notify=NotifyConfig(base_url=BASE, visitor_subscriber_rate_limiting=True), open_store=open_store)
    pushkey = f"{BASE}/{topic}?up=1"
    refused(server.post(GATEWAY, notification(pushkey)), 50701)
    topics = server.application.services.topics
    clock = topics._clock  # time is not ours to wait for
    topics._clock = lambda: clock() + 12 * HOUR + 1
    answer = server.post(GATEWAY, notification(pushkey))
    assert (answer.status_code, answer.json()) == (200, {"rejected": [pushkey]})


def test_topics_that_nobody_uses_make_room() -> None:
    """After 16 hours, unless they are followed (section 8.1)."""
    now = 0.0
    followed = {"b"}
    config = NotifyConfig(global_topic_limit=2)
    topics = TopicsInUse(config, followed.__contains__, lambda: now)
    visitor = Visitors(config).of_request(("192.0.2.1", 1), [])
    topics.use("a", visitor)
    topics.use("b", visitor)
    now = 17 * HOUR
    topics.use("c", visitor)
    assert len(topics) == 2
    assert topics.idle_for("b") <= 17 * HOUR
    now = 18 * HOUR
    with pytest.raises(Exception, match="total number of topics"):
        topics.use("d", visitor)


def test_discovery_creates_no_topic(start: StartServer, topic: str) -> None:
    server = start(notify=NotifyConfig(global_topic_limit=1))
    assert server.get(f"/{topic}?up=1").content == b'{"unifiedpush":{"version":1}}\n'
    assert len(server.application.services.topics) == 0
    server.publish(f"{topic}x", "room for one")
    eventually(lambda: len(server.application.services.topics) == 1, "a topic that is used counts")
