"""What users do with their e-mail addresses, and with what is mailed there: verify, new password (section 6.3).

Every method raises ``NotifyError`` for what is refused, before anything is written, and ``StateError`` when the store
does not answer.
"""

import hashlib
import time

import msgspec

from gbe.notify.access.accounts import Accounts
from gbe.notify.access.directory import Directory
from gbe.notify.access.emails import MAX_EMAILS, Email, folded
from gbe.notify.access.links import Link, Links, Purpose
from gbe.notify.access.users import User
from gbe.notify.errors import Refusal


class Addresses:
    """Addresses of users; their mails are somebody else's."""

    def __init__(self, accounts: Accounts, directory: Directory, links: Links) -> None:
        self._accounts, self._directory, self._links = accounts, directory, links

    async def add(self, name: str, address: str) -> str:
        """Note an address as pending; the link to mail there. Raises ``NotifyError``: 40907, 40000."""

        def add(user: User) -> User:
            if folded(address) in user.emails:
                raise Refusal.EMAIL_EXISTS.error()
            if len(user.emails) >= MAX_EMAILS:
                raise Refusal.INVALID_REQUEST.error(f"an account has at most {MAX_EMAILS} addresses")
            return msgspec.structs.replace(user, emails={**user.emails, folded(address): Email(address=address)})

        await self._accounts.change(name, add)
        return await self.link(name, address)

    async def link(self, name: str, address: str) -> str:
        """Another link for a pending address. Raises ``NotifyError``: 40401, no such address; 40907, it is verified."""
        user = self._accounts.known(name)
        email = _known(user, address)
        if email.verified:
            raise Refusal.EMAIL_EXISTS.error("the address is verified already")
        return await self._links.make(Link(purpose=Purpose.VERIFY, user=name, user_id=user.id, address=email.address))

    async def verify(self, text: str) -> str:
        """A link has come back: its address is verified, and the primary one if the user had none and nobody has it.

        Returns:
            The name of the user.

        Raises:
            NotifyError: 40051, the link counts no more, or never did.
        """
        link = await self._links.find(text, Purpose.VERIFY)
        if link is None or self._directory.user(link.user) is None:
            raise Refusal.VERIFICATION_LINK_INVALID.error()
        key, user_id, now = folded(link.address), link.user_id, int(time.time())

        def verify(user: User) -> User:
            email = user.emails.get(key)
            if email is None or user.id not in ("", user_id):  # a user of the configuration may have none in the store
                raise Refusal.VERIFICATION_LINK_INVALID.error()
            verified = msgspec.structs.replace(email, verified=email.verified or now)
            return msgspec.structs.replace(user, emails={**user.emails, key: verified})

        user = await self._accounts.change(link.user, verify)
        if not any(email.primary for email in user.emails.values()):
            await self._accounts.take_primary(link.user, link.address)
        await self._links.spend(text)
        return link.user

    async def make_primary(self, name: str, address: str) -> None:
        """Let a verified address stand for the user. Raises ``NotifyError``: 40401, 40052, 40908."""
        email = _known(self._accounts.known(name), address)
        if not email.verified:
            raise Refusal.EMAIL_UNVERIFIED.error()
        if not await self._accounts.take_primary(name, email.address):
            raise Refusal.EMAIL_TAKEN.error()

    async def remove(self, name: str, address: str) -> None:
        """Forget an address. Raises ``NotifyError`` 40401: there is none such."""
        key = folded(address)
        was_primary = _known(self._accounts.known(name), address).primary

        def drop(user: User) -> User:
            left = {each: email for each, email in user.emails.items() if each != key}
            return msgspec.structs.replace(user, emails=left)

        await self._accounts.change(name, drop)
        if was_primary:
            await self._accounts.claims.release(address, name)

    # -- a new password

    async def reset_link(self, address: str) -> tuple[str, User | None]:
        """A link to a new password for the user with this primary address, and that user.

        Somebody who is not there, or whom only the configuration can change, gets a link too, which leads nowhere: who
        asks learns nothing from how long the answer takes.
        """
        user = self._directory.by_email(address)
        if user is not None and self._directory.configured(user.name) is not None:
            user = None
        name, user_id, proof = ("", "", "") if user is None else (user.name, user.id, _proof(user))
        link = Link(purpose=Purpose.RESET, user=name, user_id=user_id, address=address, proof=proof)
        return await self._links.make(link), user

    async def check_reset(self, text: str) -> User:
        """The user of a link to a new password. Raises ``NotifyError`` 40054."""
        link = await self._links.find(text, Purpose.RESET)
        user = None if link is None else self._directory.user(link.user)
        if link is None or user is None or user.id != link.user_id or _proof(user) != link.proof:
            raise Refusal.RESET_LINK_INVALID.error()
        if self._directory.by_email(link.address) is not user:  # the address is not theirs any more
            raise Refusal.RESET_LINK_INVALID.error()
        return user

    async def reset(self, text: str, hashed: str) -> User:
        """Give the user of a link another password, as a bcrypt hash, once. Raises ``NotifyError``: 40054, 40905."""
        user = await self.check_reset(text)
        if not await self._links.spend(text):
            raise Refusal.RESET_LINK_INVALID.error()
        await self._accounts.set_password(user.name, hashed)
        return user


def _known(user: User, address: str) -> Email:
    email = user.emails.get(folded(address))
    if email is None:
        raise Refusal.NOT_FOUND.error("the account has no such address")
    return email


def _proof(user: User) -> str:
    return hashlib.sha256(user.password.encode()).hexdigest()[:32]
