"""Mails of the server to its users: a link to verify an address, a link to a new password."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.mime.text import MIMEText
from email.utils import format_datetime, formataddr, make_msgid
from typing import Final
from urllib.parse import urlsplit

from gbe.notify.email.compose import as_bytes


@dataclass(frozen=True, slots=True)
class Letter:
    """One kind of mail.

    Attributes:
        subject, text: with ``{host}``, ``{user}`` and ``{link}``.
        path: where the link leads, below the URL of the server; the secret follows it.
    """

    subject: str
    text: str
    path: str


VERIFY: Final = Letter(
    "Verify your address for {host}",
    "Somebody wants messages of {host} to be sent to this address, for the user {user}.\n\n"
    "If that was you, open this link within 24 hours:\n\n{link}\n\n"
    "If it was not, there is nothing to do: nothing more comes here.\n",
    "/v1/account/email/verify?token=",
)
RESET: Final = Letter(
    "A new password for {host}",
    "Somebody has asked for a new password for the user {user} of {host}.\n\n"
    "If that was you, open this link within an hour and choose one:\n\n{link}\n\n"
    "If it was not, there is nothing to do: the old password still counts.\n",
    "/v1/account/password/reset?token=",
)


def compose_letter(letter: Letter, *, base_url: str, user: str, secret: str, to: str, sender: str) -> bytes:
    """The whole mail, lines ended by CR LF.

    Args:
        user: a user name, which has no line breaks.
        secret: of the link; letters and digits.
        to: an address that ``is_address``.
        sender: the address in ``From``.
    """
    host = urlsplit(base_url).hostname or "gbe"
    link = f"{base_url}{letter.path}{secret}"
    mail: Message = MIMEText(letter.text.format(host=host, user=user, link=link), "plain", "utf-8")
    mail["Date"] = format_datetime(datetime.fromtimestamp(time.time(), UTC))
    mail["Message-ID"] = make_msgid(domain=host)
    mail["From"] = formataddr((host, sender))
    mail["To"] = to
    mail["Subject"] = letter.subject.format(host=host)
    mail["Auto-Submitted"] = "auto-generated"
    return as_bytes(mail)
