"""Access tokens (section 10.2): ``tk_`` and 29 characters. Only their hash is kept.

A token has some 150 random bits, so a plain SHA-256 of it can be looked up, and nobody can turn it back.
"""

import hashlib
import re
import secrets
from typing import Final

import msgspec

MAX_TOKENS: Final = 60
"""Of one user; beyond that the oldest fall away."""
DEFAULT_LIFE: Final = 72 * 3600
"""Seconds that a token lives which was made without an expiry over HTTP."""
MAX_LABEL: Final = 200

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_LENGTH: Final = 32
_SHOWN: Final = 11
_TOKEN: Final = re.compile(r"tk_[-_A-Za-z0-9]{29}")


class Token(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a token.

    Attributes:
        shown: its beginning, padded with asterisks: enough to tell a user's tokens apart.
        label: what people call it.
        expires: unix seconds; 0: never.
        created: unix seconds.
        provisioned: whether it is from the configuration.
    """

    shown: str
    label: str = ""
    expires: int = 0
    created: int = 0
    provisioned: bool = False

    def is_valid(self, now: float) -> bool:
        """Whether it has not expired by ``now``, unix seconds."""
        return not self.expires or self.expires > now


def new_token() -> str:
    """A random token."""
    return "tk_" + random_text(_LENGTH - 3)


def random_text(length: int) -> str:
    """Random lower-case letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def is_token(text: str) -> bool:
    """Whether ``text`` has the form of a token."""
    return _TOKEN.fullmatch(text) is not None


def digest(token: str) -> str:
    """What is kept of a token: its SHA-256, in hex."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def shown(token: str) -> str:
    """A token as lists show it."""
    return token[:_SHOWN].ljust(_LENGTH, "*")
