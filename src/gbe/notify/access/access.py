"""Access control of one process: who a request is from, and all that this takes."""

import time
from types import TracebackType
from typing import Self

from gbe.notify.access.accounts import Accounts
from gbe.notify.access.addresses import Addresses
from gbe.notify.access.callers import Caller, KnownCaller, Proof
from gbe.notify.access.config import AccessConfig
from gbe.notify.access.credentials import Bearer, Login
from gbe.notify.access.directory import Directory
from gbe.notify.access.failures import auth_failures, sign_ups
from gbe.notify.access.last_used import LastUsed
from gbe.notify.access.links import Links
from gbe.notify.access.passwords import Passwords
from gbe.notify.access.permissions import parse_permission
from gbe.notify.access.tokens import digest
from gbe.notify.errors import Refusal
from gbe.notify.ledger import Ledger, LocalLedger
from gbe.state.base import StateStore


class Access:
    """Users, and what finds out who calls; as ``async with``, on a state store that stays open.

    Args:
        ledger: where failed logins and new accounts are counted; ``None`` counts for this object alone.
    """

    def __init__(self, store: StateStore, namespace: str, config: AccessConfig, ledger: Ledger | None = None) -> None:
        ledger = LocalLedger() if ledger is None else ledger  # an empty ledger is false
        self.config = config
        self.default = parse_permission(config.auth_default_access)
        self.directory = Directory(store, namespace, config.provisioned())
        self.accounts = Accounts(store, namespace, self.directory)
        self.addresses = Addresses(self.accounts, self.directory, Links(store, namespace))
        self.passwords = Passwords()
        self.last_used = LastUsed(store, namespace)
        self.failures = auth_failures(ledger)
        self.sign_ups = sign_ups(ledger)
        self.anonymous = KnownCaller(self.directory, self.default)

    async def __aenter__(self) -> Self:
        """Read the users. Raises ``StateError``: the store does not answer."""
        await self.directory.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.directory.__aexit__(kind, error, trace)
        await self.last_used.close()
        self.passwords.close()

    def check_failures(self, visitor: str) -> None:
        """Raises ``NotifyError`` 42909: this visitor has failed to log in too often, the right way does not count."""
        if not self.failures.has(visitor):
            raise Refusal.TOO_MANY_AUTH_FAILURES.error()

    async def caller(self, credentials: Login | Bearer, *, visitor: str, origin: str) -> Caller:
        """Who has these credentials.

        Args:
            visitor: whose failures are counted.
            origin: the address, for people.

        Raises:
            NotifyError: 40101; 42909, too many failures before, also for right credentials.
        """
        self.check_failures(visitor)
        if isinstance(credentials, Bearer):
            return self._of_token(credentials.token, visitor, origin)
        return await self._of_password(credentials, visitor)

    def failed(self, visitor: str) -> None:
        """Count a failure of this visitor."""
        self.failures.take(visitor)

    def _of_token(self, text: str, visitor: str, origin: str) -> Caller:
        hashed = digest(text)
        found = self.directory.by_token(hashed)
        if found is None or not found[1].is_valid(time.time()):
            self.failed(visitor)
            raise Refusal.UNAUTHORIZED.error()
        self.last_used.note(hashed, origin)
        return KnownCaller(self.directory, self.default, found[0], Proof(token=hashed), text)

    def may_read(self, name: str, topic: str) -> bool:
        """Whether a user, or an empty name for everybody, may read a topic now; somebody who is gone may nothing."""
        if not name:
            return self.anonymous.may(topic, write=False)
        user = self.directory.user(name)
        return user is not None and KnownCaller(self.directory, self.default, user).may(topic, write=False)

    async def _of_password(self, login: Login, visitor: str) -> Caller:
        user = self.directory.user(login.name)
        hashed = "" if user is None else user.password
        if not self.passwords.is_known(login.name, login.password, hashed):
            await self.check_password(login, hashed, visitor)
        if user is None:  # not reached: nothing is right for a user who is not there
            raise Refusal.UNAUTHORIZED.error()
        return KnownCaller(self.directory, self.default, user, Proof(password=hashed))

    async def check_password(self, login: Login, hashed: str, visitor: str) -> None:
        """Raises ``NotifyError``: 40101, 42909.

        A failure is counted before it is one: a thousand guesses at the same moment are not one failure.
        """
        shared = self.passwords.is_running(login.name, login.password, hashed)
        if not shared and not self.failures.take(visitor):
            raise Refusal.TOO_MANY_AUTH_FAILURES.error()
        right = await self.passwords.check(login.name, login.password, hashed)
        if not right:
            raise Refusal.UNAUTHORIZED.error()
        if not shared:
            self.failures.give_back(visitor)
