"""Ids. Those of messages are ULIDs (github.com/ulid/spec): 26 characters of Crockford's base32.

48 bits of unix milliseconds, then 80 random bits: ids sort by the time they were made, and a transport can
find a stored message by its id alone, because the id says when to look.
"""

import os
import re
import socket
import time
from typing import Final

ULID_LENGTH: Final = 26
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}
_PAIRS: Final = [high + low for high in _ALPHABET for low in _ALPHABET]  # ten bits at a time: half the steps
_RANDOM_BITS: Final = 80
_RANDOM_MASK: Final = (1 << _RANDOM_BITS) - 1
_MAX_MS: Final = (1 << 48) - 1
_CANONICAL: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def encode_ulid(timestamp_ms: int, randomness: int) -> str:
    """The ULID of a moment (unix milliseconds, below 2**48) and 80 bits of randomness."""
    if not 0 <= timestamp_ms <= _MAX_MS:
        raise ValueError(f"a ULID holds 48 bits of milliseconds, not {timestamp_ms}")
    value = timestamp_ms << _RANDOM_BITS | randomness & _RANDOM_MASK
    pairs = _PAIRS
    return "".join([pairs[value >> shift & 1023] for shift in range(120, -1, -10)])


def decode_ulid(ulid: str) -> tuple[int, int]:
    """The unix milliseconds and the 80 random bits of a ULID.

    Raises:
        ValueError: not 26 characters of the alphabet, or a time beyond 48 bits.
    """
    if len(ulid) != ULID_LENGTH:
        raise ValueError(f"a ULID has 26 characters: {ulid[:40]!r}")
    value = 0
    for character in ulid:
        digit = _VALUES.get(character)
        if digit is None:
            raise ValueError(f"not a character of a ULID: {character!r}")
        value = value << 5 | digit
    timestamp_ms = value >> _RANDOM_BITS
    if timestamp_ms > _MAX_MS:
        raise ValueError(f"a ULID's first character is at most 7: {ulid!r}")
    return timestamp_ms, value & _RANDOM_MASK


def ulid_time_ms(ulid: str) -> int:
    """The moment a ULID names, unix milliseconds. Raises ``ValueError`` as ``decode_ulid`` does."""
    return decode_ulid(ulid)[0]


def is_ulid(text: str) -> bool:
    """Whether ``text`` is a ULID in its canonical (upper-case) spelling."""
    return _CANONICAL.fullmatch(text) is not None


class UlidFactory:
    """Makes ULIDs that rise strictly within one process, also within one millisecond and when the clock steps back."""

    def __init__(self) -> None:
        self._last_ms = 0
        self._randomness = 0

    def __call__(self, now_ms: int | None = None) -> str:
        moment = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        if moment > self._last_ms:
            self._last_ms = moment
            # the top bit stays clear so that increments within the millisecond cannot run over
            self._randomness = int.from_bytes(os.urandom(10)) >> 1
        else:
            self._randomness += 1
        return encode_ulid(self._last_ms, self._randomness)

    @staticmethod
    def randomness() -> int:
        """80 random bits, for a ULID of some other moment than now."""
        return int.from_bytes(os.urandom(10))


new_ulid: Final = UlidFactory()


def process_name() -> str:
    """This process among all of a deployment: ``{host}-{process id}``."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}"
