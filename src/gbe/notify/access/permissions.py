"""What access-control entries allow, and which of several entries decides (section 10.3)."""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from gbe.notify.errors import Refusal

_REMEMBERED: Final = 4096


class Permission(Enum):
    """What an entry allows; the values are the names that ntfy shows."""

    READ_WRITE = "read-write"
    READ_ONLY = "read-only"
    WRITE_ONLY = "write-only"
    DENY_ALL = "deny-all"

    @property
    def reads(self) -> bool:
        """Whether subscribing is allowed."""
        return self in (Permission.READ_WRITE, Permission.READ_ONLY)

    @property
    def writes(self) -> bool:
        """Whether publishing is allowed."""
        return self in (Permission.READ_WRITE, Permission.WRITE_ONLY)


_SHORT: Final[Mapping[str, Permission]] = {
    "rw": Permission.READ_WRITE,
    "read": Permission.READ_ONLY,
    "ro": Permission.READ_ONLY,
    "write": Permission.WRITE_ONLY,
    "wo": Permission.WRITE_ONLY,
    "deny": Permission.DENY_ALL,
    "none": Permission.DENY_ALL,
}
_NAMES: Final[Mapping[str, Permission]] = {**{each.value: each for each in Permission}, **_SHORT}


def parse_permission(text: str) -> Permission:
    """A permission by any of its names, in any case. Raises ``NotifyError`` 40025."""
    found = _NAMES.get(text.strip().lower())
    if found is None:
        raise Refusal.PERMISSION_INVALID.error()
    return found


class Grants:
    """The entries of one user, or of everybody; immutable.

    Args:
        entries: pattern to permission; ``*`` in a pattern stands for any run of characters.
    """

    __slots__ = ("_known", "_ranked")

    def __init__(self, entries: Mapping[str, Permission]) -> None:
        ranked = sorted(entries.items(), key=lambda entry: _rank(*entry))
        self._ranked = [(tuple(pattern.split("*")), permission) for pattern, permission in ranked]
        self._known: dict[str, Permission | None] = {}

    def find(self, topic: str) -> Permission | None:
        """What the entry says that decides for this topic; ``None``: no entry is about it."""
        if topic in self._known:
            return self._known[topic]
        found = next((permission for pieces, permission in self._ranked if _matches(pieces, topic)), None)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[topic] = found
        return found


def _rank(pattern: str, permission: Permission) -> tuple[int, bool, bool]:
    """The order in which entries are asked: longer patterns first, then what grants writing, then reading.

    ntfy stores an underscore with an escape in front, so it counts two.
    """
    return -len(pattern) - pattern.count("_"), not permission.writes, not permission.reads


def _matches(pieces: tuple[str, ...], topic: str) -> bool:
    """Whether a pattern, split at its wildcards, covers a topic; the time is bounded, unlike a regex's."""
    if len(pieces) == 1:
        return pieces[0] == topic
    first, *inner, last = pieces
    if len(first) + len(last) > len(topic) or not (topic.startswith(first) and topic.endswith(last)):
        return False
    place, end = len(first), len(topic) - len(last)
    for piece in inner:
        place = topic.find(piece, place, end)
        if place < 0:
            return False
        place += len(piece)
    return True
