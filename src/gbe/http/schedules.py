"""``/v1/schedules``: what ``gbe schedules`` does, over HTTP."""

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gbe.errors import InvalidScheduleError
from gbe.http.api import Endpoint, answer, bounded_body, in_trace_of_caller, json_body
from gbe.http.audit import Auditor
from gbe.schedules.client import ScheduleClient
from gbe.schedules.record import as_document

_MAX_BODY: Final = 256 * 1024
_UPCOMING: Final = 5
_MOST_UPCOMING: Final = 100
_objects: Final = msgspec.json.Decoder(dict[str, Any])


class RunRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of a run."""

    params: dict[str, Any] = {}
    idempotency_key: str | None = None


_runs: Final = msgspec.json.Decoder(RunRequest)


def schedule_endpoints(client: ScheduleClient, auditor: Auditor) -> list[Endpoint]:
    """The endpoints, documented in ``openapi_schedules``; what operators do there is an audit event."""
    schedules = _Schedules(client, auditor)
    return [
        Endpoint("POST", "/v1/schedules", schedules.create),
        Endpoint("GET", "/v1/schedules", schedules.list),
        Endpoint("GET", "/v1/schedules/{name}", schedules.show),
        Endpoint("PATCH", "/v1/schedules/{name}", schedules.change),
        Endpoint("DELETE", "/v1/schedules/{name}", schedules.delete),
        Endpoint("POST", "/v1/schedules/{name}/pause", schedules.pause),
        Endpoint("POST", "/v1/schedules/{name}/resume", schedules.resume),
        Endpoint("POST", "/v1/schedules/{name}/run", schedules.run),
    ]


class _Schedules:
    def __init__(self, client: ScheduleClient, auditor: Auditor) -> None:
        self._client, self._auditor = client, auditor

    async def _did(self, request: Request, action: str, name: str, after: Any = None) -> None:
        await self._auditor.did(request, action, f"schedule/{name}", after=after)

    async def create(self, request: Request) -> Response:
        settings = _decoded(_objects, await json_body(request, limit=_MAX_BODY))
        name = settings.pop("name", None)
        if not isinstance(name, str):
            raise InvalidScheduleError("", "name", "is missing; expected letters, digits, _ and -")
        record = await self._client.create(name, settings)
        await self._did(request, "create", name, settings)
        return answer(201, as_document(record), {"Location": f"/v1/schedules/{name}"})

    async def list(self, request: Request) -> Response:
        query = request.query_params
        for name in query:
            if name not in ("limit", "cursor"):
                raise InvalidScheduleError("", name[:40], "no such filter; there are cursor, limit")
        page = await self._client.list(limit=_number("limit", query.get("limit", "100")), cursor=query.get("cursor"))
        return answer(200, {"schedules": [as_document(each) for each in page.schedules], "cursor": page.cursor})

    async def show(self, request: Request) -> Response:
        count = _number("upcoming", request.query_params.get("upcoming", str(_UPCOMING)))
        if count > _MOST_UPCOMING:
            raise InvalidScheduleError("", "upcoming", f"{count}; expected 0 to {_MOST_UPCOMING}")
        return answer(200, as_document(await self._client.get(_name(request)), upcoming=count))

    async def change(self, request: Request) -> Response:
        settings = _decoded(_objects, await json_body(request, limit=_MAX_BODY))
        record = await self._client.change(_name(request), settings)
        await self._did(request, "change", record.name, settings)
        return answer(200, as_document(record))

    async def delete(self, request: Request) -> Response:
        await self._client.delete(_name(request))
        await self._did(request, "delete", _name(request))
        return answer(200, {"name": _name(request), "deleted": True})

    async def pause(self, request: Request) -> Response:
        return await self._pause(request, paused=True)

    async def resume(self, request: Request) -> Response:
        return await self._pause(request, paused=False)

    async def _pause(self, request: Request, *, paused: bool) -> Response:
        record = await self._client.pause(_name(request), paused=paused)
        await self._did(request, "pause" if paused else "resume", record.name)
        return answer(200, as_document(record))

    async def run(self, request: Request) -> Response:
        body = await bounded_body(request, limit=_MAX_BODY)
        if body and request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise InvalidScheduleError(_name(request), "", "a body is Content-Type: application/json")
        given = _decoded(_runs, body) if body else RunRequest()
        with in_trace_of_caller(request):
            started = await self._client.run(_name(request), given.params, idempotency_key=given.idempotency_key)
        document = {"kind": started.kind, "type": started.name, "id": started.id}
        await self._did(request, "run", _name(request), document)
        return answer(201, document, {"Location": f"/v1/{started.kind}s/{started.id}"})


def _name(request: Request) -> str:
    return str(request.path_params["name"])


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidScheduleError("", "", f"the body is not what it must be: {exc}") from None


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise InvalidScheduleError("", name, "expected a whole number")
    return int(text)
