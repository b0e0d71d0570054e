"""Everything that is not hot: pages, health, metrics. A Starlette application."""

import asyncio
import contextlib
import html
import time
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gbe import metrics
from gbe.errors import StateError, TransportError
from gbe.http.asgi import UNAVAILABLE, App, json_body
from gbe.http.page import page
from gbe.http.services import Services, now_ms
from gbe.http.wire import error_body
from gbe.notify.errors import Refusal
from gbe.notify.options import UNIFIED_PUSH
from gbe.notify.parameters import Parameters
from gbe.notify.topics import RESERVED

_HEALTH_TIMEOUT: Final = 2.0
_CACHED_EVERY: Final = 60.0
_NOT_FOUND: Final = Refusal.NOT_FOUND.error()
_OPEN_TO_ALL: Final = {"Access-Control-Allow-Origin": "*"}
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_WELCOME: Final = """<p>This is a gbe server: an ntfy-compatible notification service. A topic exists as soon as
somebody uses it.</p>
<p>Publish:</p>
<pre>curl -d "Backup done" {base}/{topic}</pre>
<p>Subscribe, in another terminal:</p>
<pre>curl -sN {base}/{topic}/json</pre>
<p>Read what is stored:</p>
<pre>curl -s "{base}/{topic}/json?poll=1"</pre>
<p>Or point any ntfy client at <code>{base}</code>.</p>"""


def site(services: Services) -> App:
    """The application for the paths of ``Route.SITE`` and ``Route.TOPIC_PAGE``."""
    root = services.notify.app_root

    async def welcome(request: Request) -> Response:
        """``GET /``, ``/TOPIC`` and ``/HOST/TOPIC``: how to publish and subscribe (6.2); ``?up=1`` is UnifiedPush
        discovery (4.11). Without web pages there is neither."""
        topic, host = request.path_params.get("topic", ""), request.path_params.get("host", "")
        if not root or (not topic and request.method == "GET" and root != "/"):
            return Response(error_body(_NOT_FOUND), _NOT_FOUND.http, _OPEN_TO_ALL, "application/json")
        if topic and not host and _asks_for_unified_push(request):
            body = json_body({"unifiedpush": {"version": 1}})
            return Response(body, media_type="application/json", headers=_OPEN_TO_ALL)
        if topic in RESERVED or f"/{topic}" == root:  # the app's own address is no topic
            topic = ""
        base = f"https://{host}" if host else services.notify.base_url or _address_of(request)
        content = _WELCOME.format(base=html.escape(base), topic=html.escape(topic or "mytopic"))
        return HTMLResponse(page(topic or "gbe", content), headers=_PAGE_HEADERS)

    async def health(request: Request) -> Response:  # noqa: ARG001
        """``GET /v1/health``: 200 if the engine answers, else 503."""
        healthy = await _engine_answers(services)
        body = json_body({"healthy": healthy})
        status = 200 if healthy else 503
        return Response(body, status_code=status, media_type="application/json", headers=_OPEN_TO_ALL)

    async def stats(request: Request) -> Response:  # noqa: ARG001
        """``GET /v1/stats``: messages ever published, and per second lately; 503 if the state store is away."""
        try:
            messages, rate = await services.stats.figures()
        except StateError:
            return Response(error_body(UNAVAILABLE), UNAVAILABLE.http, _OPEN_TO_ALL, "application/json")
        body = json_body({"messages": messages, "messages_rate": round(rate, 6)})
        return Response(body, media_type="application/json", headers=_OPEN_TO_ALL)

    async def prometheus(request: Request) -> Response:  # noqa: ARG001
        """``GET /metrics``."""
        metrics.visitors.set(await asyncio.to_thread(len, services.visitors))
        metrics.users.set(0 if services.access is None else services.access.directory.count)
        metrics.followed_topics.set(services.hub.followed_topics)
        metrics.topics.set(len(services.topics))
        await _measure_files(services)
        await cached()
        metrics.engine_up.set(await _engine_answers(services))
        content = await asyncio.to_thread(metrics.render)
        return Response(content, headers={"Content-Type": metrics.CONTENT_TYPE})

    looked_at = -_CACHED_EVERY

    async def cached() -> None:
        """How many messages are stored: a look that costs something, so not at each question."""
        nonlocal looked_at
        if time.monotonic() < looked_at + _CACHED_EVERY:
            return
        looked_at = time.monotonic()
        with contextlib.suppress(TransportError, TimeoutError):
            async with asyncio.timeout(_HEALTH_TIMEOUT):
                figures = await services.transport.stream_figures(f"{services.namespace}-notify-topic")
                metrics.cached_messages.set(figures.messages)

    routes = [
        Route("/", welcome, methods=["GET"]),
        Route("/v1/health", health, methods=["GET"]),
        Route("/v1/stats", stats, methods=["GET"]),
        Route("/{topic}", welcome, methods=["GET"]),
        Route("/{host}/{topic}", welcome, methods=["GET"]),
    ]
    if services.http.metrics:
        routes.insert(2, Route("/metrics", prometheus, methods=["GET"]))
    return Starlette(routes=routes)


def _asks_for_unified_push(request: Request) -> bool:
    return Parameters(request.headers.raw, request.url.query.encode("latin-1")).flag(UNIFIED_PUSH, default=False)


def _address_of(request: Request) -> str:
    """Where this client has found us."""
    return f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"


async def _measure_files(services: Services) -> None:
    if services.files is not None:
        with contextlib.suppress(StateError):  # the figure of the last time stays
            metrics.files_size.set(await services.files.total_size(now_ms()))


async def _engine_answers(services: Services) -> bool:
    try:
        async with asyncio.timeout(_HEALTH_TIMEOUT):
            await services.transport.ping()
    except (TransportError, TimeoutError):
        return False
    return True
