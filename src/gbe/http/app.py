"""The ASGI application: routes a request to its handler, and turns every error into an answer."""

import logging
from collections.abc import Awaitable
from typing import Final
from urllib.parse import quote

from prometheus_client import Counter

from gbe import metrics
from gbe.deadletters.letters import DeadLetters
from gbe.errors import NotifyError, ObjectError, StateError, TransportError
from gbe.events.publisher import EventPublisher
from gbe.http.account_routes import AccountRoutes
from gbe.http.apis import apis
from gbe.http.asgi import (
    ClientGoneError,
    Receive,
    Scope,
    Send,
    as_notify_error,
    deny,
    refuse,
    respond,
)
from gbe.http.authentication import Authentication
from gbe.http.config import HttpConfig
from gbe.http.files import Downloads
from gbe.http.keepalive import Keepalive
from gbe.http.matrix import Matrix
from gbe.http.open_streams import OpenStreams
from gbe.http.publish import Publishing
from gbe.http.refusals import Refusals
from gbe.http.routes import Match, Route, find_route
from gbe.http.services import Services
from gbe.http.site import site
from gbe.http.subscribe import Subscribing
from gbe.http.webpush import WebPush
from gbe.jobs.client import JobClient
from gbe.notify.access.access import Access
from gbe.notify.config import NotifyConfig
from gbe.notify.email.mailer import Mailer
from gbe.notify.errors import Refusal
from gbe.notify.files import Files
from gbe.notify.history import History
from gbe.notify.hub import Hub
from gbe.notify.ledger import Ledger
from gbe.notify.rate_visitors import RateVisitors
from gbe.notify.scheduled import Scheduled
from gbe.notify.stats import Stats
from gbe.notify.topics_in_use import TopicsInUse
from gbe.notify.visitors import Network, Visitors
from gbe.notify.webpush.live import LivePusher
from gbe.notify.webpush.subscriptions import Subscriptions
from gbe.schedules.client import ScheduleClient
from gbe.schemas.events.registry import EventRegistry
from gbe.state.base import StateStore
from gbe.sweeper.streams import Streams
from gbe.tasks.client import TaskClient
from gbe.transport.base import Transport

logger = logging.getLogger(__name__)

_PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"GET, PUT, POST, PATCH, DELETE"),
    (b"access-control-allow-headers", b"*"),
)
_PATH_CHARACTERS: Final = "/:@!$&'()*+,;=~"  # what may stand in a path as it is (RFC 3986)
_GONE: Final = 49900  # what nginx logs for a client that hung up; never sent


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Application:
    """One process's HTTP side. Call it as ASGI; ``close`` ends its streams and follows nothing any more."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.streams = OpenStreams(Keepalive(services.notify.keepalive_interval))
        self._publishing = Publishing(services)
        self._subscribing = Subscribing(services, self.streams)
        self._downloads = Downloads(services)
        self._matrix = Matrix(services, self._publishing)
        self._authentication = (
            None if services.access is None else Authentication(services.access, services.visitors, services.refusals)
        )
        self._accounts = AccountRoutes(services)
        self._web_push = WebPush(services, services.push_subscriptions)
        self._site = site(services)
        self._apis = apis(services, self.streams)
        self._counters: dict[tuple[Route, int, str], tuple[Counter, Counter]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # streams stay suspended in here by the thousand: as few coroutines as possible lie between us and them
        websocket = scope["type"] == "websocket"
        match = find_route("GET" if websocket else scope["method"], scope["path"])
        code = 10100 if websocket else 20000
        try:
            if self._authentication is not None and match.route is not Route.API:
                await self._authentication.identify(scope, match)
            await (self._websocket if websocket else self._http)(match, scope, receive, send)
        except ClientGoneError:
            code = _GONE
        except Exception as exc:  # noqa: BLE001 - whatever fails, the client gets an answer and the log the rest
            error = self._explained(exc, match)
            code = error.code
            await (deny(send, error.http) if websocket else refuse(send, error))
        self._count(match.route, code, scope.get("method", "GET"))

    def end_streams(self) -> None:
        """Tell every subscriber that the server stops."""
        self.streams.end_all()

    async def close(self) -> None:
        """End the streams and stop following topics."""
        self.end_streams()
        await self.services.refusals.close()
        await self.services.hub.close()
        if self.services.mailer is not None:
            await self.services.mailer.close()
        if self.services.live_pusher is not None:
            await self.services.live_pusher.close()

    # -- handlers

    def _http(self, match: Match, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        match match.route:
            case Route.PUBLISH:
                return self._publishing.to_topic(scope, receive, send, match.topic, match.sequence_id)
            case Route.STREAM:
                return self._subscribing.over_http(scope, receive, send, match.topic, match.format)
            case Route.PUBLISH_JSON:
                return self._publishing.as_json(scope, receive, send)
            case Route.FILE:
                return self._downloads.answer(scope, send, match.topic)
            case Route.MATRIX:
                return self._matrix.answer(scope, receive, send)
            case Route.API:
                return self._apis(scope, receive, send)
            case Route.ACCOUNT:
                return self._accounts(scope, receive, send)
            case Route.WEB_PUSH:
                return self._web_push.answer(scope, receive, send)
            case Route.SITE | Route.TOPIC_PAGE:
                return self._site(scope, receive, send)
            case Route.CLEAR | Route.DELETE:
                delete = match.route is Route.DELETE
                return self._publishing.clear(scope, send, match.topic, match.sequence_id or "", delete=delete)
            case Route.MAY_READ:
                return self._subscribing.may_read(scope, send, match.topic)
            case Route.PREFLIGHT:
                return self._subscribing.preflight(scope, send, _PREFLIGHT)
            case Route.REDIRECT:
                return _redirect(scope, send, match.topic)
            case Route.WEBSOCKET:
                raise Refusal.WEBSOCKET_EXPECTED.error()
            case Route.NOT_FOUND:
                raise Refusal.NOT_FOUND.error()

    def _websocket(self, match: Match, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if match.route is Route.API:
            return self._apis(scope, receive, send)
        if match.route is not Route.WEBSOCKET:
            raise Refusal.NOT_FOUND.error()
        return self._subscribing.over_websocket(scope, receive, send, match.topic)

    # -- errors and counters

    def _explained(self, exc: Exception, match: Match) -> NotifyError:
        if match.route in (Route.PUBLISH, Route.PUBLISH_JSON):
            metrics.publish_failures.inc()
        elif match.route is Route.MATRIX:
            metrics.matrix_failures.inc()
        if isinstance(exc, TransportError | StateError | ObjectError):
            logger.warning("request failed: %s", exc, extra={"route": match.route.name.lower()})
        elif not isinstance(exc, NotifyError):
            logger.error("request failed", exc_info=exc, extra={"route": match.route.name.lower()})
        return as_notify_error(exc)

    def _count(self, route: Route, code: int, method: str) -> None:
        """One request more; ``code`` is ntfy's, with the status in its first three digits."""
        method = method if method in _METHODS else "other"
        counters = self._counters.get((route, code, method))
        if counters is None:
            status = str(code // 100)
            counters = self._counters[route, code, method] = (
                metrics.http_requests.labels(route.name.lower(), status),
                metrics.ntfy_requests.labels(status, str(code), method),
            )
        for counter in counters:
            counter.inc()


async def _redirect(scope: Scope, send: Send, path: str) -> None:
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    location = quote(path, safe=_PATH_CHARACTERS).encode("ascii") + query  # decoded, a path may hold a line break
    await respond(send, 301, b"", [(b"location", location)])


def build_application(
    transport: Transport,
    *,
    namespace: str = "gbe",
    http: HttpConfig | None = None,
    notify: NotifyConfig | None = None,
    exempt: tuple[Network, ...] = (),
    ledger: Ledger | None = None,
    files: Files | None = None,
    state: StateStore | None = None,
    access: Access | None = None,
    tasks: TaskClient | None = None,
    dead_letters: DeadLetters | None = None,
    schedules: ScheduleClient | None = None,
    jobs: JobClient | None = None,
    events: EventRegistry | None = None,
    streams: Streams | None = None,
    push_subscriptions: Subscriptions | None = None,
    live_pusher: LivePusher | None = None,
) -> Application:
    """Put an application together on an open transport.

    Args:
        exempt: networks that the request and message limits do not concern, host names looked up already.
        events: schemas behind ``/v1/events``; those of gbe by default.
        tasks, schedules, jobs, dead_letters, streams: behind ``/v1/tasks`` and so on; ``None`` answers 404 there.
        push_subscriptions: of browsers; ``None`` takes none.
        live_pusher: pushes to them what is not stored; the application closes it.
        ledger: where visitors are counted; ``None`` counts in this process alone.
        files: where attachments go; ``None`` takes none.
        state: what nodes know together of visitors; ``None`` keeps it in this process.
        access: who may read and write what; ``None``: everything is open.
    """
    notify = notify or NotifyConfig()
    publisher = EventPublisher(transport, namespace, events)
    visitors = Visitors(notify, exempt, ledger)
    hub = Hub(transport, notify, namespace, metrics.delivered.inc)
    return Application(
        Services(
            transport=transport,
            namespace=namespace,
            http=http or HttpConfig(),
            notify=notify,
            hub=hub,
            scheduled=Scheduled(transport, namespace),
            topics=TopicsInUse(notify, hub.is_followed),
            files=files,
            history=History(transport, notify, namespace),
            visitors=visitors,
            stats=Stats(state, namespace),
            rate_visitors=RateVisitors(notify, visitors, state, namespace),
            access=access,
            mailer=Mailer(notify, metrics.count_mail) if notify.smtp_sender_addr else None,
            tasks=tasks,
            dead_letters=dead_letters,
            schedules=schedules,
            jobs=jobs,
            events=publisher,
            streams=streams,
            push_subscriptions=push_subscriptions,
            live_pusher=live_pusher,
            refusals=Refusals(publisher),
        )
    )
