"""A user, as the state store keeps it: one record, so that each change is atomic."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

import msgspec

from gbe.notify.access.emails import Email, mailbox_of
from gbe.notify.access.names import EVERYONE, Role
from gbe.notify.access.permissions import Grants, Permission
from gbe.notify.access.tokens import Token, random_text
from gbe.notify.email.mailbox import Mailbox

REVISION: Final = "rev"
DOCUMENT: Final = "doc"


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An access-control entry.

    Attributes:
        owner: the user whose reservation it is part of.
        provisioned: whether it is from the configuration.
    """

    permission: Permission
    owner: str = ""
    provisioned: bool = False


class Subscription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A topic that a user's devices follow."""

    base_url: str
    topic: str
    display_name: str | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a user's devices remember."""

    language: str | None = None
    notification: dict[str, Any] | None = None
    date_format: str | None = None
    time_format: str | None = None
    subscriptions: tuple[Subscription, ...] = ()


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """A user, or everybody (``*``).

    Attributes:
        id: ``u_`` and 10 characters.
        password: a bcrypt hash; empty for ``*``, and for what is kept beside a user of the configuration.
        sync_topic: where the user's devices tell one another of changes.
        created: unix seconds.
        revision: counts the changes.
        entries: access by pattern.
        tokens: by the token's hash.
        emails: by address in lower case.
    """

    name: str
    role: Role = Role.USER
    id: str = ""
    password: str = ""
    sync_topic: str = ""
    created: int = 0
    revision: int = 0
    provisioned: bool = False
    entries: dict[str, Entry] = {}
    tokens: dict[str, Token] = {}
    emails: dict[str, Email] = {}
    settings: Settings = Settings()

    @cached_property
    def grants(self) -> Grants:
        """The entries, ready to be asked."""
        return Grants({pattern: entry.permission for pattern, entry in self.entries.items()})

    @cached_property
    def mailbox(self) -> Mailbox:
        """The addresses that are known to be this user's."""
        return mailbox_of(self.emails)

    @property
    def is_admin(self) -> bool:
        """Whether access control does not concern this user."""
        return self.role is Role.ADMIN

    @property
    def reservations(self) -> dict[str, Entry]:
        """The topics that this user has reserved."""
        return {topic: entry for topic, entry in self.entries.items() if entry.owner == self.name}

    def to_fields(self) -> dict[str, bytes]:
        """The record."""
        return {REVISION: b"%d" % self.revision, DOCUMENT: msgspec.json.encode(self)}


_documents: Final = msgspec.json.Decoder(User)


def from_fields(fields: Mapping[str, bytes]) -> User:
    """Read a record. Raises ``ValueError`` (msgspec's) or ``KeyError`` for one of another version, or damaged."""
    return _documents.decode(fields[DOCUMENT])


def new_user(name: str, role: Role, password: str, now: int) -> User:
    """A user that was never there; ``now`` in unix seconds."""
    return User(
        name=name,
        role=role,
        id="u_" + random_text(10),
        password=password,
        sync_topic="st_" + random_text(13),
        created=now,
    )


def everyone() -> User:
    """``*`` without any entry."""
    return User(name=EVERYONE, role=Role.ANONYMOUS, id="u_everyone")
