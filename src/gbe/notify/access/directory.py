"""All users, as this process knows them: a copy of the state store that follows its changes."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Final, Self

import msgspec

from gbe.errors import StateError
from gbe.notify.access.emails import folded, primary_of
from gbe.notify.access.names import EVERYONE
from gbe.notify.access.provisioned import Provisioned, laid_over
from gbe.notify.access.tokens import Token
from gbe.notify.access.users import User, everyone, from_fields
from gbe.state.base import Changed, StateStore, Watch

logger = logging.getLogger(__name__)

_RETRY: Final = 0.5

OnChange = Callable[[frozenset[str]], None]


def users_prefix(namespace: str) -> str:
    """Where the records of users lie."""
    return f"{namespace}.state.notify.users"


def user_key(namespace: str, name: str) -> str:
    """The record of a user; names hold what keys cannot, so they are written in hex."""
    return f"{users_prefix(namespace)}.{name.encode().hex()}"


class Directory:
    """The users, as ``async with``: read at once, then followed.

    When the state store is away, what was known last still counts.

    Args:
        provisioned: users of the configuration; they are laid over the others.
    """

    def __init__(self, store: StateStore, namespace: str, provisioned: Provisioned | None = None) -> None:
        self._store, self._namespace = store, namespace
        self._provisioned = dict(provisioned or {})
        self._kept: dict[str, User] = {}
        self._users: dict[str, User] = {}
        self._tokens: dict[str, str] = {}
        self._emails: dict[str, str] = {}
        self._everyone = everyone()
        self._everyone_now: User | None = None  # made when it is asked for
        self._stack = AsyncExitStack()
        self.on_change: list[OnChange] = []
        """Hear of the names whose users have changed."""

    async def __aenter__(self) -> Self:
        """Read all users. Raises ``StateError``: the store does not answer."""
        try:
            watch = await self._stack.enter_async_context(self._store.watch(users_prefix(self._namespace)))
            await self._read_all()
        except BaseException:
            await self._stack.aclose()
            raise
        following = asyncio.create_task(self._follow(watch), name="gbe.users")
        following.add_done_callback(_log_failure)

        async def end() -> None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

        self._stack.push_async_callback(end)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    # -- questions

    @property
    def everyone(self) -> User:
        """``*``: what anonymous callers may, and everybody else where no entry of their own decides.

        A reservation counts for as long as its owner is there.
        """
        if self._everyone_now is None:
            entries = {
                pattern: entry
                for pattern, entry in self._everyone.entries.items()
                if not entry.owner or entry.owner in self._users
            }
            self._everyone_now = msgspec.structs.replace(self._everyone, entries=entries)
        return self._everyone_now

    def user(self, name: str) -> User | None:
        """A user by name; ``*`` is none."""
        return self._users.get(name)

    def by_token(self, digest: str) -> tuple[User, Token] | None:
        """The user of a token by the token's hash, and what is known of the token."""
        user = self._users.get(self._tokens.get(digest, ""))
        token = None if user is None else user.tokens.get(digest)
        return None if user is None or token is None else (user, token)

    def by_email(self, address: str) -> User | None:
        """The user whose primary address this is."""
        user = self._users.get(self._emails.get(folded(address), ""))
        return user if user is not None and folded(primary_of(user.emails)) == folded(address) else None

    def users(self) -> list[User]:
        """All users by name, ``*`` last."""
        return [*sorted(self._users.values(), key=lambda user: (user.role.value, user.name)), self.everyone]

    @property
    def count(self) -> int:
        """How many users there are."""
        return len(self._users)

    def configured(self, name: str) -> User | None:
        """What the configuration alone says of a user."""
        return self._provisioned.get(name)

    # -- changes

    def apply(self, name: str, kept: User | None) -> None:
        """The record of this user is so now; ``None``: there is none."""
        known = self._kept.get(name)
        if kept is not None and known is not None and kept.id == known.id and kept.revision < known.revision:
            return  # read before a change of our own
        if kept == known and kept is not None:
            return
        self._tell(self._put(name, kept))

    async def _follow(self, watch: Watch) -> None:
        async for event in watch:
            if isinstance(event, Changed):
                self._changed(event.key, event.fields)
            else:
                await self._read_all_again()

    def _changed(self, key: str, fields: dict[str, bytes] | None) -> None:
        name = _name_in(key)
        if name is None:
            return
        try:
            self.apply(name, None if fields is None else from_fields(fields))
        except (msgspec.MsgspecError, KeyError):
            logger.exception("the record of a user cannot be read; the user counts as it was", extra={"key": key})

    async def _read_all(self) -> None:
        found: dict[str, User] = {}
        async for record in self._store.scan(users_prefix(self._namespace)):
            name = _name_in(record.key)
            if name is None:
                continue
            try:
                found[name] = from_fields(record.fields)
            except (msgspec.MsgspecError, KeyError):
                logger.exception(
                    "the record of a user cannot be read; there is no such user", extra={"key": record.key}
                )
        names = {*self._kept, *self._provisioned, *found}
        self._tell([changed for name in names for changed in self._put(name, found.get(name))])

    async def _read_all_again(self) -> None:
        while True:
            try:
                await self._read_all()
            except StateError as exc:
                logger.warning("users not read, the old ones count: %s", exc)
                await asyncio.sleep(_RETRY)
            else:
                return

    def _put(self, name: str, kept: User | None) -> list[str]:
        """Note what the store has of a user; returns whom that may concern."""
        if kept is None:
            self._kept.pop(name, None)
        else:
            self._kept[name] = kept
        configured = self._provisioned.get(name)
        user = kept if configured is None else laid_over(kept, configured)
        if name == EVERYONE:
            self._everyone, self._everyone_now = user or everyone(), None
            return [EVERYONE]
        was_there = name in self._users
        self._forget(name)
        if user is not None and user.password:  # without one it is what is left of a user of the configuration
            self._users[name] = user
            self._tokens.update(dict.fromkeys(user.tokens, name))
            if primary := primary_of(user.emails):
                self._emails[folded(primary)] = name
        if (name in self._users) is was_there or not any(e.owner == name for e in self._everyone.entries.values()):
            return [name]
        self._everyone_now = None  # reservations come and go with their owner
        return [name, EVERYONE]

    def _forget(self, name: str) -> None:
        former = self._users.pop(name, None)
        if former is None:
            return
        for digest in former.tokens:
            if self._tokens.get(digest) == name:
                del self._tokens[digest]
        primary = folded(primary_of(former.emails))
        if self._emails.get(primary) == name:
            del self._emails[primary]

    def _tell(self, names: Iterable[str]) -> None:
        changed = frozenset(names)
        for told in self.on_change:
            told(changed)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (exc := task.exception()) is not None:
        logger.critical("changes of users are no longer followed: restart this process", exc_info=exc)


def _name_in(key: str) -> str | None:
    try:
        return bytes.fromhex(key.rpartition(".")[2]).decode()
    except ValueError:
        return None
