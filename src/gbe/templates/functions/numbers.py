"""Numbers: integers have 64 bits and wrap, as in Go."""

import math
import secrets
from collections.abc import Callable
from functools import reduce
from typing import Final

from gbe.errors import TemplateFailedError
from gbe.templates.functions.conversions import to_float, to_int
from gbe.templates.functions.signature import Function
from gbe.templates.limits import Budget
from gbe.templates.nodes import Value
from gbe.templates.values import wrapped


def _folded(operation: Callable[[int, int], int]) -> Callable[..., int]:
    def folded(*values: Value) -> int:
        return reduce(lambda one, other: wrapped(operation(one, other)), map(to_int, values))

    return folded


def _div(one: Value, other: Value) -> int:
    dividend, divisor = to_int(one), to_int(other)
    quotient = abs(dividend) // abs(divisor)  # ZeroDivisionError is an ArithmeticError
    return wrapped(quotient if (dividend < 0) == (divisor < 0) else -quotient)


def _mod(one: Value, other: Value) -> int:
    dividend, divisor = to_int(one), to_int(other)
    rest = abs(dividend) % abs(divisor)
    return -rest if dividend < 0 else rest


def _round(value: Value, digits: int, *half: Value) -> float:
    number = to_float(value)
    if not -300 <= digits <= 300 or not math.isfinite(number):
        return number
    power = 10.0**digits
    scaled = number * power
    if not math.isfinite(scaled):
        return number
    whole = math.floor(scaled)
    return (whole + 1 if scaled - whole >= (to_float(half[0]) if half else 0.5) else whole) / power


def _whole(rounded: Callable[[float], int]) -> Callable[[Value], float]:
    def whole(value: Value) -> float:
        number = to_float(value)
        return float(rounded(number)) if math.isfinite(number) else number

    return whole


def _random(low: Value, high: Value) -> int:
    start, end = to_int(low), to_int(high)
    if start >= end:
        raise TemplateFailedError("randInt: the upper bound must be above the lower one")
    return start + secrets.randbelow(end - start)


def _steps(budget: Budget, start: int, stop: int, step: int) -> list[Value]:
    if step == 0:
        raise TemplateFailedError("a step of 0")
    numbers = range(start, stop, step)
    budget.items(len(numbers) if abs(stop - start) < 1 << 62 else 1 << 40)
    return list(numbers)


def _until(budget: Budget, count: int) -> list[Value]:
    return _steps(budget, 0, count, 1 if count >= 0 else -1)


def _seq(budget: Budget, *bounds: int) -> str:
    """As the command ``seq`` does: the end is one of them."""
    match bounds:
        case (end,):
            start, step = 1, 1 if end >= 1 else -1
        case (start, end):
            step = 1 if end >= start else -1
        case (start, step, end):
            pass
        case _:
            return ""
    if step == 0 or (end - start) * step < 0:
        return ""
    numbers = _steps(budget, start, end + (1 if step > 0 else -1), step)
    text = " ".join(map(str, numbers))
    budget.string(len(text))
    return text


TABLE: Final = (
    Function("add", "aA", _folded(lambda one, other: one + other)),
    Function("add1", "a", lambda value: wrapped(to_int(value) + 1)),
    Function("sub", "aa", _folded(lambda one, other: one - other)),
    Function("mul", "aA", _folded(lambda one, other: one * other)),
    Function("div", "aa", _div),
    Function("mod", "aa", _mod),
    Function("max", "aA", _folded(max)),
    Function("biggest", "aA", _folded(max)),
    Function("min", "aA", _folded(min)),
    Function("maxf", "aA", lambda *values: max(map(to_float, values))),
    Function("minf", "aA", lambda *values: min(map(to_float, values))),
    Function("addf", "aA", lambda *values: reduce(lambda one, other: one + other, map(to_float, values))),
    Function("subf", "aA", lambda *values: reduce(lambda one, other: one - other, map(to_float, values))),
    Function("mulf", "aA", lambda *values: reduce(lambda one, other: one * other, map(to_float, values))),
    Function("divf", "aA", lambda *values: reduce(lambda one, other: one / other, map(to_float, values))),
    Function("floor", "a", _whole(math.floor)),
    Function("ceil", "a", _whole(math.ceil)),
    Function("round", "aiA", _round),
    Function("randInt", "aa", _random),
    Function("until", "i", _until, charges=True),
    Function("untilStep", "iii", _steps, charges=True),
    Function("seq", "I", _seq, charges=True),
)
