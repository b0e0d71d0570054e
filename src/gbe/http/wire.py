"""Notifications as clients see them: JSON lines, server-sent events, raw text, WebSocket frames (sections 2 and 5.4).

Every function returns all bytes (or, for WebSocket, the text) of one event, so that a message is encoded once for
each format, however many subscribers it has.
"""

from typing import Final, Literal

import msgspec

from gbe.errors import NotifyError
from gbe.schemas.notify import MESSAGE, POLL_REQUEST, Action, Attachment, Notification

StreamEvent = Literal["open", "keepalive"]


class WireMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The message object; its fields stand in the order of section 2. What is not set is absent."""

    id: str
    sequence_id: str | None = None
    time: int
    expires: int | None = None
    event: str
    topic: str
    title: str | None = None
    message: str | None = None
    priority: int | None = None
    tags: tuple[str, ...] = ()
    click: str | None = None
    icon: str | None = None
    actions: tuple[Action, ...] = ()
    attachment: Attachment | None = None
    poll_id: str | None = None
    content_type: str | None = None
    encoding: str | None = None


class WireError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The body of an error (section 7)."""

    code: int
    http: int
    error: str
    link: str = ""


_encode: Final = msgspec.json.Encoder().encode
_BLANK_LINE: Final = b"\n"


def json_line(notification: Notification, topic: str) -> bytes:
    """The message object and a newline: ``/json``, and the reply to a publish request."""
    return _object(notification, topic) + b"\n"


def sse_event(notification: Notification, topic: str) -> bytes:
    """A server-sent event. Only a poll request has a name: browsers hand the nameless ones to ``onmessage``."""
    data = _object(notification, topic)
    if notification.event == POLL_REQUEST:
        return b"event: poll_request\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"


def raw_line(notification: Notification) -> bytes:
    """The text of a message on one line; an empty line for every other event."""
    if notification.event != MESSAGE:
        return _BLANK_LINE
    text = notification.message or ""
    return text.replace("\r\n", " ").replace("\n", " ").replace("\r", " ").encode() + b"\n"


def ws_text(notification: Notification, topic: str) -> str:
    """A text frame: object and newline, with ``sequence_id`` even where it equals the id."""
    return _encode(_wire(notification, topic, notification.sequence_id or notification.id)).decode() + "\n"


def stream_json_line(event: StreamEvent, topics: str, *, id: str, time: int) -> bytes:
    """The first line of a ``/json`` stream, or a sign of life.

    Args:
        topics: the comma list exactly as the URL has it.
        id: a fresh message id.
        time: unix seconds.
    """
    return _encode(WireMessage(id=id, time=time, event=event, topic=topics)) + b"\n"


def stream_sse_event(event: StreamEvent, topics: str, *, id: str, time: int) -> bytes:
    """As ``stream_json_line``, for ``/sse``."""
    data = _encode(WireMessage(id=id, time=time, event=event, topic=topics))
    return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"


def stream_raw_line() -> bytes:
    """As ``stream_json_line``, for ``/raw``: an empty line."""
    return _BLANK_LINE


def stream_ws_text(event: StreamEvent, topics: str, *, id: str, time: int) -> str:
    """As ``stream_json_line``, for ``/ws``, where signs of life are ping frames and only ``open`` is sent."""
    return _encode(WireMessage(id=id, sequence_id=id, time=time, event=event, topic=topics)).decode() + "\n"


def error_body(error: NotifyError) -> bytes:
    """The JSON body of an error reply and a newline."""
    return _encode(WireError(code=error.code, http=error.http, error=error.message, link=error.link)) + b"\n"


def _object(notification: Notification, topic: str) -> bytes:
    sequence_id = notification.sequence_id
    return _encode(_wire(notification, topic, None if sequence_id == notification.id else sequence_id))


def _wire(notification: Notification, topic: str, sequence_id: str | None) -> WireMessage:
    return WireMessage(
        id=notification.id,
        sequence_id=sequence_id,
        time=notification.time,
        expires=notification.expires,
        event=notification.event,
        topic=topic,
        title=notification.title,
        message=notification.message,
        priority=notification.priority,
        tags=notification.tags,
        click=notification.click,
        icon=notification.icon,
        actions=notification.actions,
        attachment=notification.attachment,
        poll_id=notification.poll_id,
        content_type=notification.content_type,
        encoding=notification.encoding,
    )
