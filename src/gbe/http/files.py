"""``GET`` and ``HEAD /file/ID``: downloads (section 4.6)."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote

from gbe.errors import ObjectNotFoundError
from gbe.http.asgi import ORIGIN, ClientGoneError, Headers, Scope, Send, respond
from gbe.http.outlet import OUTLET, Outlet
from gbe.http.services import Services, now_ms
from gbe.notify.errors import Refusal
from gbe.notify.files import StoredFile
from gbe.notify.sniff import served_type

_UNQUOTED: Final = re.compile(r"[^ !#-\[\]-~]")
"""What cannot stand in a quoted string of a header as it is (RFC 9110, section 5.6.4)."""

_SAFE: Final = (
    # a file is somebody's upload: nothing in it runs, and no browser takes it for anything else than it is told
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"cross-origin"),
)


class Downloads:
    """Hands files out; raises ``NotifyError`` or ``GbeError`` as long as nothing was sent."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def answer(self, scope: Scope, send: Send, file_id: str) -> None:
        """The whole file: there are no ranges. ``HEAD`` tells its length."""
        services = self._services
        services.visitors.of_request(scope["client"], scope["headers"]).take_request()
        now = now_ms()
        file = None if services.files is None else await services.files.find(file_id, now)
        if services.files is None or file is None:
            raise Refusal.NOT_FOUND.error()
        length = (b"content-length", b"%d" % file.size)
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": [length, ORIGIN]})
            await send({"type": "http.response.body", "body": b""})
            return
        if not services.visitors.known(file.uploader).take_bandwidth(file.size, now):
            raise Refusal.BANDWIDTH_SPENT.error()
        if not file.size:
            await respond(send, 200, b"", _headers(file))
            return
        parts = services.files.chunks(file)
        try:
            first = await anext(parts)
        except (ObjectNotFoundError, StopAsyncIteration):
            raise Refusal.NOT_FOUND.error() from None
        await send({"type": "http.response.start", "status": 200, "headers": [*_headers(file), length, ORIGIN]})
        await self._send_parts(scope, send, first, parts)

    async def _send_parts(self, scope: Scope, send: Send, first: bytes, parts: AsyncIterator[bytes]) -> None:
        """One part after the other, as fast as the client takes them; one that takes none is dropped."""
        outlet: Outlet = scope[OUTLET]
        part: bytes | None = first
        try:
            while part is not None:
                async with asyncio.timeout(self._services.http.slow_reader_timeout):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                part = await anext(parts, None)
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            outlet.abort()
            raise ClientGoneError("the client does not read") from None
        except BaseException:
            outlet.abort()  # what was sent must not pass for the whole
            raise


def _headers(file: StoredFile) -> Headers:
    return [
        (b"content-type", served_type(file.type).encode()),
        (b"content-disposition", disposition(file.name).encode()),
        *_SAFE,
    ]


def disposition(name: str) -> str:
    """``Content-Disposition`` for a name of any characters (RFC 6266): quoted, and once more as it is."""
    plain = _UNQUOTED.sub("_", name)
    text = f'attachment; filename="{plain}"'
    return text if plain == name else f"{text}; filename*=UTF-8''{quote(name, safe='')}"
