"""Names and secrets as people and files give them: users, patterns, roles, passwords (section 10.2)."""

import re
from enum import Enum
from typing import Final

from gbe.notify.errors import Refusal

EVERYONE: Final = "*"
"""The user that stands for whoever sends no credentials."""
EVERYONE_SHOWN: Final = "everyone"
MAX_PASSWORD_BYTES: Final = 72
"""What bcrypt takes; the rest would not count, so more is refused."""

_USER: Final = re.compile(r"[-_.+@a-zA-Z0-9]{1,64}")
_PATTERN: Final = re.compile(r"[-_*A-Za-z0-9]{1,64}")


class Role(Enum):
    """What a user is."""

    ADMIN = "admin"
    USER = "user"
    ANONYMOUS = "anonymous"


def check_user_name(name: str) -> str:
    """Return ``name`` if a user can have it. Raises ``NotifyError`` 40046."""
    if _USER.fullmatch(name) is None:
        raise Refusal.USERNAME_INVALID.error("1 to 64 of A-Z a-z 0-9 - _ . + @")
    return name


def check_new_name(name: str) -> str:
    """Return ``name`` if a new user can have it. Raises ``NotifyError`` 40046."""
    check_user_name(name)
    if user_named(name) == EVERYONE:
        raise Refusal.USERNAME_INVALID.error(f"{name} stands for everybody")
    return name


def check_pattern(pattern: str) -> str:
    """Return ``pattern`` if it can stand for topics. Raises ``NotifyError`` 40009."""
    if _PATTERN.fullmatch(pattern) is None:
        raise Refusal.TOPIC_INVALID.error("a topic, or a pattern: 1 to 64 of A-Z a-z 0-9 - _ *")
    return pattern


def check_password(password: str) -> str:
    """Return ``password`` if it can be one; it is never cut. Raises ``NotifyError`` 40000."""
    if not password:
        raise Refusal.INVALID_REQUEST.error("password must not be empty")
    if len(password.encode("utf-8", "surrogateescape")) > MAX_PASSWORD_BYTES:
        raise Refusal.INVALID_REQUEST.error(f"password is too long: at most {MAX_PASSWORD_BYTES} bytes")
    return password


def parse_role(text: str) -> Role:
    """``admin`` or ``user``. Raises ``NotifyError`` 40000."""
    if text not in (Role.ADMIN.value, Role.USER.value):
        raise Refusal.INVALID_REQUEST.error("role must be admin or user")
    return Role(text)


def user_named(name: str) -> str:
    """The user behind a name as people write it: ``everyone`` and ``anonymous`` are ``*``."""
    return EVERYONE if name in (EVERYONE, EVERYONE_SHOWN, Role.ANONYMOUS.value) else name
