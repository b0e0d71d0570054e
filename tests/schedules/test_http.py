"""``/v1/schedules``: the verbs, and what is refused."""

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
from tests.schedules.conftest import Bench

from gbe.http.app import build_application
from gbe.http.config import HttpConfig
from gbe.schemas.events.audit import AuditChange

TOKEN = "0123456789abcdef0123"
DAILY = {"name": "daily", "task": "work", "params": {"n": 1}, "cron": "30 2 * * *", "tz": "Europe/Berlin"}


def client_of(bench: Bench, *, token: str | None = None, **headers: str) -> httpx.AsyncClient:
    application = build_application(
        bench.backend.transport,
        namespace=bench.names.namespace,
        http=HttpConfig(api_token=token),
        tasks=bench.tasks,
        schedules=bench.client,
    )
    transport = httpx.ASGITransport(application, client=("127.0.0.1", 1234))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://gbe", headers=headers)


@pytest.fixture
async def http(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(bench) as http:
        yield http


async def test_a_schedule_s_way_over_http(http: httpx.AsyncClient) -> None:
    """Made, shown, listed, changed, paused, resumed, run, deleted."""
    made = await http.post("/v1/schedules", json=DAILY)
    assert (made.status_code, made.headers["location"]) == (201, "/v1/schedules/daily")
    shown = (await http.get("/v1/schedules/daily?upcoming=3")).json()
    assert shown["upcoming"][0] == shown["next"] == made.json()["next"]
    assert len(shown["upcoming"]) == 3
    assert shown["settings"] == {key: value for key, value in DAILY.items() if key != "name"}
    assert [each["name"] for each in (await http.get("/v1/schedules")).json()["schedules"]] == ["daily"]
    changed = (await http.patch("/v1/schedules/daily", json={"every": "5m"})).json()
    assert changed["settings"]["every"] == 300
    assert "cron" not in changed["settings"]
    assert (await http.post("/v1/schedules/daily/pause")).json()["paused"]
    assert not (await http.post("/v1/schedules/daily/resume")).json()["paused"]
    run = await http.post("/v1/schedules/daily/run", json={"params": {"m": 2}, "idempotency_key": "k"})
    assert (run.status_code, run.json()["kind"]) == (201, "task")
    task = (await http.get(run.headers["location"])).json()
    assert (task["id"], task["params"]) == (run.json()["id"], {"n": 1, "m": 2})
    again = await http.post("/v1/schedules/daily/run", json={"idempotency_key": "k"})
    assert again.json() == run.json()
    assert (await http.post("/v1/schedules/daily/run")).status_code == 201
    assert (await http.delete("/v1/schedules/daily")).json() == {"name": "daily", "deleted": True}
    assert (await http.get("/v1/schedules/daily")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "/v1/schedules", {**DAILY, "cron": "61 * * * *"}, 400, "cron"),
        ("POST", "/v1/schedules", {**DAILY, "tz": "Nowhere"}, 400, "tz"),
        ("POST", "/v1/schedules", {"task": "work"}, 400, "name"),
        ("POST", "/v1/schedules", {**DAILY, "name": "a.b"}, 400, "name"),
        ("POST", "/v1/schedules", [], 400, None),
        ("POST", "/v1/schedules", {**DAILY, "task": "nobody"}, 404, None),
        ("POST", "/v1/schedules", {**DAILY, "name": "taken"}, 409, None),
        ("PATCH", "/v1/schedules/taken", {"crom": "@daily"}, 400, "crom"),
        ("PATCH", "/v1/schedules/none", {"every": "5m"}, 404, None),
        ("POST", "/v1/schedules/none/run", None, 404, None),
        ("POST", "/v1/schedules/taken/run", {"parms": {}}, 400, None),
        ("DELETE", "/v1/schedules/none", None, 404, None),
        ("GET", "/v1/schedules?limit=0", None, 400, "limit"),
        ("GET", "/v1/schedules?name=x", None, 400, "name"),
        ("GET", "/v1/schedules/taken?upcoming=101", None, 400, "upcoming"),
        ("PUT", "/v1/schedules/taken", {}, 405, None),
    ],
)
async def test_what_is_wrong_is_refused_with_its_field(
    http: httpx.AsyncClient, method: str, path: str, body: object, status: int, field: str | None
) -> None:
    """The status says whose fault it is, and the text what to do."""
    await http.post("/v1/schedules", json={**DAILY, "name": "taken"})
    answer = await http.request(method, path, json=body) if body is not None else await http.request(method, path)
    error = answer.json()["error"]
    assert (answer.status_code, error.get("field")) == (status, field)
    assert error["message"]


async def test_a_body_that_is_too_large_is_refused(http: httpx.AsyncClient) -> None:
    """Before it is read to its end."""
    answer = await http.post("/v1/schedules", json={**DAILY, "params": {"x": "y" * 300_000}})
    assert answer.status_code == 413


async def test_with_a_token_only_who_sends_it_may_run_a_schedule(bench: Bench) -> None:
    """A wrong one is refused."""
    await bench.client.create("called", {"task": "work"})
    async with client_of(bench, token=TOKEN) as http:
        assert (await http.post("/v1/schedules/called/run")).status_code == 401
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert (await http.post("/v1/schedules/called/run", headers=right)).status_code == 201


async def test_the_openapi_document_describes_schedules(http: httpx.AsyncClient) -> None:
    """Every path, and every schema that is referred to."""
    document = (await http.get("/v1/openapi.json")).json()
    paths = {path for path in document["paths"] if path.startswith("/v1/schedules")}
    verbs = ("pause", "resume", "run")
    one = "/v1/schedules/{name}"
    assert paths == {"/v1/schedules", one, *(f"{one}/{verb}" for verb in verbs)}
    named = set(str(document).split("#/components/schemas/")[1:])
    assert {each.partition("'")[0] for each in named} <= set(document["components"]["schemas"])


async def test_what_is_changed_is_an_audit_event(bench: Bench, http: httpx.AsyncClient) -> None:
    """Each with the schedule's name and what was done; looking at one is none."""
    await http.post("/v1/schedules", json=DAILY)
    await http.get("/v1/schedules/daily")
    await http.patch("/v1/schedules/daily", json={"every": "5m"})
    await http.post("/v1/schedules/daily/pause")
    await http.post("/v1/schedules/daily/run")
    await http.delete("/v1/schedules/daily")
    stored = await bench.backend.transport.read(f"{bench.names.namespace}.events.audit.change")
    told = [msgspec.json.decode(message.envelope.payload, type=AuditChange) for message in stored]
    assert [(each.action, each.target, each.via) for each in told] == [
        (action, "schedule/daily", "api") for action in ("create", "change", "pause", "run", "delete")
    ]
