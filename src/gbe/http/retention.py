"""``/v1/streams``: what ``gbe streams`` does, over HTTP."""

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from gbe.errors import ConfigError
from gbe.http.api import Endpoint, answer, json_body
from gbe.http.audit import Auditor
from gbe.sweeper.limits import parse_limits
from gbe.sweeper.streams import Streams

_MAX_BODY: Final = 4096
_limits: Final = msgspec.json.Decoder(dict[str, Any])


def stream_endpoints(streams: Streams, auditor: Auditor) -> list[Endpoint]:
    """The endpoints, documented in ``openapi_streams``."""
    routes = _Streams(streams, auditor)
    return [
        Endpoint("GET", "/v1/streams", routes.list),
        Endpoint("GET", "/v1/streams/{stream}", routes.show),
        Endpoint("PATCH", "/v1/streams/{stream}", routes.change),
    ]


class _Streams:
    def __init__(self, streams: Streams, auditor: Auditor) -> None:
        self._streams, self._auditor = streams, auditor

    async def list(self, _request: Request) -> Response:
        return answer(200, {"streams": await self._streams.reports()})

    async def show(self, request: Request) -> Response:
        return answer(200, await self._streams.report(self._name(request)))

    async def change(self, request: Request) -> Response:
        name = self._name(request)
        body = await json_body(request, limit=_MAX_BODY)
        try:
            given = _limits.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise ConfigError(f"the body is not a JSON object of limits: {exc}") from None
        await self._streams.change(name, *parse_limits(given))
        await self._auditor.did(request, "change", f"stream/{name}", after=given)
        return answer(200, await self._streams.report(name))

    def _name(self, request: Request) -> str:
        return self._streams.find(request.path_params["stream"])
