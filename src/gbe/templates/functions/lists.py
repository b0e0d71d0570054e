"""Lists. None of these changes its argument."""

from itertools import chain
from typing import Final

from gbe.errors import TemplateFailedError
from gbe.templates.functions.signature import Function
from gbe.templates.limits import Budget
from gbe.templates.nodes import Value
from gbe.templates.values import deep_equal, is_true


def _append(budget: Budget, values: list[Value], value: Value) -> list[Value]:
    budget.items(len(values) + 1)
    return [*values, value]


def _prepend(budget: Budget, values: list[Value], value: Value) -> list[Value]:
    budget.items(len(values) + 1)
    return [value, *values]


def _concat(budget: Budget, *lists: list[Value]) -> list[Value]:
    budget.items(sum(map(len, lists)))
    return list(chain.from_iterable(lists))


def _holds(values: list[Value], value: Value, budget: Budget) -> bool:
    return any(deep_equal(one, value, budget) for one in values)


def _uniq(budget: Budget, values: list[Value]) -> list[Value]:
    kept: list[Value] = []
    for value in values:
        if not _holds(kept, value, budget):
            kept.append(value)
    budget.items(len(kept))
    return kept


def _without(budget: Budget, values: list[Value], *unwanted: Value) -> list[Value]:
    kept = [value for value in values if not _holds(list(unwanted), value, budget)]
    budget.items(len(kept))
    return kept


def _has(budget: Budget, value: Value, values: Value) -> bool:
    if values is None:
        return False
    if not isinstance(values, list):
        raise TemplateFailedError("has: expected a list")
    return _holds(values, value, budget)


def _chunk(budget: Budget, size: int, values: list[Value]) -> list[Value]:
    if size < 1:
        raise TemplateFailedError("chunk: a size below 1")
    budget.items(2 * len(values))
    return [values[start : start + size] for start in range(0, len(values), size)]


TABLE: Final = (
    Function("list", "A", lambda *values: list(values)),
    Function("tuple", "A", lambda *values: list(values)),
    Function("first", "l", lambda values: values[0] if values else None),
    Function("last", "l", lambda values: values[-1] if values else None),
    Function("rest", "l", lambda values: values[1:]),
    Function("initial", "l", lambda values: values[:-1]),
    Function("append", "la", _append, charges=True),
    Function("push", "la", _append, charges=True),
    Function("prepend", "la", _prepend, charges=True),
    Function("concat", "L", _concat, charges=True),
    Function("reverse", "l", lambda values: values[::-1]),
    Function("uniq", "l", _uniq, charges=True),
    Function("without", "lA", _without, charges=True),
    Function("has", "aa", _has, charges=True),
    Function("compact", "l", lambda values: [value for value in values if is_true(value)]),
    Function("chunk", "il", _chunk, charges=True),
)
