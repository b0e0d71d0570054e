"""``/v1/account``: what a user may see and change of the own account (section 6.3)."""

import time
from collections.abc import Iterable
from typing import Any

import msgspec

from gbe.errors import NotifyError
from gbe.http.account_call import SUCCESS, Call, Route, required
from gbe.http.account_sync import Sync
from gbe.http.asgi import json_body
from gbe.http.services import Services, now_ms
from gbe.notify.access.access import Access
from gbe.notify.access.callers import KnownCaller
from gbe.notify.access.credentials import Login
from gbe.notify.access.last_used import Use
from gbe.notify.access.names import EVERYONE, Role, check_new_name, check_password
from gbe.notify.access.tokens import DEFAULT_LIFE, Token
from gbe.notify.access.users import User
from gbe.notify.errors import Refusal


class _NewAccount(msgspec.Struct, frozen=True):
    username: str | None = None
    password: str | None = None


class _Password(msgspec.Struct, frozen=True):
    password: str | None = None
    new_password: str | None = None


class _TokenBody(msgspec.Struct, frozen=True):
    token: str | None = None
    label: str | None = None
    expires: int | None = None


def account_endpoints(services: Services, access: Access) -> Iterable[Route]:
    """The account itself, its password and its tokens."""
    account = _Account(services, access)
    return (
        Route("POST", "/v1/account", account.sign_up),
        Route("GET", "/v1/account", account.get),
        Route("DELETE", "/v1/account", account.remove),
        Route("POST", "/v1/account/password", account.change_password),
        Route("POST", "/v1/account/login", account.log_in),
        Route("POST", "/v1/account/token", account.issue),
        Route("PATCH", "/v1/account/token", account.change_token),
        Route("DELETE", "/v1/account/token", account.revoke),
    )


class _Account:
    def __init__(self, services: Services, access: Access) -> None:
        self._services, self._access = services, access
        self._sync = Sync(services)

    # -- the account

    async def sign_up(self, call: Call) -> bytes:
        """Make an account: for nobody in particular where that is allowed, and for administrators."""
        user = call.user
        if user is None or not user.is_admin:
            if not self._access.config.enable_signup:
                raise Refusal.SIGNUP_DISABLED.error()
            if user is not None:
                raise Refusal.UNAUTHORIZED.error()
        body = await call.body(_NewAccount)
        name = check_new_name(required(body.username, "username"))
        password = check_password(required(body.password, "password"))
        if self._access.directory.user(name) is not None:
            raise Refusal.USER_EXISTS.error()
        if user is None and not self._access.sign_ups.take(call.visitor.key):
            raise Refusal.TOO_MANY_ACCOUNTS.error()
        await self._access.accounts.add(name, await self._access.passwords.hashed(password))
        return SUCCESS

    async def get(self, call: Call) -> bytes:
        return json_body(await self._document(call))

    async def remove(self, call: Call) -> bytes:
        user = call.logged_in()
        body = await call.body(_Password)
        await self._confirm(call, user, required(body.password, "password"))
        await self._access.accounts.remove(user.name)
        await self._sync.tell(user)
        return SUCCESS

    async def change_password(self, call: Call) -> bytes:
        user = call.logged_in()
        body = await call.body(_Password)
        if not body.password or not body.new_password:
            raise Refusal.INVALID_REQUEST.error("password and new_password are needed")
        new = check_password(body.new_password)
        await self._confirm(call, user, body.password)
        await self._access.accounts.set_password(user.name, await self._access.passwords.hashed(new))
        return SUCCESS

    async def _confirm(self, call: Call, user: User, password: str) -> None:
        """Raises ``NotifyError`` 40026: not the password. Guesses count as failed logins."""
        visitor = call.visitor.key
        self._access.check_failures(visitor)
        if not await self._is_right(Login(user.name, password), user.password, visitor):
            raise Refusal.PASSWORD_WRONG.error()

    async def _is_right(self, login: Login, hashed: str, visitor: str) -> bool:
        try:
            await self._access.check_password(login, hashed, visitor)
        except NotifyError as exc:
            if exc.code == Refusal.UNAUTHORIZED.code:
                return False
            raise
        return True

    # -- tokens

    async def log_in(self, call: Call) -> bytes:
        """A token for a name, or a primary address, and a password, which come in the body here."""
        body = await call.body(_NewAccount)
        name = required(body.username, "username")
        known = self._access.directory
        by_address = known.by_email(name) if known.user(name) is None else None
        login = Login(name if by_address is None else by_address.name, required(body.password, "password"))
        visitor = call.visitor.key
        origin = self._origin(call)
        caller = await self._access.caller(login, visitor=visitor, origin=origin)
        issued = await self._access.accounts.issue(caller.name or "", expires=int(time.time()) + DEFAULT_LIFE)
        return json_body(_token_document(issued.text, issued.token, Use(int(time.time()), origin)))

    async def issue(self, call: Call) -> bytes:
        user = call.logged_in()
        body = await call.body(_TokenBody, absent=_TokenBody())
        expires = int(time.time()) + DEFAULT_LIFE if body.expires is None else _checked_expiry(body.expires)
        issued = await self._access.accounts.issue(user.name, label=body.label or "", expires=expires)
        await self._sync.tell(user)
        return json_body(_token_document(issued.text, issued.token, Use(int(time.time()), self._origin(call))))

    async def change_token(self, call: Call) -> bytes:
        user = call.logged_in()
        body = await call.body(_TokenBody, absent=_TokenBody())
        given = body.token or _used_token(call)
        if not given:
            raise Refusal.TOKEN_MISSING.error()
        expires = body.expires
        if body.label is None and expires is None:
            expires = int(time.time()) + DEFAULT_LIFE
        digest = self._access.accounts.find_token(user.name, given)
        if digest is None:
            raise Refusal.UNAUTHORIZED.error()
        expires = None if expires is None else _checked_expiry(expires)
        token = await self._access.accounts.change_token(user.name, digest, label=body.label, expires=expires)
        await self._sync.tell(user)
        shown = given if given == _used_token(call) else token.shown
        return json_body(_token_document(shown, token, await self._access.last_used.of(digest)))

    async def revoke(self, call: Call) -> bytes:
        user = call.logged_in()
        given = call.header("x-token") or _used_token(call)
        if not given:
            raise Refusal.TOKEN_MISSING.error()
        digest = self._access.accounts.find_token(user.name, given)
        if digest is not None:
            await self._access.accounts.revoke(user.name, digest)
            await self._sync.tell(user)
        return SUCCESS

    # -- the object

    async def _document(self, call: Call) -> dict[str, Any]:
        user = call.user
        if user is None:
            document: dict[str, Any] = {"username": EVERYONE, "role": Role.ANONYMOUS.value}
        else:
            document = {"username": user.name, "role": user.role.value, "sync_topic": user.sync_topic}
            document |= {"provisioned": True} if user.provisioned else {}
            document |= msgspec.to_builtins(user.settings)
            document |= _reservations(user, self._access.directory.everyone)
            document |= _emails(user)
            if user.tokens:
                document["tokens"] = [await self._listed(call, digest, token) for digest, token in user.tokens.items()]
        return {**document, **await self._limits(call, user)}

    async def _listed(self, call: Call, digest: str, token: Token) -> dict[str, Any]:
        used = isinstance(call.caller, KnownCaller) and call.caller.proof.token == digest
        shown = _used_token(call) if used else token.shown
        return _token_document(shown, token, await self._access.last_used.of(digest))

    async def _limits(self, call: Call, user: User | None) -> dict[str, Any]:
        notify = self._services.notify
        spent, most = call.visitor.messages_spent(now_ms()), notify.daily_message_limit
        may_reserve = user is not None and self._access.config.enable_reservations
        reservations = self._access.config.reservation_limit if may_reserve else 0
        reserved = 0 if user is None else len(user.reservations)
        files = self._services.files
        stored = 0 if files is None else await files.size_of(call.visitor, now_ms())
        limits: dict[str, Any] = {
            "basis": "ip",
            "messages": most,
            "messages_expiry_duration": int(notify.cache_duration),
            "emails": notify.visitor_email_limit_burst if notify.smtp_sender_addr else 0,
            "calls": 0,
            "reservations": reservations,
            "attachment_total_size": notify.visitor_attachment_total_size_limit if files else 0,
            "attachment_file_size": notify.attachment_file_size_limit if files else 0,
            "attachment_expiry_duration": int(notify.attachment_expiry_duration) if files else 0,
            "attachment_bandwidth": notify.visitor_attachment_daily_bandwidth_limit if files else 0,
        }
        emails_left = call.visitor.emails_left() if limits["emails"] else 0
        stats = {
            "messages": spent,
            "messages_remaining": max(0, most - spent),
            "emails": limits["emails"] - emails_left,
            "emails_remaining": emails_left,
            "calls": 0,
            "calls_remaining": 0,
            "reservations": reserved,
            "reservations_remaining": max(0, reservations - reserved),
            "attachment_total_size": stored,
            "attachment_total_size_remaining": max(0, limits["attachment_total_size"] - stored),
        }
        return {"limits": limits, "stats": stats}

    def _origin(self, call: Call) -> str:
        return self._services.visitors.address_of(call.scope["client"], call.scope["headers"])


def _used_token(call: Call) -> str:
    return call.caller.given if isinstance(call.caller, KnownCaller) else ""


def _checked_expiry(expires: int) -> int:
    if expires < 0:
        raise Refusal.INVALID_REQUEST.error("expires is unix seconds, or 0 for never")
    return expires


def _token_document(shown: str, token: Token, use: Use | None) -> dict[str, Any]:
    """The token object: empty fields are left out, ``expires`` is always there."""
    document: dict[str, Any] = {"token": shown}
    if token.label:
        document["label"] = token.label
    if use is not None:
        document |= {"last_access": use.time, "last_origin": use.origin}
    document["expires"] = token.expires
    return document | ({"provisioned": True} if token.provisioned else {})


def _emails(user: User) -> dict[str, Any]:
    found = [
        {"address": email.address, "primary": email.primary, "pending": not email.verified}
        for email in user.emails.values()
    ]
    return {"emails": found} if found else {}


def _reservations(user: User, everyone: User) -> dict[str, Any]:
    found = [
        {"topic": topic, "everyone": everyone.entries[topic].permission.value}
        for topic in sorted(user.reservations)
        if topic in everyone.entries
    ]
    return {"reservations": found} if found else {}
