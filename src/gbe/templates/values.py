"""Values as Go has them: JSON numbers are ``float64`` and print as such, a key that is missing is not ``null``."""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from gbe.errors import TemplateFailedError
from gbe.templates.limits import MAX_DEPTH, Budget
from gbe.templates.nodes import Value


class Missing:
    """What a key that is not there leads to: its fields are missing too, and as an argument it is ``nil``."""


MISSING: Final = Missing()
NO_VALUE: Final = "<no value>"
NIL: Final = "<nil>"

_MIN_EXPONENT, _MAX_EXPONENT = -4, 6


def type_name(value: Value) -> str:
    """The name that Go gives to the type of a value."""
    match value:
        case None | Missing():
            return "<nil>"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float64"
        case str():
            return "string"
        case list():
            return "[]interface {}"
        case datetime():
            return "time.Time"
    return "map[string]interface {}"


def kind_name(value: Value) -> str:
    """The kind of a value: ``slice`` and ``map`` rather than the whole type."""
    match value:
        case None | Missing():
            return "invalid"
        case list():
            return "slice"
        case datetime():
            return "struct"
        case dict():
            return "map"
    return type_name(value)


def is_true(value: Value) -> bool:
    """Whether ``if`` takes it for true: neither zero nor empty."""
    return value is not MISSING and bool(value)


def wrapped(number: int) -> int:
    """An integer as 64 bits hold it."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def format_float(number: float) -> str:
    """A ``float64`` as ``%v`` prints it: the shortest digits that read back, exponents from 1e+06 on."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    return shortest(number)


def shortest(number: float, letter: str = "e") -> str:
    """The shortest digits of a finite number, with an exponent below 1e-04 and from 1e+06 on."""
    sign = "-" if math.copysign(1.0, number) < 0 else ""
    if number == 0:
        return sign + "0"
    digits, exponent = _scientific(abs(number))
    if exponent < _MIN_EXPONENT or exponent >= _MAX_EXPONENT:
        fraction = "." + digits[1:] if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{fraction}{letter}{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    rest = digits[exponent + 1 :]
    return f"{sign}{whole}.{rest}" if rest else sign + whole


def _scientific(number: float) -> tuple[str, int]:
    """Digits without trailing zeros, and the exponent of the first."""
    text = repr(number)
    mantissa, _, power = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole + fraction
    exponent = len(whole) - 1 + int(power or 0)
    leading = len(digits) - len(digits.lstrip("0"))
    digits = digits.lstrip("0").rstrip("0") or "0"
    return digits, exponent - leading


def to_text(value: Value, budget: Budget) -> str:
    """A value as ``{{.}}`` and ``%v`` print it, except that what is nothing is ``<nil>``.

    Raises:
        TemplateError: it is too long, too deep, or too much was made before.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, list | dict):
        return _scalar(value)
    parts: list[str] = []
    size = 0
    for part in _parts(value, budget, 0):
        size += len(part)
        budget.part(size)
        parts.append(part)
    budget.string(size)
    return "".join(parts)


def _scalar(value: Value) -> str:
    match value:
        case None | Missing():
            return NIL
        case bool():
            return "true" if value else "false"
        case float():
            return format_float(value)
        case datetime():
            offset = f"{value:%z}" or "+0000"
            return f"{value:%Y-%m-%d %H:%M:%S} {offset[:5]} {value.tzname() or 'UTC'}"
    return str(value)


def _parts(value: Value, budget: Budget, depth: int) -> Iterator[str]:
    check_depth(depth)
    match value:
        case list():
            yield "["
            for number, item in enumerate(value):
                if number:
                    yield " "
                yield from _parts(item, budget, depth + 1)
            yield "]"
        case dict():
            yield "map["
            for number, key in enumerate(sorted_keys(value, budget)):
                yield f" {key}:" if number else f"{key}:"
                yield from _parts(value[key], budget, depth + 1)
            yield "]"
        case str():
            yield value
        case _:
            yield _scalar(value)


def sorted_keys(value: dict[str, Value], budget: Budget) -> list[str]:
    """The keys of a dictionary in the order in which Go walks it."""
    budget.items(len(value))
    return sorted(value)


def check_depth(depth: int) -> None:
    """Raises ``TemplateFailedError`` for values that are nested too deep, in themselves for instance."""
    if depth > MAX_DEPTH:
        raise TemplateFailedError(f"a value is nested more than {MAX_DEPTH} deep")


def deep_equal(one: Value, other: Value, budget: Budget, depth: int = 0) -> bool:
    """Whether two values are the same, types included."""
    check_depth(depth)
    budget.spend()
    if type(one) is not type(other):
        return False
    match one, other:
        case list(), list():
            return len(one) == len(other) and all(
                deep_equal(a, b, budget, depth + 1) for a, b in zip(one, other, strict=True)
            )
        case dict(), dict():
            return one.keys() == other.keys() and all(
                deep_equal(item, other[key], budget, depth + 1) for key, item in one.items()
            )
        case str(), str():
            budget.look_at(len(one))
    return one == other
