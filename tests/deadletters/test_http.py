"""``/v1/deadletters``: the verbs, the filters, and what is refused."""

from base64 import b64decode
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.deadletters.conftest import Desk, Mechanisms, _memory
from tests.deadletters.test_index import letter, post

from gbe.http.app import build_application


@pytest.fixture
def mechanisms() -> Mechanisms:
    """What HTTP adds is the same on every engine."""
    return _memory()


@pytest.fixture
async def http(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    application = build_application(desk.transport, namespace=desk.ns, dead_letters=desk.letters)
    transport = httpx.ASGITransport(application, client=("127.0.0.1", 1234))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://gbe") as client:
        yield client
    await application.close()


async def test_look_count_redrive_and_discard(desk: Desk, http: httpx.AsyncClient) -> None:
    """An operator's way through it."""
    posted = [letter(desk, number) for number in range(4)]
    await post(desk, *posted)
    groups = (await http.get("/v1/deadletters/groups")).json()["groups"]
    assert [(group["count"], group["by_status"]) for group in groups] == [(4, {"open": 4})]
    page = (await http.get("/v1/deadletters?limit=3&domain=events")).json()
    assert [one["id"] for one in page["letters"]] == [one.id for one in reversed(posted[1:])]
    rest = (await http.get("/v1/deadletters", params={"cursor": page["cursor"]})).json()
    assert ([one["id"] for one in rest["letters"]], rest["cursor"]) == ([posted[0].id], None)
    shown = (await http.get(f"/v1/deadletters/{posted[0].id}")).json()
    assert b64decode(shown["original"]["payload"]) == b"0"
    assert shown["status"] == "open"

    selection = {"fingerprint": groups[0]["fingerprint"], "rate": 1000}
    dry = await http.post("/v1/deadletters/redrive", json={**selection, "dry_run": True})
    assert dry.json() == {"dry_run": True, "count": 4}
    gone = await http.post("/v1/deadletters/discard", json={"ids": [posted[3].id]})
    assert gone.json() == {"redriven": 0, "discarded": 1, "skipped": 0, "failed": 0, "problems": []}
    sent = await http.post("/v1/deadletters/redrive", json={**selection, "limit": 2})
    assert sent.json()["redriven"] == 2
    sent = await http.post("/v1/deadletters/redrive", json={**selection, "to": "nowhere.at.all"})
    assert sent.json()["failed"] == 1
    assert sent.json()["problems"][0]["id"] == posted[2].id
    assert {change.actor for change in await desk.audited()} == {"api"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("GET", "/v1/deadletters?status=closed", None, 400, "status"),
        ("GET", "/v1/deadletters?limit=x", None, 400, "limit"),
        ("GET", "/v1/deadletters?limit=1001", None, 400, "limit"),
        ("GET", "/v1/deadletters?cursor=x", None, 400, "cursor"),
        ("GET", "/v1/deadletters?since=soon", None, 400, "since"),
        ("GET", "/v1/deadletters?subject=a..b", None, 400, "subject"),
        ("GET", "/v1/deadletters?nonsense=1", None, 400, "nonsense"),
        ("GET", "/v1/deadletters/groups?limit=1", None, 400, "limit"),
        ("GET", "/v1/deadletters/00000000000000000000000000.g", None, 404, None),
        ("GET", "/v1/deadletters/*", None, 404, None),
        ("POST", "/v1/deadletters/redrive", {"ids": ["x"]}, 404, None),
        ("POST", "/v1/deadletters/redrive", {"ids": [], "domain": "events"}, 400, "domain"),
        ("POST", "/v1/deadletters/redrive", {"rate": 0}, 400, "rate"),
        ("POST", "/v1/deadletters/redrive", {"rate": 1, "limit": 1000}, 400, "rate"),
        ("POST", "/v1/deadletters/redrive", {"to": "*"}, 400, "to"),
        ("POST", "/v1/deadletters/redrive", {"limit": 0}, 400, "limit"),
        ("POST", "/v1/deadletters/redrive", {"odd": 1}, 400, "body"),
        ("POST", "/v1/deadletters/redrive", [], 400, "body"),
        ("POST", "/v1/deadletters/discard", {"ids": ["x"] * 1001}, 400, "ids"),
        ("POST", "/v1/deadletters/discard", {"ids": ["x" * 300_000]}, 413, None),
        ("DELETE", "/v1/deadletters", None, 405, None),
    ],
)
async def test_bad_requests_are_told_apart_and_change_nothing(
    desk: Desk, http: httpx.AsyncClient, method: str, path: str, body: object, status: int, field: str | None
) -> None:
    """Each has its status, and names the field where there is one."""
    await post(desk, letter(desk, 1))
    answer = await http.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    if field is not None:
        assert answer.json()["error"]["field"] == field
    assert [one.status for one in (await desk.letters.page()).letters] == ["open"]


async def test_the_document_names_every_path(http: httpx.AsyncClient) -> None:
    """And its references lead somewhere."""
    document = (await http.get("/v1/openapi.json")).json()
    for name in document["components"]["schemas"]:
        assert f"#/components/schemas/{name}" in str(document)
    assert len([path for path in document["paths"] if path.startswith("/v1/deadletters")]) == 5
