"""``/v1/jobs`` and ``/v1/job-types``: what ``gbe jobs`` does, over HTTP."""

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gbe.errors import InvalidJobError
from gbe.graph.definition import MAX_DEFINITION, parse_definition
from gbe.http.api import Endpoint, answer, bounded_body, in_trace_of_caller, json_body
from gbe.http.audit import Auditor
from gbe.jobs import views
from gbe.jobs.client import MAX_PARAMS, JobClient

_FILTERS: Final = ("type", "state", "limit", "cursor")
_MAX_CANCEL: Final = 16 * 1024
_MAX_REASON: Final = 1_000


class StartRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of a start."""

    type: str
    params: dict[str, Any] = {}
    idempotency_key: str | None = None


class CancelRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of a cancel."""

    reason: str = "cancelled"


_starts: Final = msgspec.json.Decoder(StartRequest)
_cancels: Final = msgspec.json.Decoder(CancelRequest)
_objects: Final = msgspec.json.Decoder(dict[str, Any])


def job_endpoints(client: JobClient, auditor: Auditor) -> list[Endpoint]:
    """The endpoints, documented in ``openapi_jobs``; what operators do there goes to ``events.audit.change``."""
    jobs = _Jobs(client, auditor)
    return [
        Endpoint("POST", "/v1/jobs", jobs.start),
        Endpoint("GET", "/v1/jobs", jobs.list),
        Endpoint("GET", "/v1/jobs/{id}", jobs.show),
        Endpoint("GET", "/v1/jobs/{id}/timeline", jobs.timeline),
        Endpoint("POST", "/v1/jobs/{id}/cancel", jobs.cancel),
        Endpoint("POST", "/v1/jobs/{id}/retry", jobs.retry),
        Endpoint("GET", "/v1/job-types", jobs.types),
        Endpoint("GET", "/v1/job-types/{name}", jobs.type),
        Endpoint("PUT", "/v1/job-types/{name}", jobs.define),
    ]


class _Jobs:
    def __init__(self, client: JobClient, auditor: Auditor) -> None:
        self._client, self._auditor = client, auditor

    async def start(self, request: Request) -> Response:
        given = _decoded(_starts, await json_body(request, limit=MAX_PARAMS))
        with in_trace_of_caller(request):
            job = await self._client.start(given.type, given.params, idempotency_key=given.idempotency_key)
        return answer(201, views.summary(job), {"Location": f"/v1/jobs/{job.job_id}"})

    async def list(self, request: Request) -> Response:
        query = request.query_params
        for name in query:
            if name not in _FILTERS:
                raise InvalidJobError("list", name[:40], f"no such filter; there are {', '.join(_FILTERS)}")
        state = query.get("state")
        page = await self._client.list(
            job_type=query.get("type"),
            state=None if state is None else views.parse_state(state),
            limit=_number("limit", query.get("limit", "100")),
            cursor=query.get("cursor"),
        )
        return answer(200, {"jobs": [views.summary(job) for job in page.jobs], "cursor": page.cursor})

    async def show(self, request: Request) -> Response:
        job = await self._client.get(request.path_params["id"])
        plan = await self._client.store.plan(job.job_id)
        return answer(200, views.document(job, plan.definition))

    async def timeline(self, request: Request) -> Response:
        query = request.query_params
        limit = _number("limit", query.get("limit", "1000"))
        found = await self._client.timeline(request.path_params["id"], task=query.get("task"), limit=limit)
        return answer(200, views.moments(found))

    async def cancel(self, request: Request) -> Response:
        body = await bounded_body(request, limit=_MAX_CANCEL)
        given = _decoded(_cancels, body) if body else CancelRequest()
        if len(given.reason) > _MAX_REASON:
            raise InvalidJobError("cancel", "reason", f"at most {_MAX_REASON} characters")
        job = await self._client.cancel(request.path_params["id"], given.reason)
        await self._auditor.did(request, "cancel", f"job/{job.job_id}", after={"reason": given.reason})
        return answer(200, views.summary(job))

    async def retry(self, request: Request) -> Response:
        job = await self._client.retry(request.path_params["id"])
        await self._auditor.did(request, "retry", f"job/{job.job_id}", after={"run": job.run})
        return answer(200, views.summary(job))

    async def types(self, _request: Request) -> Response:
        found = await self._client.definitions()
        return answer(200, {"types": [{"name": name, "tasks": len(each.nodes)} for name, each in found.items()]})

    async def type(self, request: Request) -> Response:
        definition = await self._client.look_up(request.path_params["name"])
        return answer(200, {"name": definition.name, "definition": definition.document})

    async def define(self, request: Request) -> Response:
        document = _decoded(_objects, await json_body(request, limit=MAX_DEFINITION))
        definition = parse_definition(request.path_params["name"], document)
        await self._client.define(definition)
        size = {"tasks": len(definition.nodes)}
        await self._auditor.did(request, "define", f"job-type/{definition.name}", after=size)
        return answer(200, {"name": definition.name, "definition": definition.document})


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidJobError("job", "", f"the body is not what it must be: {exc}") from None


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise InvalidJobError("list", name, "expected a whole number")
    return int(text)
