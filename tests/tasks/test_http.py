"""``/v1/tasks``: the verbs, the filters, and what is refused."""

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
from tests.deployments import Deployment

from gbe import App
from gbe.http.app import build_application
from gbe.http.config import HttpConfig

TOKEN = "0123456789abcdef0123"


@pytest.fixture
async def app(deployment: Deployment) -> App:
    """A program with a type that fails on demand."""
    app = await deployment.app()

    @app.task("greet", max_retries=0)
    async def greet(name: str) -> str:
        if not name:
            raise ValueError("nobody")
        return f"hello {name}"

    await (await app.client()).types.announce(["greet"])
    return app


def client_of(application: object, *, host: str = "127.0.0.1", **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application, client=(host, 1234))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://gbe", headers=headers)


@pytest.fixture
async def http(deployment: Deployment) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that has no code of any task."""
    server = await deployment.app()
    tasks = await server.client()
    application = build_application(tasks.backend.transport, namespace=deployment.namespace, tasks=tasks)
    async with client_of(application) as http:
        yield http
    await application.close()


async def test_submit_wait_and_look(deployment: Deployment, app: App, http: httpx.AsyncClient) -> None:
    """A task's way over HTTP alone."""
    async with deployment.working(app):
        answer = await http.post("/v1/tasks", json={"type": "greet", "params": {"name": "you"}, "priority": "high"})
        assert answer.status_code == 201
        task = answer.json()
        assert answer.headers["location"] == f"/v1/tasks/{task['id']}"
        shown = (await http.get(f"/v1/tasks/{task['id']}?wait=30s")).json()
    assert (shown["state"], shown["result"], shown["params"]) == ("completed", "hello you", {"name": "you"})


async def test_a_task_belongs_to_the_trace_of_its_request(app: App, http: httpx.AsyncClient) -> None:
    """Submitted or retried; a header that is no trace context is nothing."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    order = {"type": "greet", "params": {"name": "a"}}
    task = (await http.post("/v1/tasks", json=order, headers={"traceparent": trace})).json()
    assert task["traceparent"] == trace
    await http.post(f"/v1/tasks/{task['id']}/cancel")
    retried = await http.post(f"/v1/tasks/{task['id']}/retry", headers={"traceparent": trace[:-2] + "00"})
    assert retried.json()["traceparent"] == trace[:-2] + "00"
    for headers in ({}, {"traceparent": "00-nonsense"}):
        assert "traceparent" not in (await http.post("/v1/tasks", json=order, headers=headers)).json()


async def test_lists_have_filters_and_pages(app: App, http: httpx.AsyncClient) -> None:
    """Cursors lead from page to page."""
    ids = {(await http.post("/v1/tasks", json={"type": "greet", "params": {"name": "a"}})).json()["id"] for _ in "abc"}
    first = (await http.get("/v1/tasks?type=greet&state=pending&limit=2")).json()
    rest = (await http.get("/v1/tasks", params={"type": "greet", "limit": "2", "cursor": first["cursor"]})).json()
    assert {task["id"] for task in first["tasks"] + rest["tasks"]} == ids
    assert rest["cursor"] is None


async def test_cancel_and_retry(deployment: Deployment, app: App, http: httpx.AsyncClient) -> None:
    """What has ended cannot be cancelled; what was cancelled can be submitted again."""
    task = (await http.post("/v1/tasks", json={"type": "greet", "params": {"name": "a"}})).json()
    assert (await http.post(f"/v1/tasks/{task['id']}/cancel")).json()["state"] == "cancelled"
    again = await http.post(f"/v1/tasks/{task['id']}/cancel")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    retried = await http.post(f"/v1/tasks/{task['id']}/retry")
    transport = (await app.client()).backend.transport
    audited = await transport.read(f"{deployment.namespace}.events.audit.change")
    changes = [msgspec.json.decode(message.envelope.payload) for message in audited]
    target = f"task/{task['id']}"
    assert [(one["action"], one["target"], one["via"]) for one in changes] == [
        ("cancel", target, "api"), ("retry", target, "api"),
    ]  # fmt: skip
    assert (retried.status_code, retried.json()["retry_of"]) == (201, task["id"])


async def test_types_are_shown_changed_and_paused(app: App, http: httpx.AsyncClient) -> None:
    """Settings change at run time; what a server runs cannot be changed so."""
    shown = (await http.get("/v1/task-types/greet")).json()
    assert shown["settings"]["max_retries"] == 0
    assert (await http.patch("/v1/task-types/greet", json={"max_retries": 4})).json()["settings"]["max_retries"] == 4
    assert (await http.post("/v1/task-types/greet/pause")).json()["settings"]["paused"] is True
    assert (await http.post("/v1/task-types/greet/resume")).json()["settings"]["paused"] is False
    refused = await http.patch("/v1/task-types/greet", json={"command": ["rm"]})
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "command")
    assert [one["name"] for one in (await http.get("/v1/task-types")).json()["types"]] == ["greet"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "/v1/tasks", {"type": "nope"}, 404, None),
        ("POST", "/v1/tasks", {"type": "../x"}, 404, None),
        ("POST", "/v1/tasks", {"type": "greet"}, 400, "name"),
        ("POST", "/v1/tasks", {"type": "greet", "params": {"name": 7}}, 400, "name"),
        ("POST", "/v1/tasks", {"type": "greet", "params": {"name": "a", "x": 1}}, 400, "x"),
        ("POST", "/v1/tasks", {"type": "greet", "params": []}, 400, None),
        ("POST", "/v1/tasks", {"type": "greet", "params": {"name": "a"}, "delay": "soon"}, 400, "delay"),
        ("POST", "/v1/tasks", {"type": "greet", "params": {"name": "a"}, "priority": "top"}, 400, "priority"),
        (
            "POST",
            "/v1/tasks",
            {"type": "greet", "params": {"name": "a"}, "idempotency_key": ""},
            400,
            "idempotency_key",
        ),
        ("POST", "/v1/tasks", {"type": "greet", "prams": {}}, 400, None),
        ("POST", "/v1/tasks", ["greet"], 400, None),
        ("GET", "/v1/tasks/00000000000000000000000000?wait=long", None, 400, "wait"),
        ("GET", "/v1/tasks?state=odd", None, 400, "state"),
        ("GET", "/v1/tasks?limit=-1", None, 400, "limit"),
        ("GET", "/v1/tasks?limit=1001", None, 400, "limit"),
        ("GET", "/v1/tasks?cursor=x", None, 400, "cursor"),
        ("GET", "/v1/tasks?nonsense=1", None, 400, "nonsense"),
        ("GET", "/v1/tasks?type=nope", None, 404, None),
        ("GET", "/v1/tasks/00000000000000000000000000", None, 404, None),
        ("GET", "/v1/tasks/*", None, 404, None),
        ("POST", "/v1/tasks/00000000000000000000000000/cancel", None, 404, None),
        ("PATCH", "/v1/task-types/greet", {"max_retries": "many"}, 400, None),
        ("PATCH", "/v1/task-types/nope", {}, 404, None),
        ("DELETE", "/v1/tasks", None, 405, None),
    ],
)
async def test_bad_requests_are_told_apart_and_write_nothing(
    app: App, http: httpx.AsyncClient, method: str, path: str, body: object, status: int, field: str | None
) -> None:
    """Each has its status, and names the field where there is one."""
    answer = await http.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    if field is not None:
        assert answer.json()["error"]["field"] == field
    assert (await http.get("/v1/tasks")).json()["tasks"] == []


async def test_a_body_that_is_too_large_or_no_json_is_refused(app: App, http: httpx.AsyncClient) -> None:
    """Before it is all read."""
    large = await http.post("/v1/tasks", json={"type": "greet", "params": {"name": "x" * 9_000_000}})
    assert large.status_code == 413
    form = await http.post("/v1/tasks", data={"type": "greet"})
    assert form.status_code == 415


async def test_strangers_need_the_token(deployment: Deployment, app: App) -> None:
    """Without a token only this machine may, and no web page on it; with one, who has it."""
    tasks = await app.client()
    plain = build_application(tasks.backend.transport, tasks=tasks)
    guarded = build_application(tasks.backend.transport, tasks=tasks, http=HttpConfig(api_token=TOKEN))
    cases = [
        (plain, {"host": "10.0.0.7"}, 403),
        (plain, {"origin": "http://evil.example"}, 403),
        (plain, {}, 200),
        (guarded, {}, 401),
        (guarded, {"authorization": "Bearer wrong"}, 401),
        (guarded, {"host": "10.0.0.7", "authorization": f"Bearer {TOKEN}"}, 200),
    ]
    for application, options, status in cases:
        async with client_of(application, **options) as http:
            assert (await http.get("/v1/tasks")).status_code == status
    for application in (plain, guarded):
        await application.close()


async def test_the_openapi_document_names_every_path(http: httpx.AsyncClient) -> None:
    """References lead somewhere, and each path answers."""
    document = (await http.get("/v1/openapi.json")).json()
    text = str(document)
    for name in document["components"]["schemas"]:
        assert f"#/components/schemas/{name}" in text
    assert set(document["paths"]) >= {"/v1/tasks", "/v1/tasks/{id}/retry", "/v1/task-types/{type}/pause"}


async def test_without_tasks_there_is_no_such_path(deployment: Deployment) -> None:
    """A server in memory has none."""
    backend = await deployment.backend()
    application = build_application(backend.transport)
    async with client_of(application) as http:
        assert (await http.get("/v1/tasks")).status_code == 404
    await application.close()
