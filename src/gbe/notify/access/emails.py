"""E-mail addresses of a user (section 6.3): pending until a link that was mailed there comes back, then verified.

One verified address is the primary one: ``Email: yes`` leads there, and it stands for the user name when logging in or
asking for a new password. So it is the primary address of one user only.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from gbe.notify.email.mailbox import Mailbox

MAX_EMAILS: Final = 10
"""Addresses of one user, pending ones included."""


class Email(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An address of a user.

    Attributes:
        address: as it was given.
        verified: since when it is known to be the user's, unix seconds; 0: it is pending.
        primary: whether it stands for the user.
    """

    address: str
    verified: int = 0
    primary: bool = False


Emails = Mapping[str, Email]
"""A user's addresses, by ``folded`` address."""


def folded(address: str) -> str:
    """What addresses are compared by: no two people have the same one in another case."""
    return address.lower()


def primary_of(emails: Emails) -> str:
    """The primary address; empty: there is none."""
    return next((email.address for email in emails.values() if email.primary), "")


def mailbox_of(emails: Emails) -> Mailbox:
    """What a user may have mails sent to."""
    verified = frozenset(key for key, email in emails.items() if email.verified)
    return Mailbox(anonymous=False, primary=primary_of(emails), verified=verified)


def with_primary(emails: Emails, address: str) -> dict[str, Email]:
    """The addresses with this one as the primary one, as long as it is there and verified."""
    key = folded(address)
    return {
        each: msgspec.structs.replace(email, primary=each == key and email.verified > 0)
        for each, email in emails.items()
    }
