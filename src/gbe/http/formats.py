"""The wire formats of streams (section 5.4): how each writes a message, and the events of the stream itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic

from gbe.http.wire import (
    StreamEvent,
    json_line,
    raw_line,
    sse_event,
    stream_json_line,
    stream_raw_line,
    stream_sse_event,
    stream_ws_text,
    ws_text,
)
from gbe.notify.ids import mint
from gbe.notify.live import Encode, Frame
from gbe.schemas.notify import Notification


@dataclass(frozen=True, slots=True)
class Format(Generic[Frame]):
    """One wire format.

    Attributes:
        content_type: with the charset, which clients look for.
        message: a notification of a topic as one event.
        control: ``open`` or ``keepalive`` for a list of topics, at unix milliseconds.
    """

    content_type: bytes
    message: Encode[Frame]
    control: Callable[[StreamEvent, str, int], Frame]


def _raw(notification: Notification, topic: str) -> bytes:  # noqa: ARG001 - the topic is not part of this format
    return raw_line(notification)


def _json_control(event: StreamEvent, topics: str, now_ms: int) -> bytes:
    return stream_json_line(event, topics, id=mint(now_ms), time=now_ms // 1000)


def _sse_control(event: StreamEvent, topics: str, now_ms: int) -> bytes:
    return stream_sse_event(event, topics, id=mint(now_ms), time=now_ms // 1000)


def _raw_control(event: StreamEvent, topics: str, now_ms: int) -> bytes:  # noqa: ARG001 - an empty line for all
    return stream_raw_line()


def _ws_control(event: StreamEvent, topics: str, now_ms: int) -> str:
    return stream_ws_text(event, topics, id=mint(now_ms), time=now_ms // 1000)


HTTP_FORMATS: Final[dict[str, Format[bytes]]] = {
    "json": Format(b"application/x-ndjson; charset=utf-8", json_line, _json_control),
    "sse": Format(b"text/event-stream; charset=utf-8", sse_event, _sse_control),
    "raw": Format(b"text/plain; charset=utf-8", _raw, _raw_control),
}
WEBSOCKET: Final[Format[str]] = Format(b"", ws_text, _ws_control)
