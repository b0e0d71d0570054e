"""Users, entries and tokens of the configuration: the lists that ntfy's ``server.yml`` has (section 9).

They are not written to the state store: each node lays its own configuration over what the store holds. What such a
user makes at run time (settings, more tokens) is in the store.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

import msgspec

from gbe.errors import ConfigError, NotifyError
from gbe.notify.access.names import EVERYONE, Role, check_pattern, check_user_name, parse_role, user_named
from gbe.notify.access.passwords import check_hash
from gbe.notify.access.permissions import parse_permission
from gbe.notify.access.tokens import Token, digest, is_token, shown
from gbe.notify.access.users import Entry, User, everyone

Provisioned = Mapping[str, User]
T = TypeVar("T")
_SYNC_LENGTH: Final = 13


def provisioned(users: Iterable[str], access: Iterable[str], tokens: Iterable[str]) -> Provisioned:
    """Read the three lists.

    Raises:
        ConfigError: an entry that cannot be used. Its number is named, not its text, which may hold a secret.
    """
    found: dict[str, User] = {}
    for number, text in enumerate(users, 1):
        where = f"notify.auth_users, entry {number}"
        name, hashed, role = _parts(text, where, "NAME:BCRYPT-HASH:ROLE", 3)
        if name in found:
            raise ConfigError(f"{where}: {name} is there twice")
        _used(where, check_user_name, name)
        found[name] = User(
            name=name,
            role=_used(where, parse_role, role),
            id=f"u_{_derived(hashed, name, 'id')[:10]}",
            password=_used(where, check_hash, hashed),
            sync_topic=f"st_{_derived(hashed, name, 'sync topic')[:_SYNC_LENGTH]}",
            provisioned=True,
        )
    for number, text in enumerate(access, 1):
        _add_entry(found, text, f"notify.auth_access, entry {number}")
    for number, text in enumerate(tokens, 1):
        _add_token(found, text, f"notify.auth_tokens, entry {number}")
    return found


def laid_over(kept: User | None, configured: User) -> User:
    """A user of the configuration with what the store has of it."""
    if kept is None:
        return configured
    return msgspec.structs.replace(
        kept,
        role=configured.role,
        password=configured.password,
        id=kept.id or configured.id,
        sync_topic=kept.sync_topic or configured.sync_topic,
        provisioned=configured.provisioned,
        entries={**kept.entries, **configured.entries},
        tokens={**kept.tokens, **configured.tokens},
    )


def _add_entry(found: dict[str, User], text: str, where: str) -> None:
    given, pattern, permission = _parts(text, where, "NAME:PATTERN:PERMISSION", 3)
    name = user_named(given)
    user = everyone() if name == EVERYONE and name not in found else _known(found, name, where)
    if user.role is Role.ADMIN:
        raise ConfigError(f"{where}: {name} is an administrator, whom access control does not concern")
    entry = Entry(permission=_used(where, parse_permission, permission), provisioned=True)
    entries = {**user.entries, _used(where, check_pattern, pattern): entry}
    found[name] = msgspec.structs.replace(user, entries=entries)


def _add_token(found: dict[str, User], text: str, where: str) -> None:
    name, token, *label = _parts(text, where, "NAME:TOKEN or NAME:TOKEN:LABEL", 2, 3)
    user = _known(found, name, where)
    if not is_token(token):
        raise ConfigError(f"{where}: a token is tk_ and 29 letters and digits; `gbe notify token generate` makes one")
    if any(digest(token) in other.tokens for other in found.values()):
        raise ConfigError(f"{where}: that token is there twice")
    made = Token(shown=shown(token), label="".join(label), provisioned=True)
    found[name] = msgspec.structs.replace(user, tokens={**user.tokens, digest(token): made})


def _known(found: Mapping[str, User], name: str, where: str) -> User:
    if name not in found:
        raise ConfigError(f"{where}: there is no user {name} in notify.auth_users")
    return found[name]


def _parts(text: str, where: str, form: str, least: int, most: int | None = None) -> list[str]:
    most = most or least
    parts = [part.strip() for part in text.split(":", most - 1)]
    if len(parts) < least or not all(parts[:least]):
        raise ConfigError(f"{where}: expected {form}")
    return parts


def _used(where: str, read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except NotifyError as exc:
        raise ConfigError(f"{where}: {exc.message}") from None


def _derived(hashed: str, name: str, purpose: str) -> str:
    """Text that every node finds alike and nobody can guess who does not know the hash."""
    return hmac.digest(hashed.encode(), f"{purpose}:{name}".encode(), hashlib.sha256).hex()
