"""``/v1/tasks`` and ``/v1/task-types``: what ``gbe tasks`` does, over HTTP."""

import logging
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gbe.errors import InvalidTaskError
from gbe.http.api import Duration, Endpoint, answer, in_trace_of_caller, json_body, seconds
from gbe.http.audit import Auditor
from gbe.lifecycle.names import check_task_id
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.transitions import TaskState
from gbe.tasks.client import SubmitOptions, TaskClient, as_document

logger = logging.getLogger(__name__)

_LONGEST_WAIT: Final = 60.0


class Submission(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of a submit."""

    type: str
    params: msgspec.Raw = msgspec.Raw(b"{}")
    delay: Duration = None
    run_at: int | None = None
    priority: str = "normal"
    idempotency_key: str | None = None
    key: str | None = None
    max_retries: int | None = None
    step_timeout: Duration = None
    timeout: Duration = None
    job_id: str | None = None


_submissions: Final = msgspec.json.Decoder(Submission)
_settings: Final = msgspec.json.Decoder(dict[str, Any])


def task_endpoints(client: TaskClient, auditor: Auditor) -> list[Endpoint]:
    """The endpoints, documented in ``openapi_tasks``; what operators do there goes to ``events.audit.change``."""
    tasks = _Tasks(client, auditor)
    return [
        Endpoint("POST", "/v1/tasks", tasks.submit),
        Endpoint("GET", "/v1/tasks", tasks.list),
        Endpoint("GET", "/v1/tasks/{id}", tasks.show),
        Endpoint("POST", "/v1/tasks/{id}/cancel", tasks.cancel),
        Endpoint("POST", "/v1/tasks/{id}/retry", tasks.retry),
        Endpoint("GET", "/v1/task-types", tasks.types),
        Endpoint("GET", "/v1/task-types/{type}", tasks.type),
        Endpoint("PATCH", "/v1/task-types/{type}", tasks.change),
        Endpoint("POST", "/v1/task-types/{type}/pause", tasks.pause),
        Endpoint("POST", "/v1/task-types/{type}/resume", tasks.resume),
    ]


class _Tasks:
    def __init__(self, client: TaskClient, auditor: Auditor) -> None:
        self._client, self._auditor = client, auditor

    async def submit(self, request: Request) -> Response:
        body = await json_body(request)
        try:
            given = _submissions.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise InvalidTaskError("task", "", f"the body is not a submission: {exc}") from None
        types = self._client.types
        await types.look_up(given.type)
        options = SubmitOptions(
            delay=seconds("delay", given.delay),
            run_at=given.run_at,
            priority=given.priority,
            idempotency_key=given.idempotency_key,
            key=given.key,
            max_retries=given.max_retries,
            step_timeout=seconds("step_timeout", given.step_timeout),
            timeout=seconds("timeout", given.timeout),
            job_id=given.job_id,
        )
        params = types.check_params(given.type, bytes(given.params))
        with in_trace_of_caller(request):
            record = await self._client.submit(given.type, params, options)
        return answer(201, as_document(record), {"Location": f"/v1/tasks/{record.task_id}"})

    async def list(self, request: Request) -> Response:
        query = request.query_params
        known = {"type", "state", "key", "limit", "cursor"}
        for name in query:
            if name not in known:
                raise InvalidTaskError("list", name[:40], f"no such filter; there are {', '.join(sorted(known))}")
        task_type, limit = query.get("type"), query.get("limit", "100")
        if task_type is not None:
            await self._client.types.look_up(task_type)
        if not (limit.isascii() and limit.isdigit() and len(limit) < 6):
            raise InvalidTaskError("list", "limit", "expected a whole number")
        page = await self._client.list(
            task_type=task_type,
            state=_state(query.get("state")),
            key=query.get("key"),
            limit=int(limit),
            cursor=query.get("cursor"),
        )
        return answer(200, {"tasks": [as_document(record) for record in page.tasks], "cursor": page.cursor})

    async def show(self, request: Request) -> Response:
        patience = min(seconds("wait", request.query_params.get("wait")) or 0.0, _LONGEST_WAIT)
        record = await self._record(request)
        if patience and not record.state.is_terminal:
            try:
                await self._client.wait(record.task_type, record.task_id, patience)
            except TimeoutError:
                logger.debug("task has not ended within the wait of a request")
            record = await self._client.store.get(record.task_type, record.task_id)
        values = {"params": await self._client.params_of(record)}
        if record.state is TaskState.COMPLETED:
            values["result"] = await self._client.result_of(record)
        return answer(200, as_document(record, **values))

    async def cancel(self, request: Request) -> Response:
        record = await self._record(request)
        cancelled = await self._client.cancel(record.task_id, record.task_type)
        await self._auditor.did(request, "cancel", f"task/{record.task_id}")
        return answer(200, as_document(cancelled))

    async def retry(self, request: Request) -> Response:
        record = await self._record(request)
        with in_trace_of_caller(request):
            again = await self._client.retry(record.task_id, record.task_type)
        await self._auditor.did(request, "retry", f"task/{record.task_id}", after={"task_id": again.task_id})
        return answer(201, as_document(again), {"Location": f"/v1/tasks/{again.task_id}"})

    async def _record(self, request: Request) -> TaskRecord:
        task_id = check_task_id(request.path_params["id"])
        task_type = request.query_params.get("type")
        if task_type is not None:
            await self._client.types.look_up(task_type)
        return await self._client.get(task_id, task_type)

    # -- types

    async def types(self, _request: Request) -> Response:
        names = await self._client.types.refresh_all()
        return answer(200, {"types": [self._type(name) for name in names]})

    async def type(self, request: Request) -> Response:
        name = request.path_params["type"]
        await self._client.types.look_up(name)
        await self._client.types.refresh(name)
        return answer(200, self._type(name))

    async def change(self, request: Request) -> Response:
        body = await json_body(request)
        try:
            settings = _settings.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise InvalidTaskError("type", "", f"the body is not a JSON object: {exc}") from None
        await self._client.types.set(request.path_params["type"], settings)
        await self._auditor.did(request, "change", f"task-type/{request.path_params['type']}", after=settings)
        return answer(200, self._type(request.path_params["type"]))

    async def pause(self, request: Request) -> Response:
        return await self._pause(request, paused=True)

    async def resume(self, request: Request) -> Response:
        return await self._pause(request, paused=False)

    async def _pause(self, request: Request, *, paused: bool) -> Response:
        name = request.path_params["type"]
        await self._client.types.pause(name, paused=paused)
        await self._auditor.did(request, "pause" if paused else "resume", f"task-type/{name}")
        return answer(200, self._type(name))

    def _type(self, name: str) -> dict[str, object]:
        types = self._client.types
        return {"name": name, "settings": types.effective(name).settings(), "schema": types.schema_of(name)}


def _state(value: str | None) -> TaskState | None:
    try:
        return None if value is None else TaskState(value)
    except ValueError:
        accepted = ", ".join(state.value for state in TaskState)
        raise InvalidTaskError("list", "state", f"expected one of {accepted}") from None
