"""Message ids, and the transport ids that belong to them.

A message id is 12 characters of ``A-Za-z0-9`` (section 2). Ours also say when they were made, so that ``since=ID``
can be looked up by time instead of in an index::

    number = unix_ms * 62**5 + serial            0 <= number < 62**12
    id     = base62(scramble(number))            12 characters

``unix_ms`` has 7 digits to the base of 62, enough until the year 2081. ``serial`` starts at a random place in each
process and moves in steps of a random width that visits all 62**5 places before it repeats one, so a process never
mints an id twice. Two processes collide only with equal serials within one millisecond.

``scramble`` is a bijection that makes neighbours look unrelated: a Feistel network of four rounds over the two
halves of the number, which add a hash of one half to the other, modulo 62**6, where others use exclusive or (the
halves then need not be powers of two). It hides nothing: its constants are below. Ids are unique, not secret.
"""

import itertools
import os
import secrets
from typing import Final

from gbe.ids import decode_ulid, encode_ulid

ID_LENGTH: Final = 12

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS: Final = [high + low for high in _ALPHABET for low in _ALPHABET]  # two digits at a time: half the steps
_VALUES: Final = {pair: value for value, pair in enumerate(_PAIRS)}

_BASE: Final = 62**2
_HALF: Final = 62**6
_SERIALS: Final = 62**5
_MOMENTS: Final = 62**7
_WORD: Final = (1 << 64) - 1
_ROUNDS: Final = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93)  # odd, dense
_SHIFT: Final = 27  # the upper 37 bits of a product depend on every bit of a half

_SAMPLE: Final = 256
_MOST_ALIKE: Final = 0.3

_YEAR_2020_MS: Final = 1_577_836_800_000
_DAY_MS: Final = 86_400_000

# a ULID has 80 bits beside the time: the serial, and 50 bits computed from it that tell our ULIDs from others
_CHECK_BITS: Final = 50
_CHECK_FACTOR: Final = 0x2545F4914F6CDD1D
_CHECK_MASK: Final = (1 << _CHECK_BITS) - 1


class _Serials:
    """Walks through all numbers below 62**5 in an order of its own."""

    __slots__ = ("_count", "_step")

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin somewhere else; a forked child must, or it would mint its parent's ids."""
        self._count = itertools.count(secrets.randbelow(_SERIALS))
        self._step = secrets.randbelow(_SERIALS)
        # not one with a prime factor of 62, nor one of the few whose neighbours look alike even when scrambled
        while self._step % 2 == 0 or self._step % 31 == 0 or _likeness(self._step) > _MOST_ALIKE:
            self._step = secrets.randbelow(_SERIALS)

    def __call__(self) -> int:
        return next(self._count) * self._step % _SERIALS  # next() alone changes something: safe between threads


def _likeness(step: int) -> float:
    """At how many of the 12 places ids agree on average whose serials are a step apart; 0.2 if by chance alone."""
    ids = [_encode(0, number * step % _SERIALS) for number in range(_SAMPLE)]
    return sum(a == b for one, other in itertools.pairwise(ids) for a, b in zip(one, other, strict=True)) / _SAMPLE


def mint(now_ms: int) -> str:
    """A new message id.

    Args:
        now_ms: unix milliseconds, below 62**7.
    """
    if not 0 <= now_ms < _MOMENTS:
        raise ValueError(f"a message id holds times from 1970 to 2081, not {now_ms} ms")
    return _encode(now_ms, _next_serial())


def mint_with_ulid(now_ms: int) -> tuple[str, str]:
    """A new message id and its transport id, made together: ``to_ulid`` of the first would be the second."""
    if not 0 <= now_ms < _MOMENTS:
        raise ValueError(f"a message id holds times from 1970 to 2081, not {now_ms} ms")
    serial = _next_serial()
    return _encode(now_ms, serial), _ulid(now_ms, serial)


def to_ulid(message_id: str, now_ms: int) -> str | None:
    """The transport id of a message id, or ``None`` if the id cannot be one of ours.

    Not ours is what is not 12 alphanumerics, or says a time before 2020 or more than a day after ``now_ms``.
    """
    decoded = _decode(message_id)
    if decoded is None:
        return None
    moment, serial = decoded
    if not _YEAR_2020_MS <= moment <= now_ms + _DAY_MS:
        return None
    return _ulid(moment, serial)


def _ulid(moment: int, serial: int) -> str:
    return encode_ulid(moment, serial << _CHECK_BITS | serial * _CHECK_FACTOR & _CHECK_MASK)


def from_ulid(ulid: str) -> str | None:
    """The message id behind a transport id, or ``None`` if that was not made by ``to_ulid``."""
    try:
        moment, rest = decode_ulid(ulid)
    except ValueError:
        return None
    serial = rest >> _CHECK_BITS
    if rest & _CHECK_MASK != serial * _CHECK_FACTOR & _CHECK_MASK or serial >= _SERIALS or moment >= _MOMENTS:
        return None
    return _encode(moment, serial)


def random_alphanumerics(length: int) -> str:
    """``length`` random characters of ``A-Za-z0-9``, for the ids of actions."""
    number = int.from_bytes(os.urandom(length + 8))  # the surplus makes the bias of the remainder negligible
    characters = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        characters.append(_ALPHABET[digit])
    return "".join(characters)


def _encode(moment: int, serial: int) -> str:
    left, rest = divmod(moment, 62)
    right = rest * _SERIALS + serial
    one, two, three, four = _ROUNDS
    left = (left + ((right * one & _WORD) >> _SHIFT)) % _HALF
    right = (right + ((left * two & _WORD) >> _SHIFT)) % _HALF
    left = (left + ((right * three & _WORD) >> _SHIFT)) % _HALF
    right = (right + ((left * four & _WORD) >> _SHIFT)) % _HALF
    left, c = divmod(left, _BASE)
    a, b = divmod(left, _BASE)
    right, f = divmod(right, _BASE)
    d, e = divmod(right, _BASE)
    pairs = _PAIRS
    return pairs[a] + pairs[b] + pairs[c] + pairs[d] + pairs[e] + pairs[f]


def _decode(message_id: str) -> tuple[int, int] | None:
    if len(message_id) != ID_LENGTH:
        return None
    try:
        a, b, c, d, e, f = [_VALUES[message_id[start : start + 2]] for start in range(0, ID_LENGTH, 2)]
    except KeyError:
        return None
    left = (a * _BASE + b) * _BASE + c
    right = (d * _BASE + e) * _BASE + f
    one, two, three, four = _ROUNDS
    right = (right - ((left * four & _WORD) >> _SHIFT)) % _HALF
    left = (left - ((right * three & _WORD) >> _SHIFT)) % _HALF
    right = (right - ((left * two & _WORD) >> _SHIFT)) % _HALF
    left = (left - ((right * one & _WORD) >> _SHIFT)) % _HALF
    rest, serial = divmod(right, _SERIALS)
    return left * 62 + rest, serial


_next_serial: Final = _Serials()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_next_serial.restart)
