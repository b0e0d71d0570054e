"""``POST /v1/events/{subject}``: one event or a batch, plain JSON or CloudEvents 1.0.

All or nothing: a batch in which one event does not validate stores none. Each event that was stored, or that the
engine did not take, has a result of its own.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gbe.errors import (
    EventError,
    InvalidEventError,
    InvalidSubjectError,
    PayloadTooLargeError,
    StreamNotFoundError,
    TransportError,
    TransportFullError,
    UnknownEventError,
)
from gbe.events.cloudevents import BATCHED, PREFIX, STRUCTURED, from_binary, from_structured
from gbe.events.publisher import Draft, EventPublisher
from gbe.http.api import NO_ROOM, Endpoint, RefusedError, answer, bounded_body

MOST: Final = 1000
"""Events of one batch."""

_batches: Final = msgspec.json.Decoder(list[msgspec.Raw])
_Failure = EventError | PayloadTooLargeError | InvalidSubjectError


def event_endpoints(events: EventPublisher) -> list[Endpoint]:
    """The endpoints, documented in ``openapi_events``."""
    return [Endpoint("POST", "/v1/events/{subject}", _Events(events).publish)]


class _Events:
    def __init__(self, events: EventPublisher) -> None:
        self._events = events

    async def publish(self, request: Request) -> Response:
        subject = request.path_params["subject"]
        try:
            self._events.names.subject(subject)
        except UnknownEventError as exc:
            raise RefusedError(404, "unknown_subject", str(exc)) from None
        except InvalidSubjectError as exc:
            raise RefusedError(400, "invalid_subject", str(exc)) from None
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        body = await bounded_body(request)
        documents, is_batch = _documents(subject, kind, request, body)
        drafts = self._drafts(subject, documents, is_batch=is_batch)
        results = await asyncio.gather(*(self._send(draft) for draft in drafts))
        failed = [result for result in results if "error" in result]
        if not is_batch:
            if failed:
                raise RefusedError(503, "unavailable", failed[0]["error"]["message"])
            return answer(201, results[0])
        status = 201 if not failed else 503 if len(failed) == len(results) else 207
        return answer(status, {"results": results})

    def _drafts(self, subject: str, documents: Sequence[bytes | _Failure], *, is_batch: bool) -> list[Draft]:
        drafts: list[Draft] = []
        failures: list[tuple[int, _Failure]] = []
        for index, document in enumerate(documents):
            try:
                if not isinstance(document, bytes):
                    raise document
                drafts.append(self._events.draft(subject, document))
            except (EventError, PayloadTooLargeError, InvalidSubjectError) as exc:
                failures.append((index, exc))
        if failures:
            index, first = failures[0]
            field = getattr(first, "field", "")
            status, code = (413, "too_large") if isinstance(first, PayloadTooLargeError) else (400, "invalid")
            where = f"[{index}]" + (f".{field}" if field else "") if is_batch else field
            more = f"; {len(failures) - 1} more are wrong too" if len(failures) > 1 else ""
            text = f"event {index}: {first}{more}; nothing was stored" if is_batch else str(first)
            raise RefusedError(status, code, text, where)
        return drafts

    async def _send(self, draft: Draft) -> dict[str, Any]:
        try:
            message_id = await self._events.send(draft)
        except StreamNotFoundError as exc:
            return {"event_id": draft.id, "error": {"code": "no_stream", "message": str(exc)}}
        except TransportFullError:
            return {"event_id": draft.id, "error": {"code": "unavailable", "message": NO_ROOM}}
        except TransportError:
            text = "the engine does not answer; send this event again, with its id it is stored once"
            return {"event_id": draft.id, "error": {"code": "unavailable", "message": text}}
        return {"id": message_id, "event_id": draft.id, "subject": draft.subject}


def _documents(subject: str, kind: str, request: Request, body: bytes) -> tuple[list[bytes | _Failure], bool]:
    """The events of a request as JSON documents, or why one is none; and whether they came as a batch."""
    if kind == BATCHED:
        return [_structured(subject, bytes(one)) for one in _batch(subject, body)], True
    if kind == STRUCTURED:
        return [_structured(subject, body)], False
    if f"{PREFIX}specversion" in request.headers:
        headers = [(name, value) for name, value in request.headers.items()]
        return [_tried(lambda: from_binary(subject, headers, body))], False
    if kind != "application/json":
        raise RefusedError(415, "unsupported_media_type", f"expected application/json, {STRUCTURED} or {BATCHED}")
    if body.lstrip()[:1] == b"[":
        return [bytes(one) for one in _batch(subject, body)], True
    return [body], False


def _batch(subject: str, body: bytes) -> list[msgspec.Raw]:
    try:
        batch = _batches.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise RefusedError(400, "invalid", f"event {subject[:80]}: the batch is no JSON array: {exc}") from None
    if not 1 <= len(batch) <= MOST:
        raise RefusedError(400, "invalid", f"a batch of {len(batch)} events; expected 1 to {MOST}")
    return batch


def _structured(subject: str, document: bytes) -> bytes | _Failure:
    return _tried(lambda: from_structured(subject, document))


def _tried(read: Any) -> bytes | _Failure:
    try:
        document: bytes = read()
    except InvalidEventError as exc:
        return exc
    return document
