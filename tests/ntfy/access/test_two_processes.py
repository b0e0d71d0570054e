"""Two ``gbe serve`` processes on one engine: what is changed on one counts on the other, for open streams too."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import bcrypt
import httpx
import pytest
from tests.ntfy.access.accounts import Account, basic
from tests.ntfy.server import PATIENCE, eventually, unique
from tests.serving import serving

HASH = bcrypt.hashpw(b"pw", bcrypt.gensalt(10, b"2a")).decode()
ADMIN = {"Authorization": basic("root", "pw")}


@pytest.fixture(params=["nats", "redis"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """Where the two listen."""
    if request.param == "nats":
        engine = request.getfixturevalue("engine").url
    else:
        engine = request.getfixturevalue("redis_engine").user_url
    environment = {
        "PATH": os.environ["PATH"],
        "GBE_LISTEN": "127.0.0.1:0",
        "GBE_TRANSPORT": engine,
        "GBE_NAMESPACE": unique("p"),
        "GBE_ROLES": "http",
        "GBE_NOTIFY_AUTH_DEFAULT_ACCESS": "deny-all",
        "GBE_NOTIFY_AUTH_USERS": f"root:{HASH}:admin",
        "GBE_NOTIFY_VISITOR_REQUEST_LIMIT_BURST": "100000",
    }
    with ExitStack() as stack:
        logs = []
        for name in ("one", "other"):
            folder = tmp_path / name
            folder.mkdir()
            logs.append(stack.enter_context(serving(folder, environment)))
        yield [_address(log) for log in logs]


def _address(log: Path) -> str:
    words = eventually(lambda: "listening http" in log.read_text() and log.read_text(), "its address").split()
    url = words[words.index("listening") + 1].rstrip(",")
    eventually(lambda: _answers(url), "the server answers")
    return url


def _answers(url: str) -> bool:
    try:
        return httpx.get(url + "/v1/health", timeout=PATIENCE).status_code == 200
    except httpx.TransportError:
        return False


def test_changes_reach_the_other_process_and_its_streams(urls: list[str]) -> None:
    one, other = urls
    ann = Account("ann", basic("ann", "pw"))
    headers = {"Authorization": ann.header}
    with httpx.Client(timeout=PATIENCE, trust_env=False) as client:

        def change(method: str, path: str, body: object, given: dict[str, str] = ADMIN) -> httpx.Response:
            answer = client.request(method, one + path, json=body, headers=given)
            assert answer.status_code == 200, answer.text
            return answer

        def status(given: dict[str, str]) -> int:
            return client.get(f"{other}/ops/auth", headers=given).status_code

        change("POST", "/v1/users", {"username": "ann", "password": "pw"})
        change("PUT", "/v1/users/access", {"username": "ann", "topic": "ops", "permission": "ro"})
        eventually(lambda: status(headers) == 200, "the other process knows user and entry")
        token = change("POST", "/v1/account/token", {}, headers).json()["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        eventually(lambda: status(bearer) == 200, "it knows the token")

        with client.stream("GET", f"{other}/ops/json", headers=bearer) as stream:
            lines = stream.iter_lines()
            assert '"open"' in next(lines)
            change("DELETE", "/v1/account/token", None, bearer)
            assert [line for line in lines if '"keepalive"' not in line] == [], "a stream ends with its token"
        assert status(bearer) == 401
        with client.stream("GET", f"{other}/ops/sse", headers=headers) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: open"
            change("DELETE", "/v1/users/access", {"username": "ann", "topic": "ops"})
            assert not [line for line in lines if "message" in line], "a stream ends with its entry"
        assert status(headers) == 403
