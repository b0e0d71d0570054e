"""What the JSON APIs under ``/v1`` have in common: who may use them, bounded bodies, answers, errors as answers.

Who may: with ``http.api_token`` whoever sends it (``Authorization: Bearer …``). Without it only clients of this
machine, and no web page: what names an ``Origin`` is refused.
"""

import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from gbe.durations import parse_duration
from gbe.envelope import is_traceparent
from gbe.errors import (
    ConfigError,
    GbeError,
    IllegalTransitionError,
    InvalidKeyError,
    InvalidLetterQueryError,
    InvalidScheduleError,
    InvalidTaskError,
    LetterConflictError,
    LetterNotFoundError,
    ObjectError,
    ObjectTooLargeError,
    ScheduleConflictError,
    ScheduleNotFoundError,
    StateError,
    StateFullError,
    TaskNotFoundError,
    TransportError,
    TransportFullError,
    UnknownStreamError,
    UnknownTaskTypeError,
)
from gbe.http.asgi import App, Receive, Scope, Send, deny
from gbe.tracing import in_trace_of

logger = logging.getLogger(__name__)

MAX_BODY: Final = 8 * 1024 * 1024
NO_ROOM: Final = "the engine has no room left, or cannot write its disk; nothing was stored: make room, then try again"
_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}

Handler = Callable[[Request], Awaitable[Response]]
Duration = float | str | None


class RefusedError(Exception):
    """A request that is answered with an error: ``{"error": {"code": …, "message": …, "field": …}}``."""

    def __init__(self, status: int, code: str, message: str, field: str = "") -> None:
        self.status, self.code, self.message, self.field = status, code, message, field
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path, and what answers it; errors of gbe that it raises become answers."""

    method: str
    path: str
    handler: Handler


@dataclass(frozen=True, slots=True)
class SocketEndpoint:
    """A path to upgrade to a WebSocket, and what serves it; what it raises before it has accepted is a status."""

    path: str
    serve: App


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use the APIs; see the module's docstring."""

    token: str | None
    behind_proxy: bool
    on_refused: Callable[[HTTPConnection, RefusedError], None] | None = None
    """Hears of everybody who may not."""

    def check(self, request: HTTPConnection) -> None:
        """Raises ``RefusedError`` for whoever may not."""
        try:
            self._check(request)
        except RefusedError as exc:
            if self.on_refused is not None:
                self.on_refused(request, exc)
            raise

    def _check(self, request: HTTPConnection) -> None:
        if self.token is not None:
            given = request.headers.get("authorization", "")
            if not hmac.compare_digest(given.encode("latin-1", "replace"), f"Bearer {self.token}".encode()):
                raise RefusedError(401, "unauthorized", "send Authorization: Bearer with the token of http.api_token")
            return
        host = request.client.host if request.client is not None else ""
        try:
            is_local = ipaddress.ip_address(host).is_loopback
        except ValueError:
            is_local = False
        if self.behind_proxy or not is_local or "origin" in request.headers:
            raise RefusedError(403, "forbidden", "this is for this machine alone, until http.api_token is set")


class _GuardedSocket:
    def __init__(self, serve: App, access: Access) -> None:
        self._serve, self._access = serve, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._access.check(HTTPConnection(scope))
            await self._serve(scope, receive, send)
        except RefusedError as exc:
            await deny(send, exc.status)
        except GbeError as exc:
            await deny(send, refusal(exc).status)


def api(endpoints: Iterable[Endpoint], access: Access, sockets: Iterable[SocketEndpoint] = ()) -> App:
    """One application of these endpoints."""

    def guarded(handler: Handler) -> Handler:
        async def answer_safely(request: Request) -> Response:
            try:
                access.check(request)
                return await handler(request)
            except RefusedError as exc:
                return error_answer(exc)
            except GbeError as exc:
                return error_answer(refusal(exc))

        return answer_safely

    async def no_such(_request: Request, exc: Exception) -> Response:
        status = exc.status_code if isinstance(exc, HTTPException) else 404
        code, message = (
            ("method_not_allowed", "not with this method") if status == 405 else ("not_found", "no such path")
        )
        return error_answer(RefusedError(status, code, message))

    routes: list[BaseRoute] = [Route(each.path, guarded(each.handler), methods=[each.method]) for each in endpoints]
    routes += [WebSocketRoute(each.path, _GuardedSocket(each.serve, access)) for each in sockets]
    return Starlette(routes=routes, exception_handlers={HTTPException: no_such})


# -- requests


async def json_body(request: Request, *, limit: int = MAX_BODY) -> bytes:
    """The body of a JSON request, at most ``limit`` bytes. Raises ``RefusedError`` (413, 415)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusedError(415, "unsupported_media_type", "expected Content-Type: application/json")
    return await bounded_body(request, limit=limit)


async def bounded_body(request: Request, *, limit: int = MAX_BODY) -> bytes:
    """The body of a request, at most ``limit`` bytes. Raises ``RefusedError`` (413)."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise RefusedError(413, "too_large", f"a body has at most {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def in_trace_of_caller(request: Request) -> AbstractContextManager[None]:
    """What is submitted in the block belongs to the trace of the request's ``traceparent`` header, if it is one."""
    given = request.headers.get("traceparent", "")
    return in_trace_of(given if is_traceparent(given) else None)


def seconds(name: str, value: Duration) -> float | None:
    """A duration in seconds. Raises ``InvalidTaskError`` that names the field."""
    if value is None:
        return None
    try:
        return parse_duration(value)
    except ValueError as exc:
        raise InvalidTaskError("task", name, f"{str(value)[:40]!r}; expected {exc}") from None


# -- answers


def answer(status: int, value: object, headers: dict[str, str] | None = None) -> Response:
    """A value as JSON."""
    body = msgspec.json.encode(value) + b"\n"
    return Response(body, status, {**_HEADERS, **(headers or {})}, media_type="application/json")


def error_answer(exc: RefusedError) -> Response:
    """An error as JSON."""
    error = {"code": exc.code, "message": exc.message} | ({"field": exc.field} if exc.field else {})
    return answer(exc.status, {"error": error})


def refusal(exc: GbeError) -> RefusedError:
    """The status of each error of ours; what a client need not know stays out."""
    match exc:
        case UnknownTaskTypeError():
            return RefusedError(404, "unknown_type", str(exc))
        case UnknownStreamError():
            return RefusedError(404, "not_found", str(exc))
        case TaskNotFoundError():
            return RefusedError(404, "not_found", str(exc))
        case InvalidTaskError():
            return RefusedError(400, "invalid", str(exc), exc.field)
        case ScheduleNotFoundError():
            return RefusedError(404, "not_found", str(exc))
        case InvalidScheduleError():
            return RefusedError(400, "invalid", str(exc), exc.field)
        case ConfigError() | InvalidKeyError():
            return RefusedError(400, "invalid", str(exc))
        case LetterNotFoundError():
            return RefusedError(404, "not_found", str(exc))
        case InvalidLetterQueryError():
            return RefusedError(400, "invalid", str(exc), exc.field)
        case IllegalTransitionError() | LetterConflictError() | ScheduleConflictError():
            return RefusedError(409, "conflict", str(exc))
        case ObjectTooLargeError():
            return RefusedError(413, "too_large", str(exc))
        case StateFullError() | TransportFullError():
            logger.warning("request failed: %s", exc)
            return RefusedError(503, "unavailable", NO_ROOM)
        case StateError() | TransportError() | ObjectError():
            logger.warning("request failed: %s", exc)
            return RefusedError(503, "unavailable", "the engine does not answer; try again")
        case _:
            logger.error("request failed", exc_info=exc)
            return RefusedError(500, "internal", "internal server error")
