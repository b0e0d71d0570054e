"""What cannot be done is refused in the same way wherever it is asked for, and changes nothing."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.deployments import Deployment
from tests.waiting import eventually

from gbe import App
from gbe.errors import GbeError, IllegalTransitionError, InvalidTaskError, TaskNotFoundError, UnknownTaskTypeError
from gbe.http.app import build_application
from gbe.lifecycle.names import Priority
from gbe.tasks.client import MAX_PARAMS
from gbe.tasks.handle import Task
from gbe.transport.base import Lag

NOBODY = "0" * 26
Call = Callable[[App, Task], Awaitable[object]]


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One thing that cannot be done.

    Attributes:
        call, error: as a program does it, and what that raises.
        path, body, status: as a POST; ``{id}`` is a task that has completed.
        text: what both errors say.
    """

    call: Call
    error: type[GbeError]
    path: str = "/v1/tasks"
    body: Mapping[str, Any] | None = None
    status: int
    text: str
    http_text: str | None = None


BAD = {
    "an unknown type": Bad(
        call=lambda app, _: app.submit("gret", name="a"),
        error=UnknownTaskTypeError,
        body={"type": "gret", "params": {"name": "a"}},
        status=404,
        text="unknown task type 'gret'",
    ),
    "a wrong parameter": Bad(
        call=lambda app, _: app.submit("greet", name=7),
        error=InvalidTaskError,
        body={"type": "greet", "params": {"name": 7}},
        status=400,
        text="name",
    ),
    "an oversized parameter": Bad(
        call=lambda app, _: app.submit("greet", name="x" * MAX_PARAMS),
        error=InvalidTaskError,
        body={"type": "greet", "params": {"name": "x" * 9_000_000}},
        status=413,
        text=f"over {MAX_PARAMS}",
        http_text="bytes",
    ),
    "a malformed duration": Bad(
        call=lambda app, _: app.submit("greet", name="a", delay="soon"),
        error=InvalidTaskError,
        body={"type": "greet", "params": {"name": "a"}, "delay": "soon"},
        status=400,
        text="such as 1h30m",
    ),
    "an unknown task": Bad(
        call=lambda app, _: _cancel(app, NOBODY),
        error=TaskNotFoundError,
        path=f"/v1/tasks/{NOBODY}/cancel",
        status=404,
        text="there is no task",
    ),
    "a cancel that is too late": Bad(
        call=lambda _, done: done.cancel(),
        error=IllegalTransitionError,
        path="/v1/tasks/{id}/cancel",
        status=409,
        text="is completed: cancel is not possible",
    ),
}


async def _cancel(app: App, task_id: str) -> object:
    return await (await app.client()).cancel(task_id)


@pytest.fixture
async def app(deployment: Deployment) -> App:
    app = await deployment.app()

    @app.task("greet")
    async def greet(name: str) -> str:
        return f"hello {name}"

    return app


@pytest.fixture
async def done(deployment: Deployment, app: App) -> Task:
    """A task that has completed, with nothing left to be written of it."""
    async with deployment.working(app):
        task = await app.submit("greet", name="a")
        await task.result(timeout=30)

    async def is_quiet() -> bool:
        return (await written(deployment))[1] == Lag(0, 0, None)

    await eventually(is_quiet, "the signal is acknowledged", within=30, interval=0.05)
    return task


async def written(deployment: Deployment) -> tuple[dict[str, dict[str, bytes]], Lag]:
    """Every task as it is stored, and what waits to be run."""
    backend = await deployment.backend()
    names = deployment.names
    records = {record.key: record.fields async for record in backend.state.scan(names.state_prefix)}
    return records, await backend.transport.lag(names.queue("greet", Priority.NORMAL), names.group("greet"))


@pytest.mark.parametrize("name", BAD)
async def test_a_program_is_told_and_nothing_is_written(
    deployment: Deployment, app: App, done: Task, name: str
) -> None:
    """By an exception that says what is wrong."""
    bad, before = BAD[name], await written(deployment)
    with pytest.raises(bad.error, match=bad.text):
        await bad.call(app, done)
    assert await written(deployment) == before


@pytest.mark.parametrize("name", BAD)
async def test_a_client_is_told_and_nothing_is_written(deployment: Deployment, done: Task, name: str) -> None:
    """By a status, and an error as JSON."""
    bad, before = BAD[name], await written(deployment)
    server = await (await deployment.app()).client()
    application = build_application(server.backend.transport, namespace=deployment.namespace, tasks=server)
    transport = httpx.ASGITransport(application, client=("127.0.0.1", 1234))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://gbe") as http:
        answer = await http.post(bad.path.format(id=done.id), json=bad.body)
    await application.close()
    assert answer.status_code == bad.status, answer.text
    assert (bad.http_text or bad.text) in answer.json()["error"]["message"]
    assert await written(deployment) == before
