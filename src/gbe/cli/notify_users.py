"""What ``gbe notify user|access|token`` does: changes reach every node at once, through the state store."""

import os
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import typer
from rich.table import Table

from gbe.cli.operator import Operator
from gbe.cli.output import escaped, moment, print_json, print_table
from gbe.cli.runtime import run
from gbe.config import Settings
from gbe.connect import open_state, open_transport
from gbe.durations import parse_duration
from gbe.errors import ConfigError, NotifyError
from gbe.notify.access.access import Access
from gbe.notify.access.names import EVERYONE, EVERYONE_SHOWN, check_password, parse_role, user_named
from gbe.notify.access.passwords import check_hash, hash_password
from gbe.notify.access.permissions import parse_permission
from gbe.notify.access.tokens import Token
from gbe.notify.access.users import User
from gbe.notify.errors import Refusal

_PASSWORD: Final = "NTFY_PASSWORD"  # noqa: S105 - the name of a variable
_HASH: Final = "NTFY_PASSWORD_HASH"


@dataclass(frozen=True, slots=True)
class _Desk:
    """What a command works with."""

    access: Access
    operator: Operator


def _with_desk(settings: Settings, work: Callable[[_Desk], Coroutine[Any, Any, None]]) -> None:
    if settings.state_kind == "memory":
        raise ConfigError("the state store is memory, which lives in one process: users need an engine")

    async def main() -> None:
        async with (
            await open_transport(settings) as transport,
            await open_state(settings) as store,
            Access(store, settings.namespace, settings.access) as access,
        ):
            await work(_Desk(access, Operator(transport, settings.namespace)))

    run(main())
    if not settings.access.is_on:
        typer.echo("note: access control is off; `notify.auth: true` in gbe.yaml switches it on", err=True)


# -- users


def list_users(settings: Settings, name: str | None = None, *, json: bool) -> None:
    """Users with their entries."""

    async def work(desk: _Desk) -> None:
        users = [_known(desk, name)] if name is not None else desk.access.directory.users()
        if json:
            print_json({"users": [_document(user) for user in users], "default": desk.access.default.value})
            return
        table = Table("user", "role", "topic", "permission", "", "e-mail", box=None, pad_edge=False)
        for user in users:
            _add_rows(table, user, desk.access.default.value)
        print_table(table)

    _with_desk(settings, work)


def add_user(settings: Settings, name: str, role: str, *, ignore_exists: bool) -> None:
    """Make a user."""
    wanted = parse_role(role)

    async def work(desk: _Desk) -> None:
        if ignore_exists and desk.access.directory.user(name) is not None:
            typer.echo(f"user {name} exists already")
            return
        if desk.access.directory.user(name) is not None:
            raise Refusal.USER_EXISTS.error()
        await desk.access.accounts.add(name, _given_hash(), wanted)
        typer.echo(f"user {name} added with role {wanted.value}")
        await desk.operator.did("create", f"notify/user/{name}", after={"role": wanted.value})

    _with_desk(settings, work)


def remove_user(settings: Settings, name: str) -> None:
    """Remove a user."""

    async def work(desk: _Desk) -> None:
        await desk.access.accounts.remove(name)
        typer.echo(f"user {name} removed")
        await desk.operator.did("delete", f"notify/user/{name}")

    _with_desk(settings, work)


def change_password(settings: Settings, name: str) -> None:
    """Give a user another password."""

    async def work(desk: _Desk) -> None:
        desk.access.accounts.known(name)
        await desk.access.accounts.set_password(name, _given_hash())
        typer.echo(f"changed password for user {name}")
        await desk.operator.did("change", f"notify/user/{name}", after={"password": "changed"})

    _with_desk(settings, work)


def change_role(settings: Settings, name: str, role: str) -> None:
    """Give a user another role."""
    wanted = parse_role(role)

    async def work(desk: _Desk) -> None:
        await desk.access.accounts.set_role(name, wanted)
        typer.echo(f"changed role for user {name} to {wanted.value}")
        await desk.operator.did("change", f"notify/user/{name}", after={"role": wanted.value})

    _with_desk(settings, work)


def print_hash() -> None:
    """The hash of a password that is asked for."""
    typer.echo(_given_hash())


# -- access


def allow(settings: Settings, name: str, topic: str, permission: str) -> None:
    """Set an entry."""
    wanted = parse_permission(permission)

    async def work(desk: _Desk) -> None:
        await desk.access.accounts.allow(user_named(name), topic, wanted)
        typer.echo(f"granted {wanted.value} access to topic {topic} to {_shown(user_named(name))}")
        after = {"topic": topic, "permission": wanted.value}
        await desk.operator.did("change", f"notify/access/{_shown(user_named(name))}", after=after)

    _with_desk(settings, work)


def reset_access(settings: Settings, name: str | None, topic: str | None) -> None:
    """Remove entries: of a topic, of a user, or all; those of the configuration stay."""

    async def work(desk: _Desk) -> None:
        users = [_known(desk, name)] if name is not None else desk.access.directory.users()
        removed = 0
        for user in users:
            if user.entries:
                removed += await desk.access.accounts.reset(user.name, topic)
        whose = "all users" if name is None else _shown(user_named(name))
        typer.echo(f"reset access for {whose}: {removed} entries removed")
        await desk.operator.did("delete", f"notify/access/{whose}", after={"topic": topic})

    _with_desk(settings, work)


# -- tokens


def add_token(settings: Settings, name: str, *, expires: str | None, label: str, json: bool) -> None:
    """Make a token, and print it."""
    try:
        until = 0 if expires is None else int(time.time() + parse_duration(expires))
    except ValueError as exc:
        raise typer.BadParameter(f"--expires: expected {exc}") from None

    async def work(desk: _Desk) -> None:
        issued = await desk.access.accounts.issue(name, label=label, expires=until)
        if json:
            print_json({"username": name, "token": issued.text, "label": label, "expires": until})
        else:
            ends = f"expires {moment(until * 1000)}" if until else "never expires"
            typer.echo(f"token {issued.text} created for user {name}, {ends}")
        after = {"token": issued.token.shown, "label": label, "expires": until}
        await desk.operator.did("create", f"notify/token/{name}", after=after)

    _with_desk(settings, work)


def list_tokens(settings: Settings, name: str | None, *, json: bool) -> None:
    """The tokens of one user, or of all."""

    async def work(desk: _Desk) -> None:
        users = [_known(desk, name)] if name is not None else desk.access.directory.users()
        found = [await _token(desk, user, digest, token) for user in users for digest, token in user.tokens.items()]
        if json:
            print_json({"tokens": found})
            return
        table = Table("user", "token", "label", "last used", "from", "expires", "", box=None, pad_edge=False)
        for row in found:
            used, ends = row["last_access"], row["expires"]
            table.add_row(
                escaped(row["username"]),
                row["token"],
                escaped(row["label"]),
                moment(used * 1000) if used else "",
                escaped(row["last_origin"]),
                moment(ends * 1000) if ends else "never",
                "from the configuration" if row["provisioned"] else "",
            )
        print_table(table)

    _with_desk(settings, work)


def remove_token(settings: Settings, name: str, text: str) -> None:
    """Remove a token."""

    async def work(desk: _Desk) -> None:
        digest = desk.access.accounts.find_token(name, text)
        if digest is None:
            raise NotifyError(
                40401, f"user {name} has no such token, or several begin like it; `gbe notify token list`"
            )
        await desk.access.accounts.revoke(name, digest)
        typer.echo(f"token of user {name} removed")
        await desk.operator.did("delete", f"notify/token/{name}")

    _with_desk(settings, work)


# -- helpers


def _known(desk: _Desk, given: str) -> User:
    name = user_named(given)
    return desk.access.directory.everyone if name == EVERYONE else desk.access.accounts.known(name)


def _given_hash() -> str:
    """The hash of the password: given as one, or of the variable, or of what is typed twice."""
    if hashed := os.environ.get(_HASH):
        return check_hash(hashed)
    password = os.environ.get(_PASSWORD)
    if not password:
        password = typer.prompt("password", hide_input=True, confirmation_prompt="confirm", err=True)
    return hash_password(check_password(password))


def _document(user: User) -> dict[str, Any]:
    grants = [
        {"topic": pattern, "permission": entry.permission.value, "provisioned": entry.provisioned}
        for pattern, entry in sorted(user.entries.items())
    ]
    return {
        "username": user.name,
        "role": user.role.value,
        "provisioned": user.provisioned,
        "grants": grants,
        "emails": [
            {"address": email.address, "primary": email.primary, "pending": not email.verified}
            for email in user.emails.values()
        ],
    }


def _add_rows(table: Table, user: User, default: str) -> None:
    note = "from the configuration" if user.provisioned else ""
    rows = [(pattern, entry.permission.value, entry.provisioned) for pattern, entry in sorted(user.entries.items())]
    if user.is_admin:
        rows = [("all topics", "read-write", False)]
    elif user.name == EVERYONE or not rows:
        rows.insert(0, ("all other topics" if rows else "all topics", f"{default} (default)", False))
    start = escaped(_shown(user.name)), user.role.value, escaped(_emails(user))
    for pattern, permission, provisioned in rows:
        name, role, emails = start
        table.add_row(name, role, pattern, permission, "from the configuration" if provisioned else note, emails)
        start, note = ("", "", ""), ""


def _emails(user: User) -> str:
    """The addresses, the primary one first."""
    found = sorted(user.emails.values(), key=lambda email: not email.primary)
    return ", ".join(email.address if email.verified else f"{email.address} (pending)" for email in found)


def _shown(name: str) -> str:
    return EVERYONE_SHOWN if name == EVERYONE else name


async def _token(desk: _Desk, user: User, digest: str, token: Token) -> dict[str, Any]:
    use = await desk.access.last_used.of(digest)
    return {
        "username": user.name,
        "token": token.shown,
        "label": token.label,
        "last_access": 0 if use is None else use.time,
        "last_origin": "" if use is None else use.origin,
        "expires": token.expires,
        "provisioned": token.provisioned,
    }
