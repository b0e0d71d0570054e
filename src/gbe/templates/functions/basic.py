"""The functions of ``text/template`` itself, and those of Sprig about what is empty."""

from collections.abc import Callable
from typing import Final

from gbe.errors import TemplateFailedError
from gbe.templates import escaping
from gbe.templates.functions.signature import Function
from gbe.templates.limits import Budget
from gbe.templates.nodes import Value
from gbe.templates.printf import printf
from gbe.templates.values import deep_equal, is_true, kind_name, to_text, type_name


def print_values(budget: Budget, *values: Value) -> str:
    """``print``: blanks between two values of which neither is a string."""
    parts: list[str] = []
    size = 0
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            parts.append(" ")
        parts.append(to_text(value, budget))
        size += len(parts[-1]) + 1
        budget.part(size)
    budget.string(size)
    return "".join(parts)


def _println(budget: Budget, *values: Value) -> str:
    parts: list[str] = []
    size = 0
    for value in values:
        parts.append(to_text(value, budget))
        size += len(parts[-1]) + 1
        budget.part(size)
    budget.string(size)
    return " ".join(parts) + "\n"


def _escapes(escape: Callable[[str], str]) -> Callable[..., str]:
    def escaped(budget: Budget, *values: Value) -> str:
        text = values[0] if len(values) == 1 and isinstance(values[0], str) else print_values(budget, *values)
        budget.string(6 * len(text))  # no character becomes more than so many, or nine in a query
        return escape(text)

    return escaped


def _length(value: Value) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    if isinstance(value, list | dict):
        return len(value)
    raise TemplateFailedError(f"len: {type_name(value)} has no length")


def _index(value: Value, *keys: Value) -> Value:
    for key in keys:
        value = _one(value, key)
    return value


def _one(value: Value, key: Value) -> Value:
    match value:
        case dict():
            if not isinstance(key, str):
                raise TemplateFailedError(f"index: a map has strings as keys, not {type_name(key)}")
            return value.get(key)
        case list() | str():
            items = value.encode("utf-8", "replace") if isinstance(value, str) else value
            if not isinstance(key, int) or isinstance(key, bool):
                raise TemplateFailedError(f"index: expected an integer, found {type_name(key)}")
            if not 0 <= key < len(items):
                raise TemplateFailedError(f"index: {key} is out of range")
            item: Value = items[key]
            return item
    raise TemplateFailedError(f"index: {type_name(value)} has no items")


def _slice(value: Value, *bounds: int) -> Value:
    """``slice``: of a string so many bytes, of a list so many items."""
    if len(bounds) > 3 or not isinstance(value, str | list) or (len(bounds) == 3 and isinstance(value, str)):
        raise TemplateFailedError("slice: expected a string or a list, and at most two bounds")
    items = value.encode("utf-8", "replace") if isinstance(value, str) else value
    start = bounds[0] if bounds else 0
    end = bounds[1] if len(bounds) > 1 else len(items)
    if not 0 <= start <= end <= len(items):
        raise TemplateFailedError(f"slice: {start} to {end} is out of range")
    part = items[start:end]
    return part.decode("utf-8", "replace") if isinstance(part, bytes) else part


# -- comparing


def _basic(value: Value, name: str) -> Value:
    if isinstance(value, list | dict):
        raise TemplateFailedError(f"{name}: a {type_name(value)} cannot be compared")
    return value


def _same_kind(one: Value, other: Value, name: str) -> None:
    if type(one) is not type(other):
        raise TemplateFailedError(f"{name}: {type_name(one)} and {type_name(other)} cannot be compared")


def _equals(one: Value, other: Value, name: str) -> bool:
    _basic(one, name)
    _basic(other, name)
    if one is None or other is None:
        return one is other
    _same_kind(one, other, name)
    return one == other


def _eq(first: Value, *others: Value) -> bool:
    if not others:
        raise TemplateFailedError("eq: an argument is missing")
    return any(_equals(first, other, "eq") for other in others)


def _less(one: Value, other: Value, name: str) -> bool:
    _same_kind(_basic(one, name), _basic(other, name), name)
    if isinstance(one, bool) or one is None:
        raise TemplateFailedError(f"{name}: a {type_name(one)} has no order")
    return bool(one < other)  # type: ignore[operator]


def _le(one: Value, other: Value, name: str) -> bool:
    return _less(one, other, name) or one == other


# -- empty or not


def _coalesce(*values: Value) -> Value:
    return next(filter(is_true, values), None)


def _default(default: Value, *given: Value) -> Value:
    return given[0] if given and is_true(given[0]) else default


def _ternary(yes: Value, no: Value, condition: bool) -> Value:
    return yes if condition else no


def _fail(message: str) -> Value:
    raise TemplateFailedError(message[:200])


def _unreachable(*_values: Value) -> Value:
    raise TemplateFailedError("evaluated by the interpreter")


def _deep_equal(budget: Budget, one: Value, other: Value) -> bool:
    return deep_equal(one, other, budget)


def _printf(budget: Budget, template: str, *values: Value) -> str:
    return printf(template, list(values), budget)


TABLE: Final = (
    Function("and", "A", _unreachable),
    Function("or", "A", _unreachable),
    Function("not", "a", lambda value: not is_true(value)),
    Function("len", "a", _length),
    Function("index", "aA", _index),
    Function("slice", "aI", _slice),
    Function("print", "A", print_values, charges=True),
    Function("println", "A", _println, charges=True),
    Function("printf", "sA", _printf, charges=True),
    Function("html", "aA", _escapes(escaping.html), charges=True),
    Function("js", "aA", _escapes(escaping.js), charges=True),
    Function("urlquery", "aA", _escapes(escaping.urlquery), charges=True),
    Function("eq", "aA", _eq),
    Function("ne", "aa", lambda one, other: not _equals(one, other, "ne")),
    Function("lt", "aa", lambda one, other: _less(one, other, "lt")),
    Function("le", "aa", lambda one, other: _le(one, other, "le")),
    Function("gt", "aa", lambda one, other: not _le(one, other, "gt")),
    Function("ge", "aa", lambda one, other: not _less(one, other, "ge")),
    Function("default", "aA", _default),
    Function("empty", "a", lambda value: not is_true(value)),
    Function("coalesce", "A", _coalesce),
    Function("all", "A", lambda *values: all(map(is_true, values))),
    Function("any", "A", lambda *values: any(map(is_true, values))),
    Function("ternary", "aab", _ternary),
    Function("fail", "s", _fail),
    Function("deepEqual", "aa", _deep_equal, charges=True),
    Function("typeOf", "a", type_name),
    Function("typeIs", "sa", lambda name, value: type_name(value) == name),
    Function("typeIsLike", "sa", lambda name, value: type_name(value) in (name, f"*{name}")),
    Function("kindOf", "a", kind_name),
    Function("kindIs", "sa", lambda name, value: kind_name(value) == name),
)
