"""The publishing routes (section 4): the hottest path of the server, raw ASGI."""

import asyncio
import time

from gbe import metrics
from gbe.envelope import is_traceparent
from gbe.http.asgi import Receive, Scope, Send, header, read_body, respond
from gbe.http.services import Services, now_ms
from gbe.http.wire import json_line
from gbe.notify.email.compose import Origin, compose_mail
from gbe.notify.email.mailer import Mail
from gbe.notify.hub import topic_subject
from gbe.notify.json_request import read_json
from gbe.notify.parameters import Parameters
from gbe.notify.publishing import (
    Publication,
    PublishOptions,
    compose,
    message_clear,
    message_delete,
    read_options,
)
from gbe.notify.templating import MAX_BODY_BYTES, Templating
from gbe.notify.topics import check_topic
from gbe.notify.visitors import Visitor
from gbe.schemas.notify import encode


class Publishing:
    """Takes publish requests; each method answers one, or raises ``NotifyError`` or ``TransportError``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._templating = Templating(services.notify)

    async def to_topic(
        self, scope: Scope, receive: Receive, send: Send, topic: str, sequence_id: str | None = None
    ) -> None:
        """``PUT`` and ``POST /TOPIC``, ``/TOPIC/SEQ``, and the ``GET`` forms."""
        services = self._services
        visitor = self._visitor(scope)
        check_topic(topic, services.notify.disallowed_topics)
        visitor.take_request()
        parameters = Parameters(scope["headers"], scope["query_string"])
        now = now_ms()
        options = read_options(parameters, config=services.notify, now_ms=now, sequence_from_path=sequence_id)
        visitor.take_message(now)
        if options.email:
            visitor.take_email()
        if options.template:
            options = await self._templated(options, await read_body(receive, limit=MAX_BODY_BYTES))
            body = b""
        else:
            body = await read_body(receive, limit=services.notify.message_size_limit)
        await self._compose_and_publish(scope, send, topic, options, body)

    async def as_json(self, scope: Scope, receive: Receive, send: Send) -> None:
        """``PUT`` and ``POST /``: topic and options in the body (section 4.8)."""
        services = self._services
        visitor = self._visitor(scope)
        limit = 2 * services.notify.message_size_limit
        body = await read_body(receive, limit=limit)
        request = read_json(
            body,
            Parameters(scope["headers"], scope["query_string"]),
            message_size_limit=services.notify.message_size_limit,
        )
        check_topic(request.topic, services.notify.disallowed_topics)
        visitor.take_request()
        now = now_ms()
        options = read_options(request.parameters, config=services.notify, now_ms=now)
        visitor.take_message(now)
        if options.email:
            visitor.take_email()
        body = request.message
        if options.template:
            options, body = await self._templated(options, body), b""
        await self._compose_and_publish(scope, send, request.topic, options, body)

    async def clear(self, scope: Scope, send: Send, topic: str, sequence_id: str, *, delete: bool) -> None:
        """Mark a sequence as read, or remove it (section 4.12)."""
        services = self._services
        visitor = self._visitor(scope)
        check_topic(topic, services.notify.disallowed_topics)
        visitor.take_request()
        now = now_ms()
        visitor.take_message(now)
        build = message_delete if delete else message_clear
        await self._publish(scope, send, build(topic, sequence_id, config=services.notify, now_ms=now))

    async def _templated(self, options: PublishOptions, body: bytes) -> PublishOptions:
        """In a thread: a template may take a while and read a file, and the others must not wait for it."""
        return await asyncio.to_thread(self._templating.apply, options, body)

    def _visitor(self, scope: Scope) -> Visitor:
        return self._services.visitors.of_request(scope["client"], scope["headers"])

    async def _compose_and_publish(
        self, scope: Scope, send: Send, topic: str, options: PublishOptions, body: bytes
    ) -> None:
        publication = compose(topic, options, body, config=self._services.notify, now_ms=now_ms())
        await self._publish(scope, send, publication)
        if options.email:
            self._send_mail(scope, publication, options.email)

    def _send_mail(self, scope: Scope, publication: Publication, to: str) -> None:
        """The message as a mail too, in the background; whoever published has an answer already."""
        config, mailer = self._services.notify, self._services.mailer
        if mailer is not None:
            sender = self._visitor(scope).key.partition("/")[0]
            origin = Origin(base_url=config.base_url, topic=publication.topic, sender=sender)
            content = compose_mail(publication.notification, origin, to=to, sender=config.smtp_sender_from)
            mailer.send(Mail(to, content))

    async def _publish(self, scope: Scope, send: Send, publication: Publication) -> None:
        """Store, then answer: a client that sees 200 will find the message."""
        services, notification = self._services, publication.notification
        traceparent = header(scope, b"traceparent")
        started = time.perf_counter()
        await services.transport.publish(
            topic_subject(services.namespace, publication.topic),
            encode(notification),
            id=publication.ulid,
            traceparent=traceparent if is_traceparent(traceparent) else None,
            deliver_at=publication.deliver_at,
            durable=publication.durable,
            timeout=services.http.publish_timeout,
        )
        metrics.http_publish_seconds.observe(time.perf_counter() - started)
        metrics.published.inc()
        await respond(send, 200, json_line(notification, publication.topic))
