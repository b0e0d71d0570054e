"""Who makes a request, and what that one may."""

import time
from dataclasses import dataclass
from typing import Final

from gbe.notify.access.directory import Directory
from gbe.notify.access.permissions import Permission
from gbe.notify.access.users import User
from gbe.notify.email.mailbox import NOBODY, Mailbox
from gbe.notify.errors import Refusal


class Caller:
    """A caller who may do everything, as without access control; the base of the others."""

    name: str | None = None
    """Of the user; ``None``: nobody in particular."""

    def may(self, topic: str, *, write: bool) -> bool:  # noqa: ARG002 - for those who may less
        """Whether this one may publish to (``write``) or read a topic."""
        return True

    def check_read(self, *topics: str) -> None:
        """Raises ``NotifyError`` 40301 unless all of these may be read."""
        if not all(self.may(topic, write=False) for topic in topics):
            raise Refusal.FORBIDDEN.error()

    def check_write(self, topic: str) -> None:
        """Raises ``NotifyError`` 40301 unless messages may be published to this topic."""
        if not self.may(topic, write=True):
            raise Refusal.FORBIDDEN.error()

    def mailbox(self) -> Mailbox:
        """The e-mail addresses of the caller."""
        return NOBODY

    def is_still(self) -> bool:
        """Whether the credentials that the request came with are still good."""
        return True

    @property
    def expires(self) -> int:
        """When they will no longer be, unix seconds, as far as one can say now; 0: never."""
        return 0


OPEN: Final = Caller()
"""Whoever calls a server without access control."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a user has shown.

    Attributes:
        token: the hash of an access token; empty: it was a password.
        password: the hash that the password belonged to.
    """

    token: str = ""
    password: str = ""


class KnownCaller(Caller):
    """A caller on a server with access control.

    Args:
        user: ``None`` for anonymous ones.
        given: the token itself, if it was one.
    """

    def __init__(
        self,
        directory: Directory,
        default: Permission,
        user: User | None = None,
        proof: Proof | None = None,
        given: str = "",
    ) -> None:
        self._directory, self._default = directory, default
        self.name = None if user is None else user.name
        self.proof, self.given = proof or Proof(), given

    @property
    def user(self) -> User | None:
        """The user as it is now; ``None`` for anonymous callers, and when it was deleted meanwhile."""
        return None if self.name is None else self._directory.user(self.name)

    def may(self, topic: str, *, write: bool) -> bool:
        """By the rules of section 10.3."""
        permission = self._permission(topic)
        return permission.writes if write else permission.reads

    def mailbox(self) -> Mailbox:
        """The e-mail addresses of the user; an anonymous caller has none."""
        user = self.user
        return NOBODY if user is None else user.mailbox

    def is_still(self) -> bool:
        """Whether the user is there, with the same password, or the token, which has not expired."""
        if self.name is None:
            return True
        user = self.user
        if user is None:
            return False
        if not self.proof.token:
            return self.proof.password == user.password
        token = user.tokens.get(self.proof.token)
        return token is not None and token.is_valid(time.time())

    @property
    def expires(self) -> int:
        """Of the token; a password does not expire."""
        user = self.user
        token = None if user is None else user.tokens.get(self.proof.token)
        return 0 if token is None else token.expires

    def _permission(self, topic: str) -> Permission:
        user = self.user
        if user is not None:
            if user.is_admin or topic == user.sync_topic:
                return Permission.READ_WRITE
            own = user.grants.find(topic)
            if own is not None:
                return own
        elif self.name is not None:
            return Permission.DENY_ALL
        return self._directory.everyone.grants.find(topic) or self._default
