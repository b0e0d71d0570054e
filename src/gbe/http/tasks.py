"""``/v1/tasks`` and ``/v1/task-types``: what ``gbe tasks`` does, over HTTP. A Starlette application.

Who may: with ``http.tasks_token`` whoever sends it (``Authorization: Bearer …``). Without it only clients of this
machine, and no web page: what names an ``Origin`` is refused.
"""

import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gbe.durations import parse_duration
from gbe.errors import (
    ConfigError,
    GbeError,
    IllegalTransitionError,
    InvalidKeyError,
    InvalidTaskError,
    ObjectError,
    ObjectTooLargeError,
    StateError,
    TaskNotFoundError,
    TransportError,
    UnknownTaskTypeError,
)
from gbe.http.asgi import App
from gbe.http.openapi import document as openapi
from gbe.lifecycle.names import check_task_id
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.transitions import TaskState
from gbe.tasks.client import SubmitOptions, TaskClient, as_document

logger = logging.getLogger(__name__)

MAX_BODY: Final = 8 * 1024 * 1024
_LONGEST_WAIT: Final = 60.0
_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}

Duration = float | str | None


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


class _RefusedError(Exception):
    def __init__(self, status: int, code: str, message: str, field: str = "") -> None:
        self.status, self.code, self.message, self.field = status, code, message, field
        super().__init__(message)


_submissions: Final = msgspec.json.Decoder(Submission)
_settings: Final = msgspec.json.Decoder(dict[str, Any])


def task_api(client: TaskClient, *, token: str | None, behind_proxy: bool) -> App:
    """The application for the paths of ``Route.TASKS``."""
    api = _Api(client)

    def guarded(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                _check_access(request, token, behind_proxy=behind_proxy)
                return await handler(request)
            except _RefusedError as exc:
                return _error(exc)
            except GbeError as exc:
                return _error(_refusal(exc))

        return answer

    def route(path: str, handler: Callable[[Request], Awaitable[Response]], method: str) -> Route:
        return Route(path, guarded(handler), methods=[method])

    return Starlette(
        routes=[
            route("/v1/openapi.json", api.openapi, "GET"),
            route("/v1/tasks", api.submit, "POST"),
            route("/v1/tasks", api.list, "GET"),
            route("/v1/tasks/{id}", api.show, "GET"),
            route("/v1/tasks/{id}/cancel", api.cancel, "POST"),
            route("/v1/tasks/{id}/retry", api.retry, "POST"),
            route("/v1/task-types", api.types, "GET"),
            route("/v1/task-types/{type}", api.type, "GET"),
            route("/v1/task-types/{type}", api.change, "PATCH"),
            route("/v1/task-types/{type}/pause", api.pause, "POST"),
            route("/v1/task-types/{type}/resume", api.resume, "POST"),
        ]
    )


class _Api:
    def __init__(self, client: TaskClient) -> None:
        self._client = client

    async def openapi(self, _request: Request) -> Response:
        return _json(200, openapi())

    async def submit(self, request: Request) -> Response:
        body = await _body(request)
        try:
            given = _submissions.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise InvalidTaskError("task", "", f"the body is not a submission: {exc}") from None
        types = self._client.types
        await types.look_up(given.type)
        options = SubmitOptions(
            delay=_seconds("delay", given.delay),
            run_at=given.run_at,
            priority=given.priority,
            idempotency_key=given.idempotency_key,
            key=given.key,
            max_retries=given.max_retries,
            step_timeout=_seconds("step_timeout", given.step_timeout),
            timeout=_seconds("timeout", given.timeout),
            job_id=given.job_id,
        )
        params = types.check_params(given.type, bytes(given.params))
        record = await self._client.submit(given.type, params, options)
        return _json(201, as_document(record), {"Location": f"/v1/tasks/{record.task_id}"})

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
        return _json(200, {"tasks": [as_document(record) for record in page.tasks], "cursor": page.cursor})

    async def show(self, request: Request) -> Response:
        record = await self._record(request)
        wait = request.query_params.get("wait")
        if wait is not None and not record.state.is_terminal:
            seconds = min(_seconds("wait", wait) or 0.0, _LONGEST_WAIT)
            try:
                await self._client.wait(record.task_type, record.task_id, seconds)
            except TimeoutError:
                logger.debug("task has not ended within the wait of a request")
            record = await self._client.store.get(record.task_type, record.task_id)
        values = {"params": await self._client.params_of(record)}
        if record.state is TaskState.COMPLETED:
            values["result"] = await self._client.result_of(record)
        return _json(200, as_document(record, **values))

    async def cancel(self, request: Request) -> Response:
        record = await self._record(request)
        return _json(200, as_document(await self._client.cancel(record.task_id, record.task_type)))

    async def retry(self, request: Request) -> Response:
        record = await self._record(request)
        again = await self._client.retry(record.task_id, record.task_type)
        return _json(201, as_document(again), {"Location": f"/v1/tasks/{again.task_id}"})

    async def _record(self, request: Request) -> TaskRecord:
        task_id = check_task_id(request.path_params["id"])
        task_type = request.query_params.get("type")
        if task_type is not None:
            await self._client.types.look_up(task_type)
        return await self._client.get(task_id, task_type)

    # -- types

    async def types(self, _request: Request) -> Response:
        names = await self._client.types.refresh_all()
        return _json(200, {"types": [self._type(name) for name in names]})

    async def type(self, request: Request) -> Response:
        name = request.path_params["type"]
        await self._client.types.look_up(name)
        await self._client.types.refresh(name)
        return _json(200, self._type(name))

    async def change(self, request: Request) -> Response:
        body = await _body(request)
        try:
            settings = _settings.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise InvalidTaskError("type", "", f"the body is not a JSON object: {exc}") from None
        await self._client.types.set(request.path_params["type"], settings)
        return _json(200, self._type(request.path_params["type"]))

    async def pause(self, request: Request) -> Response:
        return await self._pause(request, paused=True)

    async def resume(self, request: Request) -> Response:
        return await self._pause(request, paused=False)

    async def _pause(self, request: Request, *, paused: bool) -> Response:
        name = request.path_params["type"]
        await self._client.types.pause(name, paused=paused)
        return _json(200, self._type(name))

    def _type(self, name: str) -> dict[str, object]:
        types = self._client.types
        return {"name": name, "settings": types.effective(name).settings(), "schema": types.schema_of(name)}


# -- requests


def _check_access(request: Request, token: str | None, *, behind_proxy: bool) -> None:
    if token is not None:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode("latin-1", "replace"), f"Bearer {token}".encode()):
            raise _RefusedError(401, "unauthorized", "send Authorization: Bearer with the token of http.tasks_token")
        return
    host = request.client.host if request.client is not None else ""
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if behind_proxy or not is_local or "origin" in request.headers:
        raise _RefusedError(403, "forbidden", "tasks are for this machine alone, until http.tasks_token is set")


async def _body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise _RefusedError(415, "unsupported_media_type", "expected Content-Type: application/json")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            raise _RefusedError(413, "too_large", f"a body has at most {MAX_BODY} bytes")
        parts.append(part)
    return b"".join(parts)


def _seconds(name: str, value: Duration) -> float | None:
    if value is None:
        return None
    try:
        return parse_duration(value)
    except ValueError as exc:
        raise InvalidTaskError("task", name, f"{str(value)[:40]!r}; expected {exc}") from None


def _state(value: str | None) -> TaskState | None:
    try:
        return None if value is None else TaskState(value)
    except ValueError:
        accepted = ", ".join(state.value for state in TaskState)
        raise InvalidTaskError("list", "state", f"expected one of {accepted}") from None


# -- answers


def _json(status: int, value: object, headers: dict[str, str] | None = None) -> Response:
    body = msgspec.json.encode(value) + b"\n"
    return Response(body, status, {**_HEADERS, **(headers or {})}, media_type="application/json")


def _error(exc: _RefusedError) -> Response:
    error = {"code": exc.code, "message": exc.message} | ({"field": exc.field} if exc.field else {})
    return _json(exc.status, {"error": error})


def _refusal(exc: GbeError) -> _RefusedError:
    """The status of each error of ours; what a client need not know stays out."""
    match exc:
        case UnknownTaskTypeError():
            return _RefusedError(404, "unknown_type", str(exc))
        case TaskNotFoundError():
            return _RefusedError(404, "not_found", str(exc))
        case InvalidTaskError():
            return _RefusedError(400, "invalid", str(exc), exc.field)
        case ConfigError() | InvalidKeyError():
            return _RefusedError(400, "invalid", str(exc))
        case IllegalTransitionError():
            return _RefusedError(409, "conflict", str(exc))
        case ObjectTooLargeError():
            return _RefusedError(413, "too_large", str(exc))
        case StateError() | TransportError() | ObjectError():
            logger.warning("request failed: %s", exc)
            return _RefusedError(503, "unavailable", "the engine does not answer; try again")
        case _:
            logger.error("request failed", exc_info=exc)
            return _RefusedError(500, "internal", "internal server error")
