"""``GET /v1/events/{patterns}/json``, ``/sse`` and ``/ws``: events from where the client wants them, then live.
``/history``: what is stored, page by page."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from gbe.errors import GbeError, InvalidCursorError, InvalidSubjectError, StreamNotFoundError, UnknownEventError
from gbe.events.cloudevents import BATCHED, STRUCTURED
from gbe.events.filters import Filters
from gbe.events.reading import EventReader
from gbe.events.since import parse_since
from gbe.http.api import Endpoint, Handler, RefusedError, SocketEndpoint, answer, error_answer, refusal
from gbe.http.asgi import Receive, Scope, Send
from gbe.http.config import HttpConfig
from gbe.http.event_formats import FORMATS, WEBSOCKET, EventFormat, Render, as_cloudevent, as_record
from gbe.http.event_streams import EventStream, HttpEventStream, WebSocketEventStream
from gbe.http.open_streams import OpenStreams
from gbe.http.services import now_ms
from gbe.transport.base import EARLIEST, LATEST, Start, StoredMessage

T = TypeVar("T")

PATH: Final = "/v1/events/{patterns}"
MOST: Final = 1000
"""Events of one page."""
_PAGE: Final = 100
_COMMON: Final = frozenset({"since", "filter", "format"})


def event_read_endpoints(reader: EventReader, streams: OpenStreams, config: HttpConfig) -> list[Endpoint]:
    """The endpoints over HTTP, documented in ``openapi_events``."""
    serving = EventStreams(reader, streams, config)
    endpoints = [Endpoint("GET", f"{PATH}/{name}", serving.over_http(form)) for name, form in FORMATS.items()]
    return [*endpoints, Endpoint("GET", f"{PATH}/history", EventPages(reader).page)]


def event_sockets(reader: EventReader, streams: OpenStreams, config: HttpConfig) -> list[SocketEndpoint]:
    """The endpoint over WebSocket."""
    return [SocketEndpoint(f"{PATH}/ws", EventStreams(reader, streams, config).over_websocket)]


@dataclass(frozen=True, slots=True)
class Query:
    """What a reader asks for; raises ``RefusedError`` for what cannot be."""

    patterns: tuple[str, ...]
    start: Start
    filters: Filters
    render: Render

    @classmethod
    def of(
        cls, reader: EventReader, request: HTTPConnection, *, start: Start = LATEST, more: frozenset[str] = frozenset()
    ) -> "Query":
        """Read path, query and headers.

        Args:
            start: without ``since`` and ``Last-Event-ID``, of which the header counts: a client that connects again
                repeats the query as it was.
            more: parameters that are known beside those of every reader.
        """
        parameters = request.query_params
        for name in parameters:
            if name not in _COMMON and name not in more:
                known = ", ".join(sorted(_COMMON | more))
                raise RefusedError(400, "invalid", f"unknown parameter {name[:40]!r}; known are {known}", name[:40])
        try:
            patterns = reader.patterns(request.path_params["patterns"])
        except UnknownEventError as exc:
            raise RefusedError(404, "unknown_subject", str(exc)) from None
        except InvalidSubjectError as exc:
            raise RefusedError(400, "invalid_subject", str(exc)) from None
        since = request.headers.get("last-event-id") or parameters.get("since")
        if since:
            start = checked("since", lambda: parse_since(since, now_ms=now_ms()))
        filters = checked("filter", lambda: Filters.parse(parameters.getlist("filter")))
        return cls(patterns, start, filters, _render(request))


def checked(field: str, read: Callable[[], T]) -> T:
    """What ``read`` returns; a ``ValueError`` refuses the request and names the field."""
    try:
        return read()
    except ValueError as exc:
        raise RefusedError(400, "invalid", f"{field}: {exc}", field) from None


@contextmanager
def unknown_streams_refused() -> Iterator[None]:
    """A pattern that no stream keeps is not there, whatever else the engine may lack."""
    try:
        yield
    except StreamNotFoundError as exc:
        raise RefusedError(404, "no_stream", str(exc)) from None


def _render(request: HTTPConnection) -> Render:
    named = request.query_params.get("format")
    match named:
        case "cloudevents":
            return as_cloudevent
        case "gbe":
            return as_record
        case None:
            accepted = request.headers.get("accept", "").lower()
            return as_cloudevent if STRUCTURED in accepted or BATCHED in accepted else as_record
        case _:
            raise RefusedError(400, "invalid", f"format: {named[:40]!r}; expected cloudevents or gbe", "format")


class EventStreams:
    """Opens streams, a bounded number of them."""

    def __init__(self, reader: EventReader, streams: OpenStreams, config: HttpConfig) -> None:
        self._reader, self._streams, self._config = reader, streams, config

    def over_http(self, form: EventFormat) -> Handler:
        """The handler of one format."""

        async def open_stream(request: Request) -> Response:
            query = Query.of(self._reader, request)
            if request.method == "HEAD":
                return Response(headers={"Content-Type": form.content_type.decode()})
            return _Streaming(self._stream(HttpEventStream, request, query, form))

        return open_stream

    async def over_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve an upgrade."""
        connection = HTTPConnection(scope)
        query = Query.of(self._reader, connection)
        stream = self._stream(WebSocketEventStream, connection, query, WEBSOCKET)
        with unknown_streams_refused():
            await stream.run(scope, receive, send)

    def _stream(self, kind: type[EventStream], request: HTTPConnection, query: Query, form: EventFormat) -> EventStream:
        if self._streams.count(EventStream) >= self._config.event_streams:
            raise RefusedError(429, "too_many_streams", "too many streams of events are open; try again later")
        reader, filters, render = self._reader, query.filters, query.render

        def frame(message: StoredMessage) -> bytes | None:
            if not filters.matches(message.envelope.payload):
                return None
            return form.frame(render(message, reader.relative(message.envelope.subject)), message.envelope.id)

        return kind(
            self._streams,
            label=request.path_params["patterns"],
            source=reader.follow(query.patterns, query.start),
            frame=frame,
            form=form,
            patience=self._config.slow_reader_timeout,
        )


class EventPages:
    """What is stored, in pages."""

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader

    async def page(self, request: Request) -> Response:
        """``{"events": […], "cursor": …}``, or a batch of CloudEvents; the next page is in ``Link`` too."""
        query = Query.of(self._reader, request, start=EARLIEST, more=frozenset({"limit", "cursor"}))
        limit = checked("limit", lambda: _limit(request.query_params.get("limit")))
        cursor = request.query_params.get("cursor") or None
        try:
            with unknown_streams_refused():
                page = await self._reader.history(
                    query.patterns, query.start, query.filters, cursor=cursor, limit=limit
                )
        except InvalidCursorError as exc:
            raise RefusedError(400, "invalid", str(exc), "cursor") from None
        events = [
            msgspec.Raw(query.render(message, self._reader.relative(message.envelope.subject)))
            for message in page.messages
        ]
        headers = {} if page.cursor is None else {"Link": f'<{_next(request, page.cursor)}>; rel="next"'}
        if query.render is as_cloudevent:
            return answer(200, events, headers | {"Content-Type": BATCHED})
        return answer(200, {"events": events, "cursor": page.cursor}, headers)


def _limit(text: str | None) -> int:
    if text is None:
        return _PAGE
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= MOST):
        raise ValueError(f"{text[:40]!r}; expected 1 to {MOST}")
    return int(text)


def _next(request: Request, cursor: str) -> str:
    """The path and query of the next page."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in ("cursor", "since")]
    return f"{quote(request.url.path)}?{urlencode([*kept, ('cursor', cursor)])}"


class _Streaming(Response):
    """A stream as Starlette calls it; what fails before it has begun is an answer like any other."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with unknown_streams_refused():
                await self._stream.run(scope, receive, send)
        except RefusedError as exc:
            await error_answer(exc)(scope, receive, send)
        except GbeError as exc:
            await error_answer(refusal(exc))(scope, receive, send)
