"""From one type to another, the way Sprig does: what cannot be read as a number is 0."""

import math
import re
from typing import Final

from gbe.templates.functions.signature import Function
from gbe.templates.limits import Budget
from gbe.templates.nodes import Value
from gbe.templates.values import to_text, wrapped

_INTEGER: Final = re.compile(r"[-+]?(?:0[xX][0-9A-Fa-f]{1,16}|0[bB][01]{1,64}|0[oO]?[0-7]{1,22}|[0-9]{1,20})")
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][-+]?[0-9]{1,4})?")


def to_int(value: Value) -> int:
    """A value as an integer of 64 bits, fractions cut off."""
    match value:
        case bool():
            return int(value)
        case int():
            return wrapped(value)
        case float():
            return wrapped(int(value)) if math.isfinite(value) and abs(value) < 2**63 else -(1 << 63)
        case str() if _INTEGER.fullmatch(value):
            return _read(value)
        case str() if _FLOAT.fullmatch(value):
            return to_int(float(value))
    return 0


def _read(text: str) -> int:
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        digits = "0o" + digits[1:] if all(d in "01234567" for d in digits) else digits.lstrip("0")
    number = int(digits, 0)
    number = -number if text.startswith("-") else number
    return max(-(1 << 63), min(number, (1 << 63) - 1))


def to_float(value: Value) -> float:
    """A value as a ``float64``."""
    match value:
        case bool() | int() | float():
            return float(value)
        case str() if _FLOAT.fullmatch(value):
            return float(value)
    return 0.0


def _atoi(text: str) -> int:
    return int(text) if re.fullmatch(r"[-+]?[0-9]{1,18}", text) else 0


def _octal(value: Value, budget: Budget) -> int:
    text = to_text(value, budget)
    return int(text, 8) if re.fullmatch(r"[0-7]{1,20}", text) else 0


def text_of(value: Value, budget: Budget) -> str:
    """A value as the functions on strings take it."""
    return to_text(value, budget)


def texts_of(value: Value, budget: Budget) -> list[str]:
    """A list as strings, without what is ``nil``; anything else as a list of itself."""
    if not isinstance(value, list):
        return [] if value is None else [text_of(value, budget)]
    budget.items(len(value))
    texts: list[str] = []
    size = 0
    for item in value:
        if item is not None:
            texts.append(text_of(item, budget))
            size += len(texts[-1])
            budget.part(size)
    return texts


TABLE: Final = (
    Function("int", "a", to_int),
    Function("int64", "a", to_int),
    Function("float64", "a", to_float),
    Function("atoi", "s", _atoi),
    Function("toDecimal", "a", lambda budget, value: _octal(value, budget), charges=True),
    Function("toString", "a", lambda budget, value: text_of(value, budget), charges=True),
    Function("toStrings", "a", lambda budget, value: texts_of(value, budget), charges=True),
)
