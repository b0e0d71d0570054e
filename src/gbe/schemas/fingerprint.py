"""Fingerprints of failures: alike failures share one, however many messages they befell.

Alike are failures of one consumer group on one kind of subject, with one type of error and one reason, once what
differs from message to message (numbers, ids, hashes) is left out.
"""

import hashlib
import re
from typing import Final

MAX_CHARACTERS: Final = 1024

# what differs from message to message, the most specific first; each becomes one `#`
_VARYING: Final = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"  # UUID
    r"|(?<![0-9A-Za-z])[0-7][0-9A-HJKMNP-TV-Z]{25}(?![0-9A-Za-z])"  # ULID
    r"|0[xX][0-9a-fA-F]+"
    r"|(?<![0-9A-Za-z])(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{8,}(?![0-9A-Za-z])"  # a hash: hexadecimal, with some digit
    r"|[0-9]+(?:[.,:][0-9]+)*"  # a number, a time, an address
)


def normalised(text: str) -> str:
    """A text without what differs from message to message: each number, id and hash is a ``#``."""
    return " ".join(_VARYING.sub("#", text[:MAX_CHARACTERS]).split())


def fingerprint(*, group: str, subject: str, error_type: str | None, reason: str) -> str:
    """16 hexadecimal digits, equal for alike failures. The subject names the domain too."""
    parts = (group, normalised(subject), error_type or "", normalised(reason))
    return hashlib.blake2b("\n".join(parts).encode(errors="replace"), digest_size=8).hexdigest()
