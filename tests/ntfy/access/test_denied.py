"""Ways in beside the usual ones, for those who may not write: the Matrix gateway, files, JSON, sequences."""

import json
from dataclasses import replace

import httpx
import pytest
from tests.ntfy.access.accounts import CONFIG, TOKEN, basic
from tests.ntfy.conftest import BASE_URL, OpenObjects, OpenStore, StartServer
from tests.ntfy.server import Server, refused

from gbe.notify.config import NotifyConfig

GATEWAY = "/_matrix/push/v1/notify"
FILE = b"\x89PNG\r\n\x1a\n" + b"\xff" * 5000


def push(topic: str) -> str:
    return json.dumps({"notification": {"devices": [{"pushkey": f"{BASE_URL}/{topic}?up=1"}]}})


WAYS = [
    # method, path, body, headers
    ("POST", "/TOPIC", b"text", {}),
    ("POST", "/TOPIC", FILE, {}),
    ("PUT", "/TOPIC", b"text", {"Filename": "f.txt"}),
    ("PUT", "/TOPIC/seq", FILE, {}),
    ("GET", "/TOPIC/publish", b"", {"Message": "x"}),
    ("POST", "/TOPIC?up=1", b"\xff", {}),
    ("POST", "/TOPIC", b'{"x":1}', {"Template": "1", "Message": "{{.x}}"}),
    ("POST", "/TOPIC", b"x", {"Delay": "1h"}),
    ("PUT", "/TOPIC/seq/clear", b"", {}),
    ("DELETE", "/TOPIC/seq", b"", {}),
    ("GET", "/TOPIC/seq/delete", b"", {}),
    ("POST", "/", b'{"topic":"TOPIC"}', {}),
    ("POST", "/", b'{"topic":"TOPIC","message":"m","filename":"f"}', {}),
    ("POST", GATEWAY, push("TOPIC").encode(), {}),
]


@pytest.mark.parametrize("default", ["deny-all", "read-only"])
def test_who_may_not_write_is_refused_by_every_way_in(
    start: StartServer, open_store: OpenStore, open_objects: OpenObjects, topic: str, default: str
) -> None:
    """403, or 401 with wrong credentials; nothing is stored, and no file is left or counted."""
    access = replace(CONFIG, auth_default_access=default, auth_access=())
    notify = NotifyConfig(base_url=BASE_URL)
    server = start(notify=notify, access=access, open_store=open_store, open_objects=open_objects)

    def attempt(way: tuple[str, str, bytes, dict[str, str]], **credentials: str) -> httpx.Response:
        method, path, body, headers = way
        content = body.replace(b"TOPIC", topic.encode())
        return server.request(method, path.replace("TOPIC", topic), content=content, headers={**headers, **credentials})

    for way in WAYS:
        refused(attempt(way), 40301)
    refused(attempt(WAYS[-1], Authorization="Bearer tk_" + "x" * 29), 40101)
    refused(attempt(WAYS[1], Authorization="Bearer tk_" + "x" * 29), 40101)

    admin = f"Bearer {TOKEN}"
    stored = server.get(f"/{topic}/json?poll=1&scheduled=1", headers={"Authorization": admin})
    account = server.get("/v1/account", headers={"Authorization": admin}).json()
    assert (stored.text, account["stats"]["attachment_total_size"]) == ("", 0)
    assert server.get(f"/{topic}/json?poll=1").status_code == {"deny-all": 403, "read-only": 200}[default]
    for way in WAYS:
        allowed = attempt(way, Authorization=admin)
        assert allowed.status_code == 200, allowed.text


def test_the_gateway_answers_in_the_order_of_the_checks(closed: Server) -> None:
    """Discovery and a foreign push key need no permission; a bad name comes before it."""
    assert closed.get(GATEWAY).json() == {"unifiedpush": {"gateway": "matrix"}}
    foreign = json.dumps({"notification": {"devices": [{"pushkey": "https://x.net/t"}]}})
    assert closed.post(GATEWAY, foreign).json() == {"rejected": ["https://x.net/t"]}
    refused(closed.post(GATEWAY, push("docs")), 40010)
    refused(closed.post(GATEWAY, "no json"), 40019)
    refused(closed.post(GATEWAY, push("secret")), 40301)
    refused(closed.post(GATEWAY, push("secret"), headers={"Authorization": basic("bert")}), 40301)
    assert closed.post(GATEWAY, push("ops-m"), headers={"Authorization": basic("anna")}).json() == {"rejected": []}
