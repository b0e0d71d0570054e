"""The wire formats of streams (section 5.4), framed for the connection: one message is one piece of bytes, the same
for every subscriber."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

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
from gbe.notify.live import Encode
from gbe.schemas.notify import Notification


@dataclass(frozen=True, slots=True)
class Format:
    """One wire format.

    Attributes:
        content_type: with the charset, which clients look for.
        message: a notification of a topic as one event.
        control: ``open`` or ``keepalive`` for a list of topics, at unix milliseconds.
    """

    content_type: bytes
    message: Encode
    control: Callable[[StreamEvent, str, int], bytes]


def chunk(data: bytes) -> bytes:
    """One chunk of the chunked transfer coding (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def text_frame(text: str) -> bytes:
    """One unmasked, unfragmented WebSocket text frame (RFC 6455, section 5.2)."""
    payload = text.encode()
    length = len(payload)
    if length < 126:
        head = bytes((0x81, length))
    elif length < 65_536:
        head = b"\x81\x7e" + length.to_bytes(2)
    else:
        head = b"\x81\x7f" + length.to_bytes(8)
    return head + payload


def _json(notification: Notification, topic: str) -> bytes:
    return chunk(json_line(notification, topic))


def _sse(notification: Notification, topic: str) -> bytes:
    return chunk(sse_event(notification, topic))


def _raw(notification: Notification, topic: str) -> bytes:  # noqa: ARG001 - the topic is not part of this format
    return chunk(raw_line(notification))


def _ws(notification: Notification, topic: str) -> bytes:
    return text_frame(ws_text(notification, topic))


def _json_control(event: StreamEvent, topics: str, now_ms: int) -> bytes:
    return chunk(stream_json_line(event, topics, id=mint(now_ms), time=now_ms // 1000))


def _sse_control(event: StreamEvent, topics: str, now_ms: int) -> bytes:
    return chunk(stream_sse_event(event, topics, id=mint(now_ms), time=now_ms // 1000))


def _raw_control(event: StreamEvent, topics: str, now_ms: int) -> bytes:  # noqa: ARG001 - an empty line for all
    return chunk(stream_raw_line())


def _ws_control(event: StreamEvent, topics: str, now_ms: int) -> bytes:
    return text_frame(stream_ws_text(event, topics, id=mint(now_ms), time=now_ms // 1000))


HTTP_FORMATS: Final = {
    "json": Format(b"application/x-ndjson; charset=utf-8", _json, _json_control),
    "sse": Format(b"text/event-stream; charset=utf-8", _sse, _sse_control),
    "raw": Format(b"text/plain; charset=utf-8", _raw, _raw_control),
}
WEBSOCKET: Final = Format(b"", _ws, _ws_control)
