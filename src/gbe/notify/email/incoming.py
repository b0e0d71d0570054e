"""A mail as a message (section 11.1): which topic, which text. Pure, linear in the size of the mail."""

import re
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.parser import BytesParser
from html import unescape
from itertools import islice
from typing import Final

from gbe.errors import GbeError
from gbe.notify.config import NotifyConfig
from gbe.notify.text import one_line, trim, without_nul
from gbe.notify.topics import is_topic_name

MAX_MAIL_BYTES: Final = 1024 * 1024
_MAX_DEPTH: Final = 2
_MAX_PARTS: Final = 100
_MAX_CONTAINERS: Final = 20
_MAX_DELIMITERS: Final = 2000
_MAX_TITLE_BYTES: Final = 1024
_MAX_TEXT_BYTES: Final = 256 * 1024
"""Of a part, before anything is done with it: the message is cut to a small piece of it anyway."""

_CONTAINER: Final = re.compile(rb"(?:multipart|message)/", re.IGNORECASE)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_LINE_BREAK: Final = re.compile(r"br\s*/?", re.IGNORECASE)
_HIDDEN: Final = ("script", "style", "head")
_MANY_LINES: Final = re.compile(r"\n{3,}")


class MailRefusedError(GbeError):
    """A mail that becomes no message; ``reply`` is what the other server is told."""

    def __init__(self, reply: str) -> None:
        self.reply = reply
        super().__init__(reply)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where a mail goes.

    Attributes:
        token: an access token of the address, or an empty string.
    """

    topic: str
    token: str


@dataclass(frozen=True, slots=True)
class IncomingMail:
    """What a mail says; an empty title is none."""

    title: str
    message: str


def read_recipient(address: str, config: NotifyConfig) -> Recipient:
    """The topic of ``[PREFIX]TOPIC@DOMAIN`` or ``[PREFIX]TOPIC+TOKEN@DOMAIN``. Raises ``MailRefusedError``."""
    local, at, domain = address.rpartition("@")
    if not at or domain.lower() != config.smtp_server_domain.lower():
        raise MailRefusedError("550 5.1.2 no mail for this domain here")
    prefix = config.smtp_server_addr_prefix
    if not local.startswith(prefix):
        raise MailRefusedError("550 5.1.1 no such address")
    topic, plus, token = local[len(prefix) :].partition("+")
    if not is_topic_name(topic) or (plus and not _TOKEN.fullmatch(token)):
        raise MailRefusedError("550 5.1.1 no such address")
    return Recipient(topic, token)


def read_mail(content: bytes, *, limit: int) -> IncomingMail:
    """Title and text of a mail.

    Args:
        content: all of it, at most ``MAX_MAIL_BYTES``.
        limit: the bytes at which a message is too long; the text is cut below that.

    Raises:
        MailRefusedError: it holds no text, or is nested too deep.
    """
    _check_structure(content)
    try:
        mail = BytesParser().parsebytes(content)
        text = _text(mail)
        subject = one_line(_cut(decode_subject(str(mail.get("Subject", ""))), _MAX_TITLE_BYTES))
    except MailRefusedError:
        raise
    except Exception as exc:  # the standard library's parser raises errors of any type for mails that are malformed
        raise MailRefusedError("554 5.6.0 this mail cannot be read") from exc
    message = _cut(trim(without_nul(text).replace("\r\n", "\n")), limit - 1)
    if not message:
        return IncomingMail("", trim(subject))
    return IncomingMail(trim(subject), message)


def _check_structure(content: bytes) -> None:
    """Before the parser sees it, which hands every line through every level and makes an object of every part."""
    containers = sum(1 for _ in islice(_CONTAINER.finditer(content), _MAX_CONTAINERS + 1))
    if containers > _MAX_CONTAINERS or (containers and content.count(b"\n--") > _MAX_DELIMITERS):
        raise MailRefusedError("554 5.6.0 this mail has too many parts")


def decode_subject(text: str) -> str:
    """A header with its RFC 2047 words decoded, in any charset that is known."""
    try:
        pieces = decode_header(text)
    except (HeaderParseError, ValueError):
        return text
    return "".join(_decoded(raw, charset) if isinstance(raw, bytes) else raw for raw, charset in pieces)


def _decoded(raw: bytes, charset: str | None) -> str:
    try:
        return raw.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):  # a charset that nobody knows, or that is none of text
        return raw.decode("utf-8", "replace")


def _text(mail: Message) -> str:
    """The plain text, else the text of the HTML."""
    found: dict[str, str] = {}
    _collect(mail, found, depth=0, parts=[0])
    if "text/plain" in found:
        return found["text/plain"]
    if "text/html" in found:
        return html_text(found["text/html"])
    raise MailRefusedError("554 5.6.1 only mails with text/plain or text/html are taken")


def _collect(part: Message, found: dict[str, str], *, depth: int, parts: list[int]) -> None:
    parts[0] += 1
    if parts[0] > _MAX_PARTS:
        raise MailRefusedError("554 5.6.0 this mail has too many parts")
    kind = part.get_content_type()
    if part.is_multipart():
        if not kind.startswith("multipart/"):
            return  # a mail within the mail is not its text
        if depth >= _MAX_DEPTH:
            raise MailRefusedError("554 5.6.0 this mail is nested too deep")
        for inner in part.get_payload():
            if isinstance(inner, Message):
                _collect(inner, found, depth=depth + 1, parts=parts)
        return
    if kind in ("text/plain", "text/html") and kind not in found and part.get_content_disposition() != "attachment":
        payload = part.get_payload(decode=True)
        raw = payload if isinstance(payload, bytes) else b""
        found[kind] = _decoded(raw[:_MAX_TEXT_BYTES], part.get_content_charset("utf-8"))


def html_text(html: str) -> str:
    """The text of HTML: tags go, ``<br>`` becomes a newline, more than two newlines shrink. In linear time."""
    pieces: list[str] = []
    done = 0
    while (start := html.find("<", done)) >= 0:
        pieces.append(html[done:start])
        if html.startswith("<!--", start):
            end = html.find("-->", start + 4)
            done = len(html) if end < 0 else end + 3
            continue
        end = html.find(">", start)
        if end < 0:
            done = len(html)
            break
        tag = html[start + 1 : end]
        if _LINE_BREAK.fullmatch(tag[:40]):
            pieces.append("\n")
        done = end + 1
        name = tag[:10].split(None, 1)[0].lower() if tag.strip() else ""
        if name in _HIDDEN:
            done = _after(html, name, done)
    pieces.append(html[done:])
    text = unescape("".join(pieces)).replace("\r\n", "\n")
    text = "\n".join(map(trim, text.split("\n")))
    return _MANY_LINES.sub("\n\n", text)


def _after(html: str, name: str, start: int) -> int:
    """Where an element ends whose content is no text; without an end, at the end of all."""
    found = re.compile(f"</{name}[^>]{{0,40}}>", re.IGNORECASE).search(html, start)
    return len(html) if found is None else found.end()


def _cut(text: str, limit: int) -> str:
    """At most ``limit`` bytes of ``text``, whole characters."""
    return text.encode("utf-8", "replace")[: max(limit, 0)].decode("utf-8", "ignore")
