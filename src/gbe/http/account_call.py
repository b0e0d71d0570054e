"""What the handlers of account routes work with: one call, its caller and its body."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from gbe.http.api import RefusedError, bounded_body
from gbe.http.asgi import Headers, Receive, Scope, header, json_body
from gbe.notify.access.callers import Caller, KnownCaller
from gbe.notify.access.users import User
from gbe.notify.errors import Refusal
from gbe.notify.visitors import Visitor

T = TypeVar("T")

MAX_BODY: Final = 131_072
_MOST_FIELDS: Final = 10
SUCCESS: Final = json_body({"success": True})


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        topic: of a reservation, from the path.
    """

    scope: Scope
    receive: Receive
    caller: Caller
    visitor: Visitor
    topic: str = ""

    @property
    def user(self) -> User | None:
        """The user who calls; ``None`` for anonymous callers."""
        return self.caller.user if isinstance(self.caller, KnownCaller) else None

    def logged_in(self) -> User:
        """The user who calls. Raises ``NotifyError`` 40101: it is nobody."""
        user = self.user
        if user is None:
            raise Refusal.UNAUTHORIZED.error()
        return user

    def administrator(self) -> User:
        """The administrator who calls. Raises ``NotifyError`` 40101: it is somebody else."""
        user = self.logged_in()
        if not user.is_admin:
            raise Refusal.UNAUTHORIZED.error()
        return user

    def header(self, name: str) -> str:
        """A request header, trimmed."""
        return header(self.scope, name.encode("ascii")).strip()

    def query(self, name: str) -> str:
        """A query parameter; empty if it is not given."""
        return Request(self.scope).query_params.get(name, "")

    async def form(self) -> dict[str, str]:
        """The body, as a browser sends a form. Raises ``NotifyError``: 41303, 40000."""
        try:
            fields = parse_qsl((await self._raw()).decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError:
            raise Refusal.INVALID_REQUEST.error("expected a form") from None
        return dict(fields)

    async def body(self, kind: type[T], *, absent: T | None = None) -> T:
        """The body, read as JSON. Raises ``NotifyError``: 41303, 40024.

        Args:
            absent: what an empty body means; ``None``: it is refused.
        """
        raw = await self._raw()
        if absent is not None and not raw.strip():
            return absent
        try:
            return msgspec.json.decode(raw, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Refusal.JSON_INVALID.error() from None

    async def _raw(self) -> bytes:
        try:
            return await bounded_body(Request(self.scope, self.receive), limit=MAX_BODY - 1)
        except RefusedError:
            raise Refusal.JSON_TOO_LARGE.error() from None


@dataclass(frozen=True, slots=True)
class Route:
    """A method of a path, and what answers it.

    Attributes:
        handler: gives the body; raises ``NotifyError``.
        headers: of the answer; by default those of JSON.
    """

    method: str
    path: str
    handler: Callable[[Call], Awaitable[bytes]]
    headers: Headers | None = None


def required(value: str | None, name: str) -> str:
    """A member of a body that must be there. Raises ``NotifyError`` 40000."""
    if not value:
        raise Refusal.INVALID_REQUEST.error(f"{name} is missing")
    return value
