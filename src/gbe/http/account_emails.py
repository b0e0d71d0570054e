"""``/v1/account/email…`` and ``…/password/reset…``: addresses of accounts, and links that are mailed (section 6.3)."""

from collections.abc import Iterable
from typing import Final

import msgspec

from gbe.errors import NotifyError
from gbe.http.account_call import SUCCESS, Call, Route, required
from gbe.http.account_pages import HTML, check_secret, done_page, reset_page, verify_page
from gbe.http.account_sync import Sync
from gbe.http.services import Services
from gbe.notify.access.access import Access
from gbe.notify.access.emails import folded
from gbe.notify.access.names import check_password
from gbe.notify.access.users import User
from gbe.notify.email.compose import is_address
from gbe.notify.email.letters import RESET, VERIFY, Letter, compose_letter
from gbe.notify.email.mailer import Mail, Mailer
from gbe.notify.errors import Refusal

_EMAIL: Final = "/v1/account/email"
_RESET: Final = "/v1/account/password/reset"


class _EmailBody(msgspec.Struct, frozen=True):
    email: str | None = None


class _LinkBody(msgspec.Struct, frozen=True):
    token: str | None = None
    new_password: str | None = None
    password: str | None = None


def account_email_endpoints(services: Services, access: Access) -> Iterable[Route]:
    """Addresses: add, verify, choose, remove; and the way to a new password. The pages are what mailed links open."""
    emails = _Emails(services, access)
    return (
        Route("PUT", _EMAIL, emails.add),
        Route("DELETE", _EMAIL, emails.remove),
        Route("POST", f"{_EMAIL}/primary", emails.make_primary),
        Route("POST", f"{_EMAIL}/resend", emails.send_again),
        Route("POST", f"{_EMAIL}/verify", emails.verify),
        Route("GET", f"{_EMAIL}/verify", emails.show_verify, HTML),
        Route("POST", f"{_EMAIL}/verify/form", emails.verify_by_form, HTML),
        Route("POST", f"{_RESET}/request", emails.ask_for_password),
        Route("POST", _RESET, emails.reset),
        Route("GET", _RESET, emails.show_reset, HTML),
        Route("POST", f"{_RESET}/form", emails.reset_by_form, HTML),
    )


class _Emails:
    def __init__(self, services: Services, access: Access) -> None:
        self._services, self._access = services, access
        self._sync = Sync(services)

    # -- addresses

    async def add(self, call: Call) -> bytes:
        """Note an address, and mail a link there."""
        user, mailer = call.logged_in(), self._mailer()
        address = await _address(call)
        if folded(address) in user.emails:
            raise Refusal.EMAIL_EXISTS.error()
        self._charge(call, address)
        secret = await self._access.addresses.add(user.name, address)
        self._mail(mailer, VERIFY, user, secret, address)
        return await self._changed(user)

    async def send_again(self, call: Call) -> bytes:
        """Mail another link to an address that is pending."""
        user, mailer = call.logged_in(), self._mailer()
        address = await _address(call)
        self._charge(call, address)
        secret = await self._access.addresses.link(user.name, address)
        self._mail(mailer, VERIFY, user, secret, address)
        return SUCCESS

    async def make_primary(self, call: Call) -> bytes:
        user = call.logged_in()
        await self._access.addresses.make_primary(user.name, await _address(call))
        return await self._changed(user)

    async def remove(self, call: Call) -> bytes:
        user = call.logged_in()
        await self._access.addresses.remove(user.name, await _address(call))
        return await self._changed(user)

    async def verify(self, call: Call) -> bytes:
        """A link has come back, from whoever reads the mail."""
        body = await call.body(_LinkBody)
        await self._verify(call, required(body.token, "token"))
        return SUCCESS

    async def show_verify(self, call: Call) -> bytes:
        """What the link opens: a page with a button, because programs that look through mails open links too."""
        return verify_page(check_secret(call.query("token"), Refusal.VERIFICATION_LINK_INVALID))

    async def verify_by_form(self, call: Call) -> bytes:
        await self._verify(call, (await call.form()).get("token", ""))
        return done_page("Your address is verified.")

    async def _verify(self, call: Call, secret: str) -> None:
        self._access.check_failures(call.visitor.key)
        try:
            name = await self._access.addresses.verify(secret)
        except NotifyError:
            self._access.failed(call.visitor.key)
            raise
        user = self._access.directory.user(name)
        if user is not None:
            await self._sync.tell(user)

    # -- a new password

    async def ask_for_password(self, call: Call) -> bytes:
        """Mail a link to a user's primary address. Whether there is such a user is not told."""
        mailer = self._mailer()
        address = await _address(call)
        self._charge(call, address)
        secret, user = await self._access.addresses.reset_link(address)
        if user is not None:
            self._mail(mailer, RESET, user, secret, address)
        return SUCCESS

    async def reset(self, call: Call) -> bytes:
        """The link has come back, with the new password."""
        body = await call.body(_LinkBody)
        password = required(body.new_password or body.password, "new_password")
        await self._reset(call, required(body.token, "token"), password)
        return SUCCESS

    async def show_reset(self, call: Call) -> bytes:
        return reset_page(check_secret(call.query("token"), Refusal.RESET_LINK_INVALID))

    async def reset_by_form(self, call: Call) -> bytes:
        form = await call.form()
        await self._reset(call, form.get("token", ""), form.get("new_password", ""))
        return done_page("Your password is changed.")

    async def _reset(self, call: Call, secret: str, password: str) -> None:
        check_password(password)
        self._access.check_failures(call.visitor.key)
        try:
            await self._access.addresses.check_reset(secret)  # before a hash is made for whoever guesses
            user = await self._access.addresses.reset(secret, await self._access.passwords.hashed(password))
        except NotifyError as exc:
            if exc.code == Refusal.RESET_LINK_INVALID.code:
                self._access.failed(call.visitor.key)
            raise
        await self._sync.tell(user)

    # -- what they share

    async def _changed(self, user: User) -> bytes:
        await self._sync.tell(user)
        return SUCCESS

    def _mailer(self) -> Mailer:
        if self._services.mailer is None:
            raise Refusal.EMAIL_DISABLED.error("this server sends no e-mail")
        return self._services.mailer

    def _charge(self, call: Call, address: str) -> None:
        """A mail counts for whoever asks for it and for where it goes: nobody's letterbox is filled by many visitors.

        Raises ``NotifyError`` 42902.
        """
        call.visitor.take_email()
        self._services.visitors.known(f"mail to {folded(address)}").take_email()

    def _mail(self, mailer: Mailer, letter: Letter, user: User, secret: str, address: str) -> None:
        notify = self._services.notify
        content = compose_letter(
            letter,
            base_url=notify.base_url,
            user=user.name,
            secret=secret,
            to=address,
            sender=notify.smtp_sender_from,
        )
        mailer.send(Mail(address, content))


async def _address(call: Call) -> str:
    address = required((await call.body(_EmailBody)).email, "email")
    if not is_address(address):
        raise Refusal.EMAIL_INVALID.error()
    return address
