"""Checks a value against the JSON Schemas that msgspec writes: what a submit can know of a type it has no code for.

It knows the keywords that msgspec uses, and lets pass what it does not know: the worker decodes by the types
themselves, and has the last word.
"""

import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_DEEPEST: Final = 64
_TYPES: Final[Mapping[str, Callable[[object], bool]]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def mismatch(value: object, schema: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first thing that is wrong, as path (``to``, ``items.0.sku``) and reason; ``None`` if nothing is."""
    return _check(value, schema, schema, "", 0)


def _check(value: Any, schema: Any, root: Mapping[str, Any], path: str, depth: int) -> tuple[str, str] | None:
    if depth > _DEEPEST or not isinstance(schema, Mapping):
        return None
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        return _check(value, root.get("$defs", {}).get(reference[8:]), root, path, depth + 1)
    options = schema.get("anyOf")
    if isinstance(options, list):
        found = [_check(value, option, root, path, depth + 1) for option in options]
        return None if None in found or not found else found[0]
    reason = _scalar(value, schema)
    if reason is not None:
        return path, reason
    if isinstance(value, dict):
        return _object(value, schema, root, path, depth)
    if isinstance(value, list):
        for number, item in enumerate(value):
            wrong = _check(item, schema.get("items"), root, _join(path, str(number)), depth + 1)
            if wrong is not None:
                return wrong
    return None


def _scalar(value: Any, schema: Mapping[str, Any]) -> str | None:
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(kind not in _TYPES or _TYPES[kind](value) for kind in kinds):
        return f"expected {' or '.join(kinds)}, got {_name(value)}"
    accepted = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if accepted is not None and value not in accepted:
        return f"expected one of {', '.join(map(str, accepted))}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        for keyword, fails, words in _BOUNDS:
            if keyword in schema and fails(value, schema[keyword]):
                return f"expected {words} {schema[keyword]}"
    if isinstance(value, str) and (reason := _text(value, schema)) is not None:
        return reason
    if isinstance(value, str | list):
        if len(value) < schema.get("minLength", schema.get("minItems", 0)):
            return "too short"
        if len(value) > schema.get("maxLength", schema.get("maxItems", len(value))):
            return "too long"
    return None


def _text(value: str, schema: Mapping[str, Any]) -> str | None:
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and re.search(pattern, value) is None:
        return f"expected text that matches {pattern}"
    if schema.get("contentEncoding") == "base64":
        try:
            binascii.a2b_base64(value, strict_mode=True)
        except (binascii.Error, ValueError):
            return "expected base64"
    return None


_BOUNDS: Final[tuple[tuple[str, Callable[[Any, Any], bool], str], ...]] = (
    ("minimum", lambda value, bound: value < bound, "at least"),
    ("maximum", lambda value, bound: value > bound, "at most"),
    ("exclusiveMinimum", lambda value, bound: value <= bound, "more than"),
    ("exclusiveMaximum", lambda value, bound: value >= bound, "less than"),
)


def _object(
    value: Mapping[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], path: str, depth: int
) -> tuple[str, str] | None:
    properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name in schema.get("required", ()):
        if name not in value:
            return _join(path, name), "missing"
    extra = schema.get("additionalProperties", True)
    for name, item in value.items():
        matching = [inner for pattern, inner in patterns.items() if re.search(pattern, name)]
        if name in properties or matching:
            declared = [properties[name], *matching] if name in properties else matching
            found = (_check(item, inner, root, _join(path, name), depth + 1) for inner in declared)
            wrong = next((one for one in found if one is not None), None)
        elif extra is False:
            return _join(path, name), f"no such parameter; there are {', '.join(properties) or 'none'}"
        else:
            wrong = _check(item, extra, root, _join(path, name), depth + 1)
        if wrong is not None:
            return wrong
    return None


def _join(path: str, name: str) -> str:
    return f"{path}.{name[:80]}" if path else name[:80]


def _name(value: object) -> str:
    return next((name for name, is_it in _TYPES.items() if is_it(value)), type(value).__name__)
