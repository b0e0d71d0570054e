"""The npm package ``ntfy``, as a JavaScript program uses it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.ntfy.clients.conftest import PASSWORD, USER
from tests.ntfy.server import PATIENCE, Server

HERE = Path(__file__).parent
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(
    NODE is None or not (HERE / "node_modules/ntfy").exists(), reason="no Node.js, or `make clients` has not run"
)


def run(server: Server, topic: str, **options: Any) -> subprocess.CompletedProcess[str]:
    config = {"server": server.url, "topic": topic, **options}
    return subprocess.run(
        [str(NODE), "publish.mjs", json.dumps(config)],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def publish(server: Server, topic: str, **options: Any) -> dict[str, Any]:
    done = run(server, topic, **options)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_every_option_of_the_package_arrives(server: Server, topic: str) -> None:
    answer = publish(
        server,
        topic,
        message="Disk almost full",
        title="db-1",
        priority=5,
        tags=["warning", "db"],
        clickURL="https://example.net/db-1",
        iconURL="https://example.net/icon.png",
        actions=[
            {"type": "view", "label": "Open", "url": "https://example.net/", "clear": True},
            {
                "type": "http",
                "label": "Free",
                "url": "https://example.net/free",
                "method": "put",
                "headers": {"X-Key": "k1"},
            },
            {"type": "broadcast", "label": "Picture", "extras": {"cmd": "pic"}, "intent": "net.example.DO"},
        ],
    )
    (stored,) = server.poll(topic)
    assert stored == answer
    assert (stored["message"], stored["title"], stored["priority"]) == ("Disk almost full", "db-1", 5)
    assert (stored["tags"], stored["icon"]) == (["warning", "db"], "https://example.net/icon.png")
    view, call, broadcast = stored["actions"]
    assert (view["action"], view["url"], view["clear"]) == ("view", "https://example.net/", True)
    assert (call["method"], call["headers"]) == ("PUT", {"X-Key": "k1"})
    assert (broadcast["intent"], broadcast["extras"]) == ("net.example.DO", {"cmd": "pic"})


def test_what_is_not_to_be_kept_is_not(server: Server, topic: str) -> None:
    with server.subscribe(topic) as stream:
        stream.opened()
        answer = publish(server, topic, message="passing", disableCache=True)
        assert stream.message()["id"] == answer["id"]
    assert server.poll(topic) == []


def test_a_refusal_is_an_error_of_the_package(server: Server, topic: str) -> None:
    done = run(server, topic, message="x", priority=9)
    assert done.returncode == 1
    assert "Bad Request" in done.stderr


def test_a_user_publishes_a_file_and_a_delayed_message(closed: Server, ops: str, tmp_path: Path) -> None:
    authorization = {"username": USER, "password": PASSWORD}
    assert "Forbidden" in run(closed, ops, message="x").stderr
    assert "Unauthorized" in run(closed, ops, message="x", authorization={**authorization, "password": "no"}).stderr
    file = tmp_path / "file.bin"
    file.write_bytes(bytes(range(256)) * 20)
    sent = publish(closed, ops, fileAttachment=str(file), authorization=authorization)
    path = sent["attachment"]["url"].removeprefix("https://push.example.net")
    assert closed.get(path).content == file.read_bytes()
    delayed = publish(closed, ops, message="later", delay="1h", authorization=authorization)
    listed = closed.get(f"/{ops}/json?poll=1&scheduled=1", auth=(USER, PASSWORD)).text.splitlines()
    assert delayed["id"] in [json.loads(line)["id"] for line in listed]
