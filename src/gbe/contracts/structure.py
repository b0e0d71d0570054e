"""What a JSON Schema says of each field, in one shape, however it is written: so that two of them can be compared.

A field is named by its path: ``actor``, ``attachment.size``; ``tags[]`` is an item of a list, ``headers{}`` a value of
a map, ``<^attempt_[0-9]$>`` a field whose name matches a pattern. The document itself has the empty path.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gbe.errors import ContractError

LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
SHAPES: Final = ("pattern", "multipleOf", "uniqueItems", "const")
MEANINGS: Final = ("x-unit", "format", "default", "x-stored", "x-absent", "contentMediaType")
_UNREADABLE: Final = ("oneOf", "allOf", "not", "if", "prefixItems", "$dynamicRef")
_ANYTHING: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_NAMES: Final = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string"}
_DEEPEST: Final = 32


@dataclass(slots=True)
class Field:
    """One field.

    Attributes:
        types: JSON types that its value may have, and its encoding where text stands for bytes.
        required: whether it must be there wherever what it belongs to is.
        limits: by the keywords of ``LOWER`` and ``UPPER``.
        shapes: other restrictions, by keyword.
        values: the only ones that are allowed; ``None`` if there is no such list.
        meanings: keywords that say what a value stands for.
        description: in words; ``formerly`` has earlier wordings that mean the same.
        is_deprecated: its producers are about to stop.
        is_closed: of an object: unknown fields are refused.
    """

    types: frozenset[str]
    required: bool = False
    limits: dict[str, float] = field(default_factory=dict)
    shapes: dict[str, object] = field(default_factory=dict)
    values: frozenset[object] | None = None
    meanings: dict[str, object] = field(default_factory=dict)
    description: str = ""
    formerly: frozenset[str] = frozenset()
    is_deprecated: bool = False
    is_closed: bool = False


def fields_of(schema: Mapping[str, Any]) -> dict[str, Field]:
    """Every field of a schema by its path.

    Raises:
        ContractError: it uses what cannot be compared; the text names the field and the keyword.
    """
    return dict(_walk(schema, schema, "", required=True, depth=0))


def parent_of(path: str) -> str:
    """The field that another one belongs to."""
    if path.endswith(("[]", "{}")):
        return path[:-2]
    if path.endswith(">"):
        return path[: path.rindex("<")].removesuffix(".")
    return path.rpartition(".")[0]


def _walk(
    schema: Mapping[str, Any], root: Mapping[str, Any], path: str, *, required: bool, depth: int
) -> Iterator[tuple[str, Field]]:
    if depth > _DEEPEST:
        raise ContractError(f"{path}: nested deeper than {_DEEPEST} levels, or within itself")
    merged = _merged(_resolved(schema, root, path), root, path)
    yield path, _field(merged, required)
    needed = merged.get("required", ())
    for name, inner in merged.get("properties", {}).items():
        yield from _walk(inner, root, f"{path}.{name}" if path else name, required=name in needed, depth=depth + 1)
    for pattern, inner in merged.get("patternProperties", {}).items():
        if "<" in pattern or ">" in pattern:
            raise ContractError(
                f"{path or 'the document'}: the pattern {pattern} cannot be compared; write it without < >"
            )
        name = f"<{pattern}>"
        yield from _walk(inner, root, f"{path}.{name}" if path else name, required=False, depth=depth + 1)
    for keyword, mark in (("items", "[]"), ("additionalProperties", "{}")):
        inner = merged.get(keyword)
        if isinstance(inner, Mapping) and inner:
            yield from _walk(inner, root, path + mark, required=False, depth=depth + 1)


def _resolved(schema: Any, root: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    if not isinstance(schema, Mapping):
        raise ContractError(f"{path or 'the document'}: expected a schema, which is an object")
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found = root.get("$defs", {}).get(reference[8:]) if str(reference).startswith("#/$defs/") else None
    if found is None:
        raise ContractError(f"{path or 'the document'}: $ref {reference!r}; expected one of this file's $defs")
    return {**found, **{name: value for name, value in schema.items() if name != "$ref"}}


def _merged(schema: Mapping[str, Any], root: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """One schema in place of ``anyOf``, which may allow ``null`` or join types."""
    for keyword in _UNREADABLE:
        if keyword in schema:
            raise ContractError(f"{path or 'the document'}: {keyword} cannot be compared; write it without")
    options = [_resolved(option, root, path) for option in schema.get("anyOf", ())]
    if not options:
        return schema
    joined: dict[str, Any] = {}
    for option in options:
        for name, value in option.items():
            if name != "type" and joined.setdefault(name, value) != value:
                raise ContractError(f"{path}: two alternatives that both have {name} cannot be compared")
    types = frozenset().union(*(_types(option) for option in options))
    return {**joined, "type": sorted(types), **{name: value for name, value in schema.items() if name != "anyOf"}}


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return frozenset({kinds})
    if kinds is not None:
        return frozenset(kinds)
    if "enum" in schema:
        return frozenset(_NAMES.get(type(value), "object") for value in schema["enum"])
    return _ANYTHING


def _field(schema: Mapping[str, Any], required: bool) -> Field:
    types = _types(schema)
    encoding = schema.get("contentEncoding")
    values = schema.get("enum")
    formerly = schema.get("x-formerly", ())
    return Field(
        types=types if encoding is None else types | {f"in {encoding}"},
        required=required,
        limits={name: schema[name] for name in (*LOWER, *UPPER) if name in schema},
        shapes={name: schema[name] for name in SHAPES if name in schema},
        values=None if values is None else frozenset(value for value in values if value is not None),
        meanings={name: schema[name] for name in MEANINGS if name in schema},
        description=str(schema.get("description", "")),
        formerly=frozenset([formerly] if isinstance(formerly, str) else formerly),
        is_deprecated=schema.get("deprecated") is True,
        is_closed=schema.get("additionalProperties") is False,
    )
