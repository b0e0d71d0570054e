"""A request that another door of the server makes to its own application: the same rules, the same answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from gbe.http.asgi import App, Message


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body, and headers with names in lower case."""

    status: int
    body: bytes
    headers: dict[bytes, bytes]


async def ask(
    application: App,
    method: str,
    path: str,
    *,
    headers: Sequence[tuple[bytes, bytes]] = (),
    body: bytes = b"",
    client: tuple[str, int],
) -> Answer:
    """Send one request to an ASGI application.

    Args:
        path: of plain characters; nothing in it is decoded.
        headers: names in lower case.
        client: whose limits count.
    """
    status = 500
    parts: list[bytes] = []
    sent: dict[bytes, bytes] = {}

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            sent.update(message["headers"])
        else:
            parts.append(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("ascii"),
        "query_string": b"",
        "root_path": "",
        "headers": [*headers, (b"content-length", b"%d" % len(body))],
        "client": client,
        "server": ("127.0.0.1", 0),
    }
    await application(scope, receive, send)
    return Answer(status, b"".join(parts), sent)
