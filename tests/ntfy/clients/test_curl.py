"""curl, as scripts and people use it."""

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.ntfy.clients.conftest import PASSWORD, TOKEN, USER
from tests.ntfy.server import PATIENCE, Server, eventually

CURL = shutil.which("curl")

pytestmark = pytest.mark.skipif(CURL is None, reason="there is no curl on PATH")


def curl(*arguments: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(
        [str(CURL), "-sS", *arguments], input=stdin, capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def answer(*arguments: str, stdin: bytes = b"") -> dict[str, Any]:
    value: dict[str, Any] = json.loads(curl(*arguments, stdin=stdin))
    return value


@contextmanager
def following(url: str) -> Iterator["subprocess.Popen[str]"]:
    """``curl -N URL`` with its lines."""
    with subprocess.Popen([str(CURL), "-sSN", url], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_text_from_the_command_line_and_from_a_pipe(server: Server, topic: str) -> None:
    curl("-d", "Backup done", f"{server.url}/{topic}")
    curl("-T", "-", f"{server.url}/{topic}", stdin=b"from a pipe\n")
    assert [one["message"] for one in server.poll(topic)] == ["Backup done", "from a pipe"]


def test_options_as_headers_and_as_a_query(server: Server, topic: str) -> None:
    sent = answer(
        "-H", "Title: =?UTF-8?B?w4RyZ2Vy?=", "-H", "p: high", "-H", "ta: skull,db", "-d", "x", f"{server.url}/{topic}"
    )  # fmt: skip
    assert (sent["title"], sent["priority"], sent["tags"]) == ("Ärger", 4, ["skull", "db"])
    sent = answer(f"{server.url}/{topic}/trigger?message=hello&priority=max&tags=a,b")
    assert (sent["message"], sent["priority"], sent["tags"]) == ("hello", 5, ["a", "b"])


def test_json_and_actions(server: Server, topic: str) -> None:
    body = {
        "topic": topic,
        "message": "Door open",
        "actions": [{"action": "view", "label": "Look", "url": "https://example.net/"}],
    }
    sent = answer("-H", "Content-Type: application/json", "-d", json.dumps(body), server.url)
    assert sent["actions"][0]["label"] == "Look"
    sent = answer("-H", "Actions: http, Close, https://example.net/, method=PUT", "-d", "x", f"{server.url}/{topic}")
    assert (sent["actions"][0]["action"], sent["actions"][0]["method"]) == ("http", "PUT")


@pytest.mark.parametrize("form", ["json", "sse", "raw"])
def test_a_stream_is_followed_line_by_line(server: Server, topic: str, form: str) -> None:
    with following(f"{server.url}/{topic}/{form}") as stream:
        assert stream.stdout is not None
        first = stream.stdout.readline()  # the open event, in each form's way
        curl("-d", "live", f"{server.url}/{topic}")
        line = next(line for line in stream.stdout if "live" in line)
    assert ("open" in first) == (form != "raw")
    assert line.startswith({"json": "{", "sse": "data: {", "raw": "live"}[form])


def test_stored_messages_are_polled_and_filtered(server: Server, topic: str) -> None:
    curl("-d", "one", "-H", "Priority: 1", f"{server.url}/{topic}")
    curl("-d", "two", "-H", "Priority: 5", f"{server.url}/{topic}")
    lines = curl(f"{server.url}/{topic}/json?poll=1&priority=5").splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["two"]


def test_an_error_has_its_status_and_says_what_is_wrong(server: Server, topic: str) -> None:
    error = answer("-d", "x", "-H", "Priority: 9", f"{server.url}/{topic}")
    assert (error["http"], error["code"]) == (400, 40007)
    assert error["error"]


# -- users, files, delays


def test_a_user_and_a_token_open_what_is_closed(closed: Server, ops: str) -> None:
    url = f"{closed.url}/{ops}"
    assert answer("-d", "x", url)["code"] == 40301
    assert answer("-u", f"{USER}:wrong", "-d", "x", url)["code"] == 40101
    sent = answer("-u", f"{USER}:{PASSWORD}", "-d", "by its user", url)
    curl("-H", f"Authorization: Bearer {TOKEN}", "-d", "by a token", url)
    credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    auth = base64.b64encode(f"Basic {credentials}".encode()).decode().rstrip("=")
    lines = curl(f"{url}/json?poll=1&auth={auth}").splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["by its user", "by a token"]
    assert json.loads(lines[0])["id"] == sent["id"]


def test_a_file_goes_up_and_comes_down_the_same(closed: Server, ops: str, tmp_path: Path) -> None:
    file = tmp_path / "flower.bin"
    file.write_bytes(bytes(range(256)) * 400)
    sent = answer("-u", f"{USER}:{PASSWORD}", "-T", str(file), "-H", "Filename: flower.bin", f"{closed.url}/{ops}")
    attachment = sent["attachment"]
    assert (attachment["name"], attachment["size"]) == ("flower.bin", file.stat().st_size)
    path = attachment["url"].removeprefix("https://push.example.net")
    assert curl(closed.url + path) == file.read_bytes()


def test_a_delayed_message_is_listed_and_comes_when_it_is_due(closed: Server, ops: str) -> None:
    login, url = ("-u", f"{USER}:{PASSWORD}"), f"{closed.url}/{ops}"
    curl(*login, "-H", "In: 10s", "-d", "later", url)
    assert curl(*login, f"{url}/json?poll=1") == b""
    (listed,) = curl(*login, f"{url}/json?poll=1&scheduled=1").splitlines()
    assert json.loads(listed)["message"] == "later"
    came = eventually(lambda: curl(*login, f"{url}/json?poll=1"), "the message is there", within=40)
    assert json.loads(came)["message"] == "later"
