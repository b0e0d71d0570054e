"""Finds out who makes a request, before anything else is done with it (section 10.1)."""

from typing import Final

from gbe import metrics
from gbe.errors import NotifyError
from gbe.http.asgi import Scope, header
from gbe.http.refusals import Refusals
from gbe.http.routes import Match
from gbe.notify.access.access import Access
from gbe.notify.access.callers import OPEN, Caller
from gbe.notify.access.credentials import from_query, parse
from gbe.notify.errors import Refusal
from gbe.notify.parameters import Parameters
from gbe.notify.topics import masked
from gbe.notify.visitors import Visitors

_CALLER: Final = "gbe.caller"
_MAY_HOLD_CREDENTIALS: Final = b"auth"  # `auth` and `authorization`
_TOLD: Final = frozenset({Refusal.UNAUTHORIZED.code, Refusal.TOO_MANY_AUTH_FAILURES.code})


def caller_of(scope: Scope) -> Caller:
    """Who makes this request, once ``Authentication.identify`` has looked; without access control it may all."""
    caller: Caller = scope.get(_CALLER, OPEN)
    return caller


class Authentication:
    """Looks at the credentials of every request."""

    def __init__(self, access: Access, visitors: Visitors, refusals: Refusals) -> None:
        self._access, self._visitors, self._refusals = access, visitors, refusals

    async def identify(self, scope: Scope, match: Match) -> None:
        """Note the caller in the scope.

        Raises:
            NotifyError: 40101, wrong credentials, whatever is asked for; 42909, too many were wrong; 50001, a query
                parameter that cannot be read.
        """
        given = _given(scope)
        if not given:
            scope[_CALLER] = self._access.anonymous
            return
        visitor = self._visitors.of_request(scope["client"], scope["headers"]).key
        try:
            scope[_CALLER] = await self._known(scope, given, visitor)
        except NotifyError as exc:
            if exc.code in _TOLD:
                metrics.auth_failures.inc()
                self._refusals.note(visitor, _target(scope, match), "wrong user, password or token")
            raise

    async def _known(self, scope: Scope, given: str, visitor: str) -> Caller:
        try:
            credentials = parse(given)
        except NotifyError:
            self._access.check_failures(visitor)
            self._access.failed(visitor)
            raise
        if credentials is None:
            return self._access.anonymous
        origin = self._visitors.address_of(scope["client"], scope["headers"])
        return await self._access.caller(credentials, visitor=visitor, origin=origin)


def _given(scope: Scope) -> str:
    """The header as it is, or as the query string has it, which counts more."""
    query: bytes = scope["query_string"]
    if _MAY_HOLD_CREDENTIALS in query:
        value = Parameters(query=query).query_value("authorization", "auth")
        if value:
            return from_query(value)
    return header(scope, b"authorization").strip()


def _target(scope: Scope, match: Match) -> str:
    """What was asked for, without a topic in full: who knows its name may read it."""
    path: str = scope["path"]
    return path.replace(match.topic, masked(match.topic)) if match.topic else path
