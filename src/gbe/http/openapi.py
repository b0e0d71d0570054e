"""The OpenAPI document of the JSON APIs: what its parts share, and the whole. Each API has a part of its own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import gbe

Schema = dict[str, Any]

STRING: Final[Schema] = {"type": "string"}
INTEGER: Final[Schema] = {"type": "integer"}
MOMENT: Final[Schema] = {**INTEGER, "description": "unix milliseconds"}
DURATION: Final[Schema] = {
    "oneOf": [{"type": "number"}, {"type": "string"}],
    "description": "seconds, or a number with a unit: 30s",
}
REASONS: Final = {
    "400": "a parameter, a filter or a setting cannot be; `field` names it",
    "403": "not from this machine, and no token is configured (401 with a wrong one)",
    "404": "there is no such thing",
    "409": "its state does not allow it",
    "413": "too large",
    "415": "not JSON",
    "429": "too many streams are open",
    "503": "the engine does not answer",
}


@dataclass(frozen=True, slots=True)
class Part:
    """What one API adds to the document: paths, and schemas by name."""

    paths: dict[str, Any]
    schemas: dict[str, Any]


def reference(schema: str) -> Schema:
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{schema}"}


def one_of(words: Iterable[str]) -> Schema:
    """One of these texts."""
    return {**STRING, "enum": list(words)}


def list_of(items: Schema) -> Schema:
    """A JSON array."""
    return {"type": "array", "items": items}


def record(properties: Mapping[str, Schema], *, required: Iterable[str] = (), closed: bool = False) -> Schema:
    """A JSON object; a ``closed`` one has no other properties."""
    found: Schema = {"type": "object", "properties": dict(properties)}
    if wanted := list(required):
        found["required"] = wanted
    return found | ({"additionalProperties": False} if closed else {})


def page_of(name: str, schema: str) -> Schema:
    """One page of a list, with the cursor of the next."""
    properties = {name: list_of(reference(schema)), "cursor": {"type": ["string", "null"]}}
    return record(properties, required=properties)


def in_path(name: str, schema: Schema = STRING, description: str = "") -> Schema:
    """A parameter that is part of the path."""
    return _described({"name": name, "in": "path", "required": True, "schema": schema}, description)


def in_query(name: str, schema: Schema = STRING, description: str = "") -> Schema:
    """A parameter that may be given."""
    return _described({"name": name, "in": "query", "schema": schema}, description)


def limit_of(default: int = 100, most: int = 1000, description: str = "") -> Schema:
    """How many there are on a page."""
    return in_query("limit", {**INTEGER, "minimum": 1, "maximum": most, "default": default}, description)


def _described(parameter: Schema, description: str) -> Schema:
    return {**parameter, "description": description} if description else parameter


CURSOR: Final = in_query("cursor", description="of the page before")


def operation(summary: str, good: str, schema: str, *, bad: tuple[str, ...], **more: Any) -> dict[str, Any]:
    """One method of a path.

    Args:
        summary: what is answered.
        good: the status when all went well, with a body of ``schema``.
        bad: the statuses of its errors, beside those that every operation has.
        more: further keys: ``operationId``, ``parameters``, ``requestBody``.
    """
    answers = {good: _answer(schema, summary)}
    for status in (*bad, "403", "503"):
        answers[status] = _answer("Error", REASONS[status])
    return {"summary": summary, "responses": answers, **more}


def body(schema: str) -> dict[str, Any]:
    """A required JSON body."""
    return {"required": True, "content": {"application/json": {"schema": reference(schema)}}}


def _answer(schema: str, description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": reference(schema)}}}


_ERROR: Final[Schema] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": STRING, "message": STRING, "field": STRING},
        }
    },
}


def document(parts: Iterable[Part]) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Error": _ERROR}
    for part in parts:
        paths |= part.paths
        schemas |= part.schemas
    return {
        "openapi": "3.1.0",
        "info": {"title": "gbe", "version": gbe.__version__},
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}, "schemas": schemas},
    }
