"""The least that a Python server can do, for comparison: an ASGI application on uvicorn, without a message store.

``POST /echo`` answers with the body it got. ``GET /stream`` stays open, and ``POST /publish`` sends its body, as it
is, to all streams.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_JSON: Final = (b"content-type", b"application/json")
_streams: Final[set[Send]] = set()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application."""
    match scope["path"]:
        case "/stream":
            await _stream(receive, send)
        case "/publish":
            body = await _body(receive)
            for stream in tuple(_streams):
                await stream({"type": "http.response.body", "body": body, "more_body": True})
            await _answer(send, body)
        case _:
            await _answer(send, await _body(receive))


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _answer(send: Send, body: bytes) -> None:
    headers = [_JSON, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _stream(receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [_JSON]})
    await send({"type": "http.response.body", "body": b'{"event":"open"}\n', "more_body": True})
    _streams.add(send)
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    finally:
        _streams.discard(send)
