"""Whose addresses a message may be mailed to (section 4.14)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The e-mail addresses of whoever publishes.

    Attributes:
        anonymous: whether it is nobody in particular, who has none.
        primary: where ``Email: yes`` leads; empty: nowhere.
        verified: addresses that are known to be the user's, in lower case.
    """

    anonymous: bool = True
    primary: str = ""
    verified: frozenset[str] = frozenset()


NOBODY: Final = Mailbox()

Mailboxes = Callable[[], Mailbox]
"""Finds the mailbox of a caller, when it is needed."""


def nobody() -> Mailbox:
    """The mailbox of a caller who is not known."""
    return NOBODY
