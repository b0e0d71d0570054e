"""Two ``gbe serve`` processes on one engine: what is changed on one counts on the other, for open streams too."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.ntfy.access.accounts import Account, basic, new_address
from tests.ntfy.access.processes import ADMIN, two_processes
from tests.ntfy.server import PATIENCE, eventually


@pytest.fixture(params=["nats", "redis", "cluster"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Where the two listen."""
    if request.param == "nats":
        engine = request.getfixturevalue("engine").url
    else:
        engine = request.getfixturevalue("redis_engine" if request.param == "redis" else "redis_cluster").user_url
    with two_processes(engine, tmp_path) as urls:
        yield urls


def test_changes_reach_the_other_process_and_its_streams(urls: tuple[str, str]) -> None:
    one, other = urls
    ann = Account("ann", basic("ann", "pw"))
    headers = {"Authorization": ann.header}
    with httpx.Client(timeout=PATIENCE, trust_env=False) as client:

        def change(method: str, path: str, body: object, given: dict[str, str] = ADMIN) -> httpx.Response:
            answer = client.request(method, one + path, json=body, headers=given)
            assert answer.status_code == 200, answer.text
            return answer

        def status(given: dict[str, str]) -> int:
            return client.get(f"{other}/ops/auth", headers={**given, **new_address()}).status_code

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
