"""All JSON APIs of a server, put together: a new one adds its endpoints, its part of the document and its paths."""

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from gbe.events.reading import EventReader
from gbe.http.api import Access, Endpoint, RefusedError, answer, api
from gbe.http.asgi import App
from gbe.http.audit import Auditor
from gbe.http.deadletters import deadletter_endpoints
from gbe.http.events import event_endpoints
from gbe.http.events_read import event_read_endpoints, event_sockets
from gbe.http.jobs import job_endpoints
from gbe.http.open_streams import OpenStreams
from gbe.http.openapi import Part, document
from gbe.http.openapi_deadletters import deadletter_part
from gbe.http.openapi_events import event_part
from gbe.http.openapi_jobs import job_part
from gbe.http.openapi_schedules import schedule_part
from gbe.http.openapi_streams import stream_part
from gbe.http.openapi_tasks import task_part
from gbe.http.retention import stream_endpoints
from gbe.http.schedules import schedule_endpoints
from gbe.http.services import Services
from gbe.http.tasks import task_endpoints


def apis(services: Services, streams: OpenStreams) -> App:
    """The application for the paths of ``Route.API``."""
    endpoints: list[Endpoint] = []
    parts: list[Part] = []
    auditor = Auditor(services.events)
    if services.tasks is not None:
        endpoints += task_endpoints(services.tasks, auditor)
        parts.append(task_part())
    if services.dead_letters is not None:
        endpoints += deadletter_endpoints(services.dead_letters)
        parts.append(deadletter_part())
    if services.schedules is not None:
        endpoints += schedule_endpoints(services.schedules, auditor)
        parts.append(schedule_part())
    if services.jobs is not None:
        endpoints += job_endpoints(services.jobs, auditor)
        parts.append(job_part())
    endpoints += event_endpoints(services.events)
    reader = EventReader(services.transport, services.events.names)
    endpoints += event_read_endpoints(reader, streams, services.http)
    parts.append(event_part())
    if services.streams is not None:
        endpoints += stream_endpoints(services.streams, auditor)
        parts.append(stream_part())

    async def openapi(_request: Request) -> Response:
        return answer(200, document(parts))

    endpoints.append(Endpoint("GET", "/v1/openapi.json", openapi))

    def refused(request: HTTPConnection, exc: RefusedError) -> None:
        client = services.visitors.of_request(request.scope.get("client"), request.headers.raw).key
        reason = "no valid API token" if exc.status == 401 else "not a program of this machine"
        services.refusals.note(client, request.scope["path"], reason)

    access = Access(services.http.api_token, services.notify.behind_proxy, refused)
    return api(endpoints, access, event_sockets(reader, streams, services.http))
