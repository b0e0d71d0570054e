"""What is one JSON document of the contract, whatever it means: UTF-8 throughout, and not nested too deep.

A decoder that follows a document down needs stack for each level. How much there is depends on the language, on its
library and on who called, so the contract sets the bound, and every decoder looks before it goes down.
"""

import re
from itertools import accumulate
from typing import Final

import msgspec

MAX_DEPTH: Final = 512
"""Lists and objects in one another, the outermost included: ``x-max-depth`` of ``schemas/json/payload.json``."""

_TEXT: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_OPEN, _CLOSE = b"[{", b"]}"
_NO_BRACKETS: Final = bytes(set(range(256)) - set(_OPEN + _CLOSE))
_STEPS: Final = {**dict.fromkeys(_OPEN, 1), **dict.fromkeys(_CLOSE, -1)}
_skim: Final = msgspec.json.Decoder(msgspec.Raw).decode

FAULTS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)
"""What a decoder of msgspec raises about bytes, and what ``check_document`` does: deep nesting and numbers of thousands
of digits have errors of their own."""


def depth_of(document: bytes) -> int:
    """How deep lists and objects are nested in JSON; of what is not JSON it may be anything.

    A document with few brackets is not looked at any closer: then it is their number, which is no less.
    """
    opened = document.count(b"[") + document.count(b"{")
    if opened < MAX_DEPTH:
        return opened
    brackets = _TEXT.sub(b"", document).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def check_document(document: bytes) -> None:
    """What a decoder that skips unknown fields does not look at.

    Raises:
        ValueError: it is not UTF-8, or nested deeper than ``MAX_DEPTH``.
    """
    if not document.isascii():
        document.decode()
    if depth_of(document) > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")


def fault_of(document: bytes) -> str | None:
    """Why some bytes are not one JSON document of the contract; ``None`` if they are."""
    try:
        check_document(document)
        _skim(document)
    except FAULTS as exc:
        return str(exc)
    return None


def fits_inside(document: bytes) -> bool:
    """Whether some bytes are a document that may be a member of another one: one level is the other one's."""
    return depth_of(document) < MAX_DEPTH and fault_of(document) is None
