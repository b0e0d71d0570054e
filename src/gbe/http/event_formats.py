"""Events on their way out: as a record of ours or as a CloudEvent, in lines, as server-sent events, in WebSocket
frames. One event is one piece of bytes."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gbe.events.cloudevents import to_structured
from gbe.http.formats import chunk, text_frame
from gbe.transport.base import StoredMessage

Render = Callable[[StoredMessage, str], bytes]
"""A message and its subject without the namespace, as one line of JSON without its end."""

_encode: Final = msgspec.json.Encoder().encode
_objects: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_FAULTS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError, ValueError)


def as_record(message: StoredMessage, relative: str) -> bytes:  # noqa: ARG001 - records name their subject in full
    """``{"id", "subject", "time", "traceparent", "event"}``; ``id`` is the message's, to go on behind it.

    A payload that is no JSON object comes as ``data_base64`` with an ``error``: other programs may store what they
    like.
    """
    envelope = message.envelope
    record: dict[str, Any] = {"id": envelope.id, "subject": envelope.subject, "time": envelope.timestamp}
    if envelope.traceparent is not None:
        record["traceparent"] = envelope.traceparent
    event = _compact(envelope.payload)
    if event is not None:
        return _encode({**record, "event": event})
    return _encode({**record, "error": "no JSON object", "data_base64": base64.b64encode(envelope.payload).decode()})


def as_cloudevent(message: StoredMessage, relative: str) -> bytes:
    """The JSON format of CloudEvents 1.0."""
    envelope = message.envelope
    event = _compact(envelope.payload)
    if event is not None:
        try:
            return _encode(to_structured(relative, bytes(event)))
        except _FAULTS:  # stored by another program: it has no id, or what it keeps of a CloudEvent is none
            pass
    made = {"specversion": "1.0", "id": envelope.id, "source": "/gbe", "type": relative}
    if event is not None:
        return _encode({**made, "datacontenttype": "application/json", "data": event})
    return _encode({**made, "data_base64": base64.b64encode(envelope.payload).decode()})


def _compact(payload: bytes) -> msgspec.Raw | None:
    """A JSON object without line breaks, ``None`` for what is none."""
    try:
        payload.decode()
        _objects.decode(payload)
        return msgspec.Raw(msgspec.json.format(payload, indent=-1))
    except _FAULTS:
        return None


@dataclass(frozen=True, slots=True)
class EventFormat:
    """How events are framed for the connection.

    Attributes:
        content_type: of the response.
        frame: a line of JSON and the id of its message, as one piece.
        keepalive: sent now and then; empty where the protocol has its own signs of life.
    """

    content_type: bytes
    frame: Callable[[bytes, str], bytes]
    keepalive: bytes


def _json(line: bytes, message_id: str) -> bytes:  # noqa: ARG001 - it is in the record
    return chunk(line + b"\n")


def _sse(line: bytes, message_id: str) -> bytes:
    return chunk(b"id: %b\ndata: %b\n\n" % (message_id.encode(), line))


def _ws(line: bytes, message_id: str) -> bytes:  # noqa: ARG001 - it is in the record
    return text_frame(line.decode())


FORMATS: Final = {
    "json": EventFormat(b"application/x-ndjson; charset=utf-8", _json, chunk(b"\n")),
    "sse": EventFormat(b"text/event-stream; charset=utf-8", _sse, chunk(b": keepalive\n\n")),
}
WEBSOCKET: Final = EventFormat(b"", _ws, b"")
