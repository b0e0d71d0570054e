"""The publishing routes (section 4): the hottest path of the server, raw ASGI."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from gbe import metrics
from gbe.envelope import is_traceparent
from gbe.errors import PublishOutcomeUnknownError, TransportError
from gbe.http.asgi import Receive, Scope, Send, header, respond
from gbe.http.authentication import caller_of
from gbe.http.body import Body, one_part
from gbe.http.services import Services, now_ms
from gbe.http.wire import json_line
from gbe.notify.email.compose import Origin, compose_mail
from gbe.notify.email.mailer import Mail
from gbe.notify.errors import Refusal
from gbe.notify.files import Files
from gbe.notify.hub import topic_subject
from gbe.notify.ignored import IgnoredOptions
from gbe.notify.json_request import read_json
from gbe.notify.options import UNIFIED_PUSH
from gbe.notify.parameters import Parameters
from gbe.notify.publishing import (
    Publication,
    PublishOptions,
    compose,
    file_expires,
    is_file,
    message_clear,
    message_delete,
    read_options,
    wants_file,
)
from gbe.notify.templating import MAX_BODY_BYTES, Templating
from gbe.notify.text import one_line
from gbe.notify.topics import check_topic, masked
from gbe.notify.visitors import Visitor
from gbe.schemas.notify import Attachment, encode

_UNIFIED_PUSH: Final = Parameters([(UNIFIED_PUSH.names[0].encode(), b"1")])


class Publishing:
    """Takes publish requests; each method answers one, or raises ``NotifyError`` or ``TransportError``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._templating = Templating(services.notify)
        self._ignored = IgnoredOptions(metrics.calls_failed.inc)

    async def to_topic(
        self, scope: Scope, receive: Receive, send: Send, topic: str, sequence_id: str | None = None
    ) -> None:
        """``PUT`` and ``POST /TOPIC``, ``/TOPIC/SEQ``, and the ``GET`` forms."""
        services = self._services
        visitor = self._visitor(scope)
        if services.rate_visitors.is_on:
            visitor = await self._charged(visitor, topic)
        self._admit(scope, visitor, topic)
        parameters = Parameters(scope["headers"], scope["query_string"])
        now = now_ms()
        options = read_options(
            parameters,
            config=services.notify,
            now_ms=now,
            sequence_from_path=sequence_id,
            mailbox=caller_of(scope).mailbox,
        )
        self._ignored.look(parameters, masked(topic))
        if options.unified_push:
            await self._check_subscriber(topic)
        visitor.take_message(now)
        if options.email:
            visitor.take_email()
        request = _Request(scope, send, topic, options, visitor)
        if options.template:
            await self._publish_templated(request, await Body(scope, receive).begin(MAX_BODY_BYTES))
        else:
            await self._publish_body(request, Body(scope, receive))

    async def as_json(self, scope: Scope, receive: Receive, send: Send) -> None:
        """``PUT`` and ``POST /``: topic and options in the body (section 4.8)."""
        services = self._services
        visitor = self._visitor(scope)
        body = await Body(scope, receive).begin(2 * services.notify.message_size_limit)
        read = read_json(
            body,
            Parameters(scope["headers"], scope["query_string"]),
            message_size_limit=services.notify.message_size_limit,
        )
        visitor = await self._charged(visitor, read.topic)
        self._admit(scope, visitor, read.topic)
        now = now_ms()
        options = read_options(read.parameters, config=services.notify, now_ms=now, mailbox=caller_of(scope).mailbox)
        self._ignored.look(read.parameters, masked(read.topic))
        if options.unified_push:
            await self._check_subscriber(read.topic)
        visitor.take_message(now)
        if options.email:
            visitor.take_email()
        request = _Request(scope, send, read.topic, options, visitor)
        limit = services.notify.message_size_limit
        if options.template:
            await self._publish_templated(request, read.message)
        elif services.files is not None and (wants_file(options) or is_file(options, read.message, limit)):
            await self._publish_file(request, services.files, one_part(read.message), len(read.message))
        else:
            await self._publish(request, read.message)

    async def clear(self, scope: Scope, send: Send, topic: str, sequence_id: str, *, delete: bool) -> None:
        """Mark a sequence as read, or remove it (section 4.12)."""
        services = self._services
        visitor = self._visitor(scope)
        self._admit(scope, visitor, topic)
        now = now_ms()
        visitor.take_message(now)
        build = message_delete if delete else message_clear
        publication = build(topic, sequence_id, config=services.notify, now_ms=now)
        await self._store(scope, publication, cancels=delete)
        await _answer(send, publication)

    async def unified_push(self, scope: Scope, topic: str, visitor: Visitor, body: bytes) -> None:
        """What the Matrix gateway publishes: its caller has spent a request, and answers."""
        services = self._services
        visitor = await self._charged(visitor, topic)
        check_topic(topic, services.notify.disallowed_topics)
        caller_of(scope).check_write(topic)
        now = now_ms()
        options = read_options(_UNIFIED_PUSH, config=services.notify, now_ms=now)
        await self._check_subscriber(topic)
        services.topics.use(topic, visitor)
        visitor.take_message(now)
        publication = compose(topic, options, body, config=services.notify, now_ms=now)
        await self._store(scope, publication, cancels=False)
        metrics.unified_push_published.inc()
        metrics.matrix_published.inc()

    async def _publish_templated(self, request: "_Request", body: bytes) -> None:
        """The body is what a template is about. In a thread: it may take a while and read a file."""
        options = await asyncio.to_thread(self._templating.apply, request.options, body)
        await self._publish(msgspec.structs.replace(request, options=options), b"")

    def _visitor(self, scope: Scope) -> Visitor:
        return self._services.visitors.of_request(scope["client"], scope["headers"])

    async def _charged(self, visitor: Visitor, topic: str) -> Visitor:
        """Whose limits count, if subscribers pay (section 4.11)."""
        return await self._services.rate_visitors.of(topic) or visitor

    def _send_mail(self, scope: Scope, publication: Publication, to: str) -> None:
        """The message as a mail too, in the background: whoever published need not wait for it."""
        config, mailer = self._services.notify, self._services.mailer
        if mailer is not None:
            sender = self._visitor(scope).key.partition("/")[0]
            origin = Origin(base_url=config.base_url, topic=publication.topic, sender=sender)
            content = compose_mail(publication.notification, origin, to=to, sender=config.smtp_sender_from)
            mailer.send(Mail(to, content))

    async def _check_subscriber(self, topic: str) -> None:
        rate_visitors = self._services.rate_visitors
        if rate_visitors.is_on and await rate_visitors.of(topic) is None:
            raise Refusal.NO_SUBSCRIBER.error()

    def _admit(self, scope: Scope, visitor: Visitor, topic: str) -> None:
        """The checks before the options, in the order of section 4.2."""
        check_topic(topic, self._services.notify.disallowed_topics)
        self._services.topics.use(topic, visitor)
        visitor.take_request()
        caller_of(scope).check_write(topic)

    async def _publish_body(self, request: "_Request", body: Body) -> None:
        limit, files = self._services.notify.message_size_limit, self._services.files
        if files is not None and wants_file(request.options):
            await self._publish_file(request, files, body.parts(), body.announced)
            return
        head = await body.begin(limit)
        if files is not None and is_file(request.options, head, limit):
            await self._publish_file(request, files, body.parts(), body.announced)
        else:
            await self._publish(request, head)

    async def _publish_file(
        self, request: "_Request", files: Files, parts: AsyncIterator[bytes], announced: int | None
    ) -> None:
        """The body is a file: it is stored first, and removed again if its message cannot be."""
        now, options = now_ms(), request.options
        file, attachment = await files.take(
            request.visitor,
            parts,
            name=one_line(options.filename),
            announced=announced,
            expires=file_expires(options, self._services.notify, now),
            now_ms=now,
        )
        try:
            await self._publish(request, b"", attachment)
        except PublishOutcomeUnknownError:
            raise
        except BaseException:
            await files.discard(file, now)
            raise

    async def _publish(self, request: "_Request", body: bytes, uploaded: Attachment | None = None) -> None:
        publication = compose(
            request.topic,
            request.options,
            body,
            config=self._services.notify,
            now_ms=now_ms(),
            uploaded=uploaded,
        )
        await self._store(request.scope, publication, cancels=True)
        if request.options.email:
            self._send_mail(request.scope, publication, request.options.email)
        if request.options.unified_push:
            metrics.unified_push_published.inc()
        await _answer(request.send, publication)

    async def _store(self, scope: Scope, publication: Publication, *, cancels: bool) -> None:
        """Store, before anybody is answered: a client that sees 200 will find the message."""
        services, notification = self._services, publication.notification
        traceparent = header(scope, b"traceparent")
        replaces = cancels and notification.sequence_id is not None
        if replaces and publication.deliver_at is not None:
            # before: of two that come at once, both stay then, and neither cancels the other
            await self._cancel_others(publication)
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
        if not publication.durable and services.live_pusher is not None:
            services.live_pusher.tell(notification, publication.topic)
        if replaces and publication.deliver_at is None:
            try:
                await self._cancel_others(publication)
            except TransportError as exc:
                raise PublishOutcomeUnknownError(publication.topic, publication.ulid) from exc
        took = time.perf_counter() - started
        metrics.http_publish_seconds.observe(took)
        metrics.publish_milliseconds.set(took * 1000)
        metrics.published.inc()
        services.stats.count()

    async def _cancel_others(self, publication: Publication) -> None:
        """Messages of its sequence that are not due yet are not wanted any more."""
        notification = publication.notification
        if notification.sequence_id is not None:
            await self._services.scheduled.cancel(publication.topic, notification.sequence_id, but=notification.id)


async def _answer(send: Send, publication: Publication) -> None:
    await respond(send, 200, json_line(publication.notification, publication.topic))


class _Request(msgspec.Struct, frozen=True, gc=False):  # made for every message
    """A publish request whose options are checked."""

    scope: Scope
    send: Send
    topic: str
    options: PublishOptions
    visitor: Visitor
