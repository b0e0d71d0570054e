"""Maps. ``set`` and ``unset`` change what they are given, as in Sprig: it lives for one rendering."""

from typing import Final

from gbe.errors import TemplateFailedError
from gbe.templates.functions.conversions import text_of
from gbe.templates.functions.signature import Function
from gbe.templates.limits import MAX_DEPTH, Budget
from gbe.templates.nodes import Value

Map = dict[str, Value]


def _dict(budget: Budget, *pairs: Value) -> Map:
    budget.items(len(pairs))
    values = (*pairs[1::2], "") if len(pairs) % 2 else pairs[1::2]
    return {text_of(key, budget): value for key, value in zip(pairs[::2], values, strict=True)}


def _set(budget: Budget, values: Map, key: str, value: Value) -> Map:
    budget.items(1)
    values[key] = value
    return values


def _unset(values: Map, key: str) -> Map:
    values.pop(key, None)
    return values


def _keys(budget: Budget, *maps: Map) -> list[str]:
    budget.items(sum(map(len, maps)))
    return [key for each in maps for key in sorted(each)]


def _values(budget: Budget, values: Map) -> list[Value]:
    budget.items(len(values))
    return [values[key] for key in sorted(values)]


def _pick(values: Map, *keys: str) -> Map:
    return {key: values[key] for key in keys if key in values}


def _omit(values: Map, *keys: str) -> Map:
    return {key: value for key, value in values.items() if key not in keys}


def _pluck(key: str, *maps: Map) -> list[Value]:
    return [each[key] for each in maps if key in each]


def _dig(*path: Value) -> Value:
    """Keys one within the other, what there is otherwise, and the map."""
    if len(path) < 3 or len(path) > MAX_DEPTH:
        raise TemplateFailedError("dig: expected keys, a default and a map")
    *keys, default, value = path
    for key in keys:
        if not isinstance(value, dict) or not isinstance(key, str):
            raise TemplateFailedError("dig: expected a map, and strings as keys")
        if key not in value:
            return default
        value = value[key]
    return value


def _merge(budget: Budget, target: Map, *sources: Map) -> Map:
    budget.items(sum(map(len, sources)))
    for source in sources:
        for key, value in source.items():
            target.setdefault(key, value)
    return target


TABLE: Final = (
    Function("dict", "A", _dict, charges=True),
    Function("get", "ms", lambda values, key: values.get(key, "")),
    Function("set", "msa", _set, charges=True),
    Function("unset", "ms", _unset),
    Function("hasKey", "ms", lambda values, key: key in values),
    Function("keys", "M", _keys, charges=True),
    Function("values", "m", _values, charges=True),
    Function("pick", "mS", _pick),
    Function("omit", "mS", _omit),
    Function("pluck", "sM", _pluck),
    Function("dig", "A", _dig),
    Function("merge", "mM", _merge, charges=True),
)
