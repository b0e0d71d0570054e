"""``/v1/users``: administration of users and of what they may (section 6.4)."""

from collections.abc import Iterable

import msgspec

from gbe.errors import NotifyError
from gbe.http.account_call import SUCCESS, Call, Route, required
from gbe.http.asgi import json_body
from gbe.notify.access.access import Access
from gbe.notify.access.names import EVERYONE, Role, check_new_name, check_password, user_named
from gbe.notify.access.passwords import check_hash
from gbe.notify.access.permissions import parse_permission
from gbe.notify.access.users import User
from gbe.notify.errors import Refusal


class _UserBody(msgspec.Struct, frozen=True):
    username: str | None = None
    password: str | None = None
    hash: str | None = None
    tier: str | None = None


class _AccessBody(msgspec.Struct, frozen=True):
    username: str | None = None
    topic: str | None = None
    permission: str | None = None


def user_endpoints(access: Access) -> Iterable[Route]:
    """For administrators only."""
    users = _Users(access)
    return (
        Route("GET", "/v1/users", users.list),
        Route("POST", "/v1/users", users.add),
        Route("PUT", "/v1/users", users.put),
        Route("DELETE", "/v1/users", users.remove),
        Route("PUT", "/v1/users/access", users.allow),
        Route("POST", "/v1/users/access", users.allow),
        Route("DELETE", "/v1/users/access", users.reset),
    )


class _Users:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def list(self, call: Call) -> bytes:
        call.administrator()
        return json_body([_document(user) for user in self._access.directory.users()])

    async def add(self, call: Call) -> bytes:
        call.administrator()
        body = await call.body(_UserBody)
        _check_tier(body)
        name = _new_name(body)
        hashed = await self._hashed(body)
        if hashed is None:
            raise Refusal.INVALID_REQUEST.error("password or hash is missing")
        await self._access.accounts.add(name, hashed)
        return SUCCESS

    async def put(self, call: Call) -> bytes:
        """Make a user, or change the password of one."""
        call.administrator()
        body = await call.body(_UserBody)
        name = required(body.username, "username")
        if not (body.password or body.hash or body.tier):
            raise Refusal.INVALID_REQUEST.error("need to provide at least one of password, hash or tier")
        known = self._access.directory.user(name)
        if known is not None and known.is_admin:
            raise Refusal.FORBIDDEN.error()
        _check_tier(body)
        if known is None:
            name = _new_name(body)
        hashed = await self._hashed(body)
        if known is None:
            await self._access.accounts.add(name, hashed or "")
        elif hashed is not None:
            await self._access.accounts.set_password(name, hashed)
        return SUCCESS

    async def remove(self, call: Call) -> bytes:
        call.administrator()
        body = await call.body(_UserBody)
        user = self._access.accounts.known(required(body.username, "username"))
        if user.is_admin:
            raise Refusal.UNAUTHORIZED.error()
        await self._access.accounts.remove(user.name)
        return SUCCESS

    async def allow(self, call: Call) -> bytes:
        call.administrator()
        body = await call.body(_AccessBody)
        name = self._named(body)
        permission = parse_permission(body.permission or "")
        await self._access.accounts.allow(name, required(body.topic, "topic"), permission)
        return SUCCESS

    async def reset(self, call: Call) -> bytes:
        call.administrator()
        body = await call.body(_AccessBody)
        await self._access.accounts.reset(self._named(body), required(body.topic, "topic"))
        return SUCCESS

    def _named(self, body: _AccessBody) -> str:
        name = user_named(required(body.username, "username"))
        return name if name == EVERYONE else self._access.accounts.known(name).name

    async def _hashed(self, body: _UserBody) -> str | None:
        if body.hash:
            return check_hash(body.hash)
        return await self._access.passwords.hashed(check_password(body.password)) if body.password else None


def _new_name(body: _UserBody) -> str:
    """The name of a new user. Raises ``NotifyError`` 40000, as administrators are told, and not 40046 (section 6.4)."""
    name = required(body.username, "username")
    try:
        return check_new_name(name)
    except NotifyError as exc:
        raise Refusal.INVALID_REQUEST.error(exc.message) from None


def _check_tier(body: _UserBody) -> None:
    if body.tier:  # there are none here
        raise Refusal.TIER_UNKNOWN.error()


def _document(user: User) -> dict[str, object]:
    document: dict[str, object] = {"username": user.name, "role": user.role.value}
    if user.role is not Role.ADMIN and user.entries:
        document["grants"] = [
            {"topic": pattern, "permission": entry.permission.value} for pattern, entry in sorted(user.entries.items())
        ]
    return document
