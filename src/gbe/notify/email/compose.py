"""A notification as a mail (section 11.2).

Whatever a publisher writes becomes text of one line before it comes near a header, and headers are encoded words as
soon as they are not ASCII: nobody can add a header, a recipient or a part.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.charset import BASE64, Charset
from email.header import Header
from email.message import Message
from email.mime.text import MIMEText
from email.utils import format_datetime, formataddr, make_msgid
from typing import Final
from urllib.parse import urlsplit

from rich.emoji import Emoji, NoEmoji

from gbe.notify.priority import DEFAULT
from gbe.notify.text import one_line, trim
from gbe.schemas.notify import Notification

ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
"""What a mail server may be asked to deliver to: ASCII without blanks, commas, semicolons and controls."""

_CHARSET: Final = Charset("utf-8")
_CHARSET.header_encoding = BASE64
_LONGEST_SUBJECT: Final = 400
_LONGEST_ADDRESS: Final = 254
_PRIORITIES: Final = {1: "min", 2: "low", 3: "default", 4: "high", 5: "max"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a message came from.

    Attributes:
        base_url: of this server.
        topic: the message's.
        sender: the publisher's address.
    """

    base_url: str
    topic: str
    sender: str


def is_address(text: str) -> bool:
    """Whether mail can be sent there: one plain address."""
    return len(text) <= _LONGEST_ADDRESS and ADDRESS.fullmatch(text) is not None


def compose_mail(notification: Notification, origin: Origin, *, to: str, sender: str) -> bytes:
    """The whole mail, lines ended by CR LF.

    Args:
        to: an address that ``is_address``.
        sender: the address in ``From``.
    """
    emojis, words = split_tags(notification.tags)
    subject = one_line(notification.title or notification.message or "")
    host = urlsplit(origin.base_url).hostname or "gbe"
    mail: Message = MIMEText(_body(notification, words, origin), "plain", "utf-8")
    mail["Date"] = format_datetime(datetime.fromtimestamp(notification.time, UTC))
    mail["Message-ID"] = make_msgid(idstring=notification.id, domain=host)
    mail["From"] = formataddr((f"{host}/{origin.topic}", sender))
    mail["To"] = to
    mail["Subject"] = _encoded(trim(" ".join((*emojis, subject)))[:_LONGEST_SUBJECT])
    mail["Auto-Submitted"] = "auto-generated"
    return as_bytes(mail)


def as_bytes(mail: Message) -> bytes:
    """A mail as it is sent."""
    return mail.as_bytes(policy=mail.policy.clone(linesep="\r\n", max_line_length=998))


def split_tags(tags: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Tags that are names of emojis, as emojis; and the others."""
    emojis: list[str] = []
    words: list[str] = []
    for tag in tags:
        try:
            emojis.append(str(Emoji(tag)))
        except NoEmoji:
            words.append(tag)
    return emojis, words


def _encoded(text: str) -> str:
    return text if text.isascii() else Header(text, _CHARSET, header_name="Subject").encode(linesep="\r\n")


def _body(notification: Notification, words: list[str], origin: Origin) -> str:
    lines: list[str] = []
    if words:
        lines.append(f"Tags: {', '.join(map(one_line, words))}")
    if notification.priority not in (None, DEFAULT):
        lines.append(f"Priority: {_PRIORITIES[notification.priority or DEFAULT]}")
    moment = datetime.fromtimestamp(notification.time, UTC)
    footer = (
        f"This message was sent by {origin.sender} at {moment:%a, %d %b %Y %H:%M:%S} UTC "
        f"via {origin.base_url}/{origin.topic}"
    )
    blocks = [notification.message or "", "\n".join(lines), f"--\n{footer}"]
    return "\n\n".join(block for block in blocks if block) + "\n"
