"""The few pieces of ASGI that the hot routes use directly (asgi.readthedocs.io, HTTP message format)."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

import msgspec

from gbe.errors import (
    GbeError,
    NotifyError,
    ObjectError,
    PayloadTooLargeError,
    PublishOutcomeUnknownError,
    StateError,
    StateFullError,
    TransportError,
    TransportFullError,
)
from gbe.http.wire import error_body

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

ORIGIN: Final = (b"access-control-allow-origin", b"*")
JSON: Final = (b"content-type", b"application/json")
_SUCCESS: Final = b'{"success":true}\n'

UNAVAILABLE: Final = NotifyError(
    50301, "service unavailable: the message store does not answer; nothing was stored, send this again"
)
FULL: Final = NotifyError(
    50301, "service unavailable: the message store has no room or cannot write its disk; nothing was stored"
)
UNCONFIRMED: Final = NotifyError(
    50302, "service unavailable: the message store did not confirm in time; the message may be stored or not"
)
STOPPING: Final = NotifyError(50301, "service unavailable: the server is stopping")
_INTERNAL: Final = NotifyError(50001, "internal server error")


class ClientGoneError(GbeError):
    """The client hung up before its request was complete: there is nobody to answer."""


async def respond(send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = (JSON,)) -> None:
    """Send a whole response; every one is open to every origin (section 3.2)."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, ORIGIN, (b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def succeed(send: Send) -> None:
    """The answer without data (section 3.3)."""
    await respond(send, 200, _SUCCESS)


def as_notify_error(error: BaseException) -> NotifyError:
    """The error that a client sees for any error of ours; what it need not know stays out."""
    match error:
        case NotifyError():
            return error
        case PayloadTooLargeError():
            return NotifyError(41301, "attachment too large, or bandwidth limit reached")
        case StateFullError() | TransportFullError():
            return FULL
        case StateError() | ObjectError():
            return UNAVAILABLE
        case PublishOutcomeUnknownError():
            return UNCONFIRMED
        case TransportError() | StateError():
            return UNAVAILABLE
        case _:
            return _INTERNAL


async def refuse(send: Send, error: NotifyError) -> None:
    """An error response (section 7)."""
    await respond(send, error.http, error_body(error))


async def deny(send: Send, status: int) -> None:
    """Refuse an upgrade: the status code alone (section 5.5)."""
    start: Message = {"type": "websocket.http.response.start", "status": status, "headers": [(b"content-length", b"0")]}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": b""})


def part_of(message: Message) -> bytes:
    """The bytes of one message of a body. Raises ``ClientGoneError``."""
    if message["type"] == "http.disconnect":
        raise ClientGoneError("the client hung up")
    part: bytes = message.get("body", b"")
    return part


def header(scope: Scope, name: bytes) -> str:
    """The first header of that (lower-case) name, or an empty string."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return ""


def json_body(value: object) -> bytes:
    """A JSON reply: one object, one newline (section 3.3)."""
    return msgspec.json.encode(value) + b"\n"
