"""Publishing of events: checked against the schema of their subject before anything leaves the process."""

import copy
import logging
from collections.abc import Mapping
from typing import Final, NamedTuple, Self

import msgspec

from gbe.clock import Clock, SystemClock
from gbe.errors import InvalidEventError, PayloadTooLargeError, TransportError
from gbe.events.domains import EventMethods
from gbe.events.names import EventNames
from gbe.ids import new_ulid
from gbe.schemas.events.base import Event
from gbe.schemas.events.registry import EventRegistry
from gbe.transport.base import MAX_IDEMPOTENCY_KEY_BYTES, Transport

logger = logging.getLogger(__name__)

VERSION: Final = 1

_documents: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_UNWRITABLE: Final = (TypeError, ValueError, OverflowError, RecursionError)
_encode: Final = msgspec.json.Encoder().encode


class Draft(NamedTuple):
    """An event that its schema has accepted, ready to be published.

    Attributes:
        subject: in full.
        payload: JSON.
        id: of the event.
        message_id: of the message that will carry it; publishing a draft again stores it once.
        idempotency_key: set if the publisher has named the event: then publishing it anew stores it once, too.
    """

    subject: str
    payload: bytes
    id: str
    message_id: str
    idempotency_key: str | None = None


class EventPublisher(EventMethods):
    """Publishes events of every domain.

    ``publish`` takes any subject; ``audit``, ``auth``, ``api``, ``system`` and ``lifecycle`` have a method an event.

    Args:
        transport: open.
        namespace: of the deployment.
        registry: the schemas; those of gbe by default.
        clock: for events that do not say when they happened.
    """

    def __init__(
        self,
        transport: Transport,
        namespace: str,
        registry: EventRegistry | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._transport, self._clock = transport, clock or SystemClock()
        self.registry = registry or EventRegistry()
        self.names = EventNames(namespace, self.registry)
        self._lenient = False
        super().__init__(self.publish)

    def lenient(self) -> Self:
        """The same publisher for events *about* work that is done: an engine that is away is logged, not raised."""
        other = copy.copy(self)
        other._lenient = True  # noqa: SLF001 - its own kind
        EventMethods.__init__(other, other.publish)
        return other

    async def publish(
        self,
        subject: str,
        event: object,
        *,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Check an event and store it; returns the id of its message.

        Args:
            subject: with or without the namespace.
            event: of the type that the subject's schema names, or a mapping. ``v``, ``ts`` and ``id`` are filled in
                where a mapping leaves them out.
            idempotency_key, traceparent, timeout: as in ``Transport.publish``.

        Raises:
            InvalidSubjectError, UnknownEventError, InvalidEventError: nothing was stored.
            TransportError: as ``Transport.publish``; ``lenient`` publishers log it and return an empty id.
        """
        draft = self._of_event(subject, event, idempotency_key)
        try:
            return await self.send(draft, traceparent=traceparent, timeout=timeout)
        except TransportError as exc:
            if not self._lenient:
                raise
            logger.warning("event not published: %s", exc, extra={"subject": draft.subject, "event_id": draft.id})
            return ""

    def draft(self, subject: str, document: bytes, *, idempotency_key: str | None = None) -> Draft:
        """Check a JSON document as an event, without publishing it.

        Raises:
            InvalidSubjectError, UnknownEventError, InvalidEventError, PayloadTooLargeError
        """
        full, relative, schema = self.names.of(subject)
        try:
            fields = _documents.decode(document)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise InvalidEventError(relative, "", f"expected a JSON object: {exc}") from None
        named = "id" in fields
        message_id = new_ulid()
        if not {"v", "ts", "id"} <= fields.keys():
            defaults = {"v": VERSION, "ts": self._clock.now_ms(), "id": message_id}
            missing = {name: msgspec.Raw(_encode(value)) for name, value in defaults.items() if name not in fields}
            document = _encode(missing | fields)
            fields = missing | fields
        schema.decode(relative, document)
        if len(document) > self._transport.max_payload_size:
            raise PayloadTooLargeError(len(document), self._transport.max_payload_size)
        event_id: str = msgspec.json.decode(fields["id"])
        key = idempotency_key if idempotency_key is not None else event_id if named and _may_be_key(event_id) else None
        return Draft(full, document, event_id, message_id, key)

    def _of_event(self, subject: str, event: object, idempotency_key: str | None) -> Draft:
        """A draft of an event; one that is of its schema's type already has all that documents may leave out."""
        name = self.names.of(subject)
        if not isinstance(event, Event) or type(event) is not name.schema.type:
            return self.draft(subject, _encoded(subject, event), idempotency_key=idempotency_key)
        try:
            document = _encode(event)
        except _UNWRITABLE as exc:
            raise InvalidEventError(name.relative, "", f"cannot be serialised: {exc}") from exc
        name.schema.check(name.relative, document)
        if len(document) > self._transport.max_payload_size:
            raise PayloadTooLargeError(len(document), self._transport.max_payload_size)
        key = idempotency_key if idempotency_key is not None else event.id if _may_be_key(event.id) else None
        return Draft(name.subject, document, event.id, new_ulid(), key)

    async def send(self, draft: Draft, *, traceparent: str | None = None, timeout: float | None = None) -> str:
        """Store a draft; returns the id of its message. Raises ``TransportError``."""
        return await self._transport.publish(
            draft.subject,
            draft.payload,
            id=draft.message_id,
            idempotency_key=draft.idempotency_key,
            traceparent=traceparent,
            timeout=timeout,
        )


def _encoded(subject: str, event: object) -> bytes:
    if isinstance(event, bytes | str | list | tuple | set):
        raise InvalidEventError(subject, "", "expected an event or a mapping")
    try:
        return _encode(dict(event) if isinstance(event, Mapping) else event)
    except _UNWRITABLE as exc:
        raise InvalidEventError(subject, "", f"cannot be serialised: {exc}") from exc


def _may_be_key(event_id: str) -> bool:
    return len(event_id) <= MAX_IDEMPOTENCY_KEY_BYTES and event_id.isascii() and event_id.isprintable()
