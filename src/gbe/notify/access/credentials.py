"""Credentials as requests carry them (section 10.1): a header, or the same in the query string."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from gbe.notify.errors import Refusal

MAX_CREDENTIALS: Final = 4096
_URL_SAFE: Final = re.compile(r"[-_A-Za-z0-9]*")


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and a password."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class Bearer:
    """An access token."""

    token: str


def from_query(value: str) -> str:
    """The header that ``?auth=`` stands for. Raises ``NotifyError`` 50001: it is not URL-safe Base64."""
    if _URL_SAFE.fullmatch(value) is None or len(value) % 4 == 1:
        raise Refusal.INTERNAL.error()
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode("utf-8", "replace").strip()


def parse(header: str) -> Login | Bearer | None:
    """What an ``Authorization`` header says; ``None`` for schemes that count as no credentials.

    Raises:
        NotifyError: 40101, a scheme of ours that holds nothing usable.
    """
    scheme, space, rest = header.partition(" ")
    if not space or scheme.lower() not in ("basic", "bearer"):
        return None
    if len(header) > MAX_CREDENTIALS:
        raise Refusal.UNAUTHORIZED.error()
    if scheme == "Bearer":
        return Bearer(rest.strip())
    if scheme.lower() != "basic":  # `bearer` in lower case is taken for a malformed Basic header (section 13)
        raise Refusal.UNAUTHORIZED.error()
    name, colon, password = _decoded(rest.strip()).partition(":")
    if not colon:
        raise Refusal.UNAUTHORIZED.error()
    return Login(name, password) if name else Bearer(password)


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True).decode("utf-8", "surrogateescape")
    except (UnicodeError, binascii.Error):
        raise Refusal.UNAUTHORIZED.error() from None
