"""The subscribing routes (section 5)."""

from collections.abc import Iterable

from gbe.http.admitted import Admitted
from gbe.http.asgi import Receive, Scope, Send, respond, succeed
from gbe.http.authentication import caller_of
from gbe.http.formats import HTTP_FORMATS, WEBSOCKET
from gbe.http.open_streams import OpenStreams
from gbe.http.services import Services, now_ms
from gbe.http.streams import HttpStream, WebSocketStream
from gbe.notify.parameters import Parameters
from gbe.notify.subscribing import SubscribeOptions, subscribe_options
from gbe.notify.topics import parse_topics
from gbe.notify.visitors import Visitor


class Subscribing:
    """Serves subscriptions; raises ``NotifyError`` or ``TransportError`` as long as nothing was sent."""

    def __init__(self, services: Services, streams: OpenStreams) -> None:
        self._services, self._streams = services, streams
        self._admitted = Admitted(services.access)

    async def over_http(self, scope: Scope, receive: Receive, send: Send, listed: str, format_name: str) -> None:
        """``GET /TOPICS/json``, ``/sse`` and ``/raw``."""
        visitor, topics = self._admit(scope, listed)
        await self._appoint(scope, visitor, topics)
        visitor.open_stream()
        try:
            options = self._options(scope)
            format_ = HTTP_FORMATS[format_name]
            stream = HttpStream(
                self._services, self._streams, scope, receive, send,
                listed=listed, topics=topics, options=options, format=format_,
            )  # fmt: skip
            await (stream.poll(visitor) if options.poll else self._admitted.run(caller_of(scope), topics, stream))
        finally:
            visitor.close_stream()

    async def over_websocket(self, scope: Scope, receive: Receive, send: Send, listed: str) -> None:
        """``GET /TOPICS/ws`` with an upgrade."""
        visitor, topics = self._admit(scope, listed)
        await self._appoint(scope, visitor, topics)
        visitor.open_stream()
        try:
            options = self._options(scope)
            stream = WebSocketStream(
                self._services, self._streams, scope, receive, send,
                listed=listed, topics=topics, options=options, format=WEBSOCKET,
            )  # fmt: skip
            await (stream.poll(visitor) if options.poll else self._admitted.run(caller_of(scope), topics, stream))
        finally:
            visitor.close_stream()

    async def may_read(self, scope: Scope, send: Send, listed: str) -> None:
        """``GET /TOPICS/auth``: whether the caller may read all of them."""
        self._admit(scope, listed)
        await succeed(send)

    async def preflight(self, scope: Scope, send: Send, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """``OPTIONS`` anything: costs a request like any other (section 3.2)."""
        services = self._services
        visitor = services.visitors.of_request(scope["client"], scope["headers"])
        visitor.take_request()
        await respond(send, 200, b"", headers)

    def _admit(self, scope: Scope, listed: str) -> tuple[Visitor, tuple[str, ...]]:
        services = self._services
        visitor = services.visitors.of_request(scope["client"], scope["headers"])
        visitor.take_request()
        topics = parse_topics(listed, services.notify.disallowed_topics)
        caller_of(scope).check_read(*topics)
        for topic in topics:
            services.topics.use(topic, visitor)
        return visitor, topics

    async def _appoint(self, scope: Scope, visitor: Visitor, topics: tuple[str, ...]) -> None:
        """Who subscribes, and may publish, pays for what is published, if the server is set up so (section 4.11)."""
        if self._services.rate_visitors.is_on:
            for topic in topics:
                if caller_of(scope).may(topic, write=True):
                    await self._services.rate_visitors.appoint(topic, visitor)

    def _options(self, scope: Scope) -> SubscribeOptions:
        return subscribe_options(Parameters(scope["headers"], scope["query_string"]), now_ms=now_ms())
