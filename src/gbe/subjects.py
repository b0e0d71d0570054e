"""Subjects and patterns (system.md section 3).

A subject is dot-separated tokens of ``[A-Za-z0-9_-]``, at most 255 bytes. A pattern may use ``*`` for exactly one
token and a final ``>`` for one or more.
"""

import re
from functools import lru_cache
from typing import Final

from gbe.errors import InvalidSubjectError

MAX_SUBJECT_BYTES: Final = 255
DEFAULT_NAMESPACE: Final = "gbe"

# \Z, not $: a `$` also matches before a final newline
_SUBJECT: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\Z")
_PATTERN: Final = re.compile(r"(?:[A-Za-z0-9_-]+|\*)(?:\.(?:[A-Za-z0-9_-]+|\*))*(?:\.>)?\Z|>\Z")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+\Z")


@lru_cache(maxsize=8192)
def check_subject(subject: str) -> str:
    """Return ``subject`` if it is one.

    Raises:
        InvalidSubjectError: too long, an empty token, a wildcard or a character outside the rules.
    """
    if len(subject) > MAX_SUBJECT_BYTES:
        raise InvalidSubjectError(subject, f"{len(subject)} bytes is over the limit of {MAX_SUBJECT_BYTES}")
    if _SUBJECT.match(subject) is None:
        raise InvalidSubjectError(subject, "expected dot-separated tokens of A-Z a-z 0-9 _ -, without wildcards")
    return subject


@lru_cache(maxsize=4096)
def check_pattern(pattern: str) -> str:
    """Return ``pattern`` if it is one; every subject is a pattern too.

    Raises:
        InvalidSubjectError: as ``check_subject``, or a ``>`` that is not the last token.
    """
    if len(pattern) > MAX_SUBJECT_BYTES:
        raise InvalidSubjectError(pattern, f"{len(pattern)} bytes is over the limit of {MAX_SUBJECT_BYTES}")
    if _PATTERN.match(pattern) is None:
        raise InvalidSubjectError(
            pattern, "expected tokens of A-Z a-z 0-9 _ -, `*` for one token, a final `>` for more"
        )
    return pattern


def is_token(text: str) -> bool:
    """Whether ``text`` may stand between two dots of a subject."""
    return _TOKEN.match(text) is not None


def is_literal(pattern: str) -> bool:
    """Whether a pattern has no wildcard, so that it names one subject."""
    return "*" not in pattern and ">" not in pattern


def matches(pattern: str, subject: str) -> bool:
    """Whether ``pattern`` covers ``subject``. Both are taken to be valid."""
    if pattern == subject:
        return True
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(given) <= len(wanted):
            return False
    elif len(wanted) != len(given):
        return False
    return all(want in {"*", have} for want, have in zip(wanted, given, strict=False))


def overlaps(first: str, second: str) -> bool:
    """Whether some subject is covered by both patterns."""
    one, two = first.split("."), second.split(".")
    for left, right in zip(one, two, strict=False):
        if ">" in {left, right}:
            return True
        if left != right and "*" not in {left, right}:
            return False
    return len(one) == len(two)
