"""``events.api.{request|error}``: high volume, kept for three days."""

from typing import Annotated

import msgspec

from gbe.schemas.events.base import Event, Name, Text

Status = Annotated[int, msgspec.Meta(ge=100, le=599)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0)]


class ApiRequest(Event, frozen=True, kw_only=True):
    """``events.api.request``: a request was answered.

    Attributes:
        method, path, status: of HTTP; the path without its query.
        duration_ms: how long it took.
        service: whose interface it was.
        actor, client: who asked, and from where.
        request_id: what the service calls the request.
    """

    method: Name
    path: Text
    status: Status
    duration_ms: Milliseconds | None = None
    service: Name | None = None
    actor: Name | None = None
    client: Name | None = None
    request_id: Name | None = None


class ApiError(Event, frozen=True, kw_only=True):
    """``events.api.error``: a request failed by the service's own fault."""

    method: Name
    path: Text
    error: Text
    status: Status | None = None
    service: Name | None = None
    actor: Name | None = None
    client: Name | None = None
    request_id: Name | None = None
