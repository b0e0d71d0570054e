"""Priorities by number and by name (section 4.3)."""

from typing import Final

from gbe.notify.errors import Refusal

DEFAULT: Final = 3  # what an unset priority counts as in filters

_PRIORITIES: Final = {
    "1": 1, "2": 2, "3": 3, "4": 4, "5": 5,
    "min": 1, "low": 2, "default": 3, "high": 4, "max": 5, "urgent": 5,
}  # fmt: skip


def parse_priority(text: str) -> int:
    """The priority, 1 to 5, that a number or a name (in any case) stands for.

    Raises:
        NotifyError: 40007, anything else; ``0``, ``6`` and ``3.0`` included.
    """
    priority = _PRIORITIES.get(text) or _PRIORITIES.get(text.lower())
    if priority is None:
        raise Refusal.PRIORITY_INVALID.error()
    return priority
