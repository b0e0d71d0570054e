"""Changes to users: each is one compare-and-set of one record, on whichever node it is made."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from gbe.errors import StateUnavailableError
from gbe.notify.access import tokens
from gbe.notify.access.claims import Claims
from gbe.notify.access.directory import Directory, user_key
from gbe.notify.access.emails import folded, primary_of, with_primary
from gbe.notify.access.names import EVERYONE, Role, check_new_name, check_pattern
from gbe.notify.access.permissions import Permission
from gbe.notify.access.tokens import Token
from gbe.notify.access.users import REVISION, Entry, Settings, User, everyone, from_fields, new_user
from gbe.notify.errors import Refusal
from gbe.state.base import StateStore

_ATTEMPTS: Final = 20
MAX_ENTRIES: Final = 1000
MAX_SUBSCRIPTIONS: Final = 500

Edit = Callable[[User | None], User]


@dataclass(frozen=True, slots=True)
class Issued:
    """A token that was just made: the only moment at which it is known in full."""

    text: str
    token: Token


class Accounts:
    """Makes, changes and removes users, and what belongs to them.

    Every method raises ``NotifyError`` for what is refused, before anything is written, and ``StateError`` when the
    store does not answer.
    """

    def __init__(self, store: StateStore, namespace: str, directory: Directory) -> None:
        self._store, self._namespace, self._directory = store, namespace, directory
        self.claims = Claims(store, namespace)

    # -- users

    async def add(self, name: str, hashed: str, role: Role = Role.USER, *, known: User | None = None) -> User:
        """Make a user. Raises ``NotifyError``: 40046, 40901.

        Args:
            hashed: a bcrypt hash.
            known: with the ids of a user who was somewhere else before.
        """
        check_new_name(name)
        if self._directory.configured(name) is not None:
            raise Refusal.USER_EXISTS.error()
        made = known or new_user(name, role, hashed, int(time.time()))

        def add(user: User | None) -> User:
            if user is not None and user.password:
                raise Refusal.USER_EXISTS.error()
            return made

        return await self._edit(name, add)

    async def remove(self, name: str) -> None:
        """Remove a user with all that is theirs. Raises ``NotifyError``: 40031, 40905."""
        user = self.known(name)
        self._check_changeable(name)
        await self._drop_reservations(name, list(user.reservations))
        await self._store.delete(user_key(self._namespace, name))
        self._directory.apply(name, None)
        if primary := primary_of(user.emails):
            await self.claims.release(primary, name)

    async def change(self, name: str, edit: Callable[[User], User]) -> User:
        """Change what a user has at run time. Raises ``NotifyError``: 40031, and what ``edit`` raises."""
        return await self._edit_known(name, edit, provisioned_too=True)

    async def take_primary(self, name: str, address: str) -> bool:
        """Let a verified address stand for a user; ``False``: it stands for another one. Raises ``NotifyError`` 40031.

        It is claimed first, and written then: of two users who want it at the same time, one gets it.
        """
        key, former = folded(address), primary_of(self.known(name).emails)

        async def is_held(other: str) -> bool:
            fields = await self._store.get(user_key(self._namespace, other))
            return fields is not None and folded(primary_of(from_fields(fields).emails)) == key

        if not await self.claims.take(address, name, is_held):
            return False
        await self.change(name, lambda user: msgspec.structs.replace(user, emails=with_primary(user.emails, address)))
        if former and folded(former) != key:
            await self.claims.release(former, name)
        return True

    async def set_password(self, name: str, hashed: str) -> None:
        """Give a user another password, as a bcrypt hash. Raises ``NotifyError``: 40031, 40905."""
        self._check_changeable(name)
        await self._edit_known(name, lambda user: msgspec.structs.replace(user, password=hashed))

    async def set_role(self, name: str, role: Role) -> None:
        """Make a user an administrator, whose entries go, or an ordinary one. Raises ``NotifyError``: 40031, 40905."""
        self._check_changeable(name)
        reserved = list(self.known(name).reservations)

        def change(user: User) -> User:
            entries = {} if role is Role.ADMIN else user.entries
            return msgspec.structs.replace(user, role=role, entries=entries)

        await self._edit_known(name, change)
        if role is Role.ADMIN:
            await self._drop_reservations(name, reserved)

    async def set_settings(self, name: str, change: Callable[[Settings], Settings]) -> None:
        """Change what a user's devices remember. Raises ``NotifyError``: 40031."""
        await self.change(name, lambda user: msgspec.structs.replace(user, settings=change(user.settings)))

    async def merge(self, user: User, *, dry_run: bool) -> Literal["new", "changed", "known"]:
        """Add a user from somewhere else, or to one who is here what that one lacks: entries, tokens, settings.

        Returns:
            What it was; with ``dry_run``, what it would have been.
        """
        configured = self._directory.configured(user.name)
        if configured is not None:  # password and role are the configuration's, and its entries too
            entries = {key: entry for key, entry in user.entries.items() if key not in configured.entries}
            user = msgspec.structs.replace(user, password="", role=configured.role, entries=entries)
        fields = await self._store.get(user_key(self._namespace, user.name))
        before = None if fields is None else from_fields(fields)
        after = _merged(before, user)
        if after == before:
            return "known"
        if not dry_run:
            await self._edit(user.name, lambda known: _merged(known, user))
        return "new" if before is None else "changed"

    def known(self, name: str) -> User:
        """A user by name. Raises ``NotifyError``: 40031."""
        user = self._directory.user(name)
        if user is None:
            raise Refusal.USER_UNKNOWN.error()
        return user

    # -- access

    async def allow(self, name: str, pattern: str, permission: Permission) -> None:
        """Set an entry of a user, or of ``*``. Raises ``NotifyError``: 40031, 40009, 40000, 40905."""
        check_pattern(pattern)
        if name != EVERYONE and self.known(name).is_admin:
            raise Refusal.INVALID_REQUEST.error("access control does not concern administrators")
        self._check_entry(name, pattern)

        def change(user: User) -> User:
            entries = {**user.entries, pattern: Entry(permission=permission)}
            if len(entries) > MAX_ENTRIES:
                raise Refusal.INVALID_REQUEST.error(f"a user has at most {MAX_ENTRIES} entries")
            return msgspec.structs.replace(user, entries=entries)

        await self.change(name, change)

    async def reset(self, name: str, pattern: str | None = None) -> int:
        """Remove an entry, or all entries, of a user or of ``*``; those of the configuration stay.

        Returns:
            How many there were.

        Raises:
            NotifyError: 40031, 40905.
        """
        if pattern is not None:
            self._check_entry(name, pattern)
        removed = 0

        def change(user: User) -> User:
            nonlocal removed
            left = {} if pattern is None else {key: entry for key, entry in user.entries.items() if key != pattern}
            removed = len(user.entries) - len(left)
            return msgspec.structs.replace(user, entries=left)

        await self.change(name, change)
        return removed

    async def reserve(self, name: str, topic: str, others: Permission, *, limit: int) -> None:
        """Give a topic to a user, and say what everybody else may. Raises ``NotifyError``: 40902, 42907, 40031.

        The entry of ``*`` comes first: there is one such record, so only one user can have the topic.
        """
        user = self.known(name)
        if topic not in user.reservations and len(user.reservations) >= limit:
            raise Refusal.TOO_MANY_RESERVATIONS.error()
        for other in self._directory.users():
            if other.name not in (name, EVERYONE) and topic in other.entries:
                raise Refusal.ACCESS_EXISTS.error()
        self._check_entry(EVERYONE, topic)
        former = await self._vacate(topic)

        def reserve(user: User) -> User:
            known = user.entries.get(topic)
            if known is not None and known.owner not in (name, former):
                raise Refusal.ACCESS_EXISTS.error()
            entries = {**user.entries, topic: Entry(permission=others, owner=name)}
            return msgspec.structs.replace(user, entries=entries)

        await self._edit_known(EVERYONE, reserve)
        own = Entry(permission=Permission.READ_WRITE, owner=name)
        await self.change(name, lambda user: msgspec.structs.replace(user, entries={**user.entries, topic: own}))

    async def _vacate(self, topic: str) -> str | None:
        """Take a reserved topic from an owner who is there no more; returns who that was."""
        fields = await self._store.get(user_key(self._namespace, EVERYONE))
        entry = None if fields is None else from_fields(fields).entries.get(topic)
        if entry is None or not entry.owner or self._directory.user(entry.owner) is not None:
            return None
        owner = entry.owner

        def drop(user: User | None) -> User:
            if user is None or user.password:  # one so new that only other nodes know
                raise Refusal.ACCESS_EXISTS.error()
            return _without(user, [topic], owner)

        if await self._store.get(user_key(self._namespace, owner)) is not None:
            # lest a user of the configuration comes back to a topic that is somebody else's
            await self._edit(owner, drop)
        return owner

    def check_reserved(self, name: str, topic: str) -> None:
        """Raises ``NotifyError``: 40301, the topic is not reserved by this user."""
        if topic not in self.known(name).reservations:
            raise Refusal.FORBIDDEN.error()

    async def release(self, name: str, topic: str) -> None:
        """Give up a reserved topic. Raises ``NotifyError``: 40301, it is somebody else's."""
        self.check_reserved(name, topic)
        await self.change(name, lambda user: _without(user, [topic], name))
        await self._drop_reservations(name, [topic])

    # -- tokens

    async def issue(self, name: str, *, label: str = "", expires: int = 0) -> Issued:
        """Make a token; beyond 60 the oldest falls away. Raises ``NotifyError``: 40031, 40000.

        Args:
            expires: unix seconds; 0: never.
        """
        text = tokens.new_token()
        made = Token(shown=tokens.shown(text), label=_label(label), expires=expires, created=int(time.time()))
        await self.keep_token(name, tokens.digest(text), made)
        return Issued(text, made)

    async def keep_token(self, name: str, digest: str, token: Token) -> None:
        """Let a user have a token, by its hash. Raises ``NotifyError``: 40031."""

        def add(user: User) -> User:
            now = time.time()
            kept = [(key, each) for key, each in user.tokens.items() if each.is_valid(now) and key != digest]
            kept.sort(key=lambda entry: entry[1].created)
            kept = [*kept[-(tokens.MAX_TOKENS - 1) :], (digest, token)]
            return msgspec.structs.replace(user, tokens=dict(kept))

        await self.change(name, add)

    async def change_token(self, name: str, digest: str, *, label: str | None, expires: int | None) -> Token:
        """Change a token's label and expiry, unless ``None``. Raises ``NotifyError``: 40031, 40101, 40906."""
        self._check_token(name, digest)
        changed: Token | None = None

        def change(user: User) -> User:
            nonlocal changed
            token = user.tokens.get(digest)
            if token is None:
                raise Refusal.UNAUTHORIZED.error()
            changed = msgspec.structs.replace(
                token,
                label=token.label if label is None else _label(label),
                expires=token.expires if expires is None else expires,
            )
            return msgspec.structs.replace(user, tokens={**user.tokens, digest: changed})

        await self.change(name, change)
        if changed is None:
            raise Refusal.UNAUTHORIZED.error()
        return changed

    async def revoke(self, name: str, digest: str) -> None:
        """Remove a token of this user. Raises ``NotifyError``: 40031, 40906."""
        self._check_token(name, digest)

        def drop(user: User) -> User:
            left = {key: token for key, token in user.tokens.items() if key != digest}
            return msgspec.structs.replace(user, tokens=left)

        await self.change(name, drop)

    def find_token(self, name: str, text: str) -> str | None:
        """The hash of one of this user's tokens, by the token itself or as lists show it."""
        user = self.known(name)
        if tokens.digest(text) in user.tokens:
            return tokens.digest(text)
        alike = [digest for digest, token in user.tokens.items() if token.shown == text]
        return alike[0] if len(alike) == 1 else None

    # -- one record

    async def _drop_reservations(self, name: str, topics: list[str]) -> None:
        if topics:
            await self._edit_known(EVERYONE, lambda user: _without(user, topics, name))

    async def _edit_known(self, name: str, edit: Callable[[User], User], *, provisioned_too: bool = False) -> User:
        """Change a user who must be there; with ``provisioned_too`` also what is kept beside the configuration."""
        configured = self._directory.configured(name)

        def known(user: User | None) -> User:
            if user is None and name == EVERYONE:
                user = everyone()
            if user is None and configured is not None and provisioned_too:
                user = User(name=name, role=configured.role)
            if user is None or not (user.password or name == EVERYONE or configured is not None):
                raise Refusal.USER_UNKNOWN.error()
            return edit(user)

        return await self._edit(name, known)

    async def _edit(self, name: str, edit: Edit) -> User:
        key = user_key(self._namespace, name)
        for _ in range(_ATTEMPTS):
            fields = await self._store.get(key)
            before = None if fields is None else from_fields(fields)
            after = edit(before)
            after = msgspec.structs.replace(after, revision=1 if before is None else before.revision + 1)
            expected = None if fields is None else fields[REVISION]
            if await self._store.update_if(key, {REVISION: expected}, after.to_fields()):
                self._directory.apply(name, after)
                return after
        raise StateUnavailableError(f"the record of {name} is changed by too many at the same time; try again")

    def _check_changeable(self, name: str) -> None:
        if self._directory.configured(name) is not None:
            raise Refusal.USER_PROVISIONED.error()

    def _check_entry(self, name: str, pattern: str) -> None:
        configured = self._directory.configured(name)
        if configured is not None and pattern in configured.entries:
            raise Refusal.USER_PROVISIONED.error("this entry is from the configuration")

    def _check_token(self, name: str, digest: str) -> None:
        configured = self._directory.configured(name)
        if configured is not None and digest in configured.tokens:
            raise Refusal.TOKEN_PROVISIONED.error()


def _merged(here: User | None, other: User) -> User:
    if here is None:
        return other
    return msgspec.structs.replace(
        here,
        password=here.password or other.password,
        entries={**({} if here.is_admin else other.entries), **here.entries},
        tokens={**other.tokens, **here.tokens},
        settings=other.settings if here.settings == Settings() else here.settings,
    )


def _without(user: User, topics: list[str], owner: str) -> User:
    left = {pattern: entry for pattern, entry in user.entries.items() if pattern not in topics or entry.owner != owner}
    return msgspec.structs.replace(user, entries=left)


def _label(text: str) -> str:
    if len(text) > tokens.MAX_LABEL:
        raise Refusal.INVALID_REQUEST.error(f"a label has at most {tokens.MAX_LABEL} characters")
    return text
