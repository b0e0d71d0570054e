"""The routes of users: administration, self service, settings of the web app (sections 6.1, 6.3, 6.4).

Errors are ``NotifyError`` and rendered where every other is. Without access control there are no users: 404.
"""

import re
from collections.abc import Iterable
from typing import Final

from gbe.errors import StateError
from gbe.http.account import account_endpoints
from gbe.http.account_call import Call, Route
from gbe.http.account_emails import account_email_endpoints
from gbe.http.account_things import account_thing_endpoints
from gbe.http.asgi import JSON, UNAVAILABLE, Receive, Scope, Send, respond
from gbe.http.authentication import caller_of
from gbe.http.services import Services
from gbe.http.users import user_endpoints
from gbe.http.webapp import webapp_endpoints
from gbe.notify.errors import Refusal

_RESERVATION: Final = re.compile(r"/v1/account/reservation/([-_A-Za-z0-9]{1,64})")


class AccountRoutes:
    """Call it as ASGI for the paths of ``Route.ACCOUNT``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._routes: dict[tuple[str, str], Route] = {}
        self._add(webapp_endpoints(services))
        if services.access is not None:
            self._add(user_endpoints(services.access))
            self._add(account_endpoints(services, services.access))
            self._add(account_thing_endpoints(services, services.access))
            self._add(account_email_endpoints(services, services.access))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. Raises ``NotifyError``."""
        path: str = scope["path"]
        topic = _RESERVATION.fullmatch(path)
        route = self._routes.get((scope["method"], "/v1/account/reservation/TOPIC" if topic else path))
        if route is None:
            raise Refusal.NOT_FOUND.error()
        visitor = self._services.visitors.of_request(scope["client"], scope["headers"])
        call = Call(scope, receive, caller_of(scope), visitor, topic[1] if topic else "")
        try:
            body = await route.handler(call)
        except StateError as exc:
            raise UNAVAILABLE from exc
        await respond(send, 200, body, route.headers or (JSON,))

    def _add(self, routes: Iterable[Route]) -> None:
        for route in routes:
            self._routes[route.method, route.path] = route
