"""The part of the OpenAPI document that describes ``/v1/events``."""

from typing import Any, Final

from gbe.http.openapi import INTEGER, STRING, Part, Schema, operation

_EVENT: Final[Schema] = {
    "type": "object",
    "description": "the fields of the subject's schema; v, ts and id are filled in where they are missing",
    "properties": {"v": INTEGER, "ts": INTEGER, "id": STRING},
}
_RESULT: Final[Schema] = {
    "type": "object",
    "required": ["event_id"],
    "properties": {
        "id": STRING,
        "event_id": STRING,
        "subject": STRING,
        "error": {"type": "object", "properties": {"code": STRING, "message": STRING}},
    },
}
_RESULTS: Final[Schema] = {
    "oneOf": [
        {"$ref": "#/components/schemas/EventResult"},
        {
            "type": "object",
            "properties": {"results": {"type": "array", "items": {"$ref": "#/components/schemas/EventResult"}}},
        },
    ]
}
_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "oneOf": [
                    {"$ref": "#/components/schemas/Event"},
                    {"type": "array", "items": {"$ref": "#/components/schemas/Event"}},
                ]
            }
        },
        "application/cloudevents+json": {"schema": {"type": "object"}},
        "application/cloudevents-batch+json": {"schema": {"type": "array", "items": {"type": "object"}}},
    },
}


def event_part() -> Part:
    """The paths and schemas of events."""
    subject = {"name": "subject", "in": "path", "required": True, "schema": STRING}
    publish = operation(
        "Stored: one event, or the results of a batch",
        "201",
        "EventResults",
        bad=("400", "404", "413", "415"),
        operationId="publishEvents",
        parameters=[subject],
        requestBody=_BODY,
    )
    return Part(
        {"/v1/events/{subject}": {"post": publish}},
        {"Event": _EVENT, "EventResult": _RESULT, "EventResults": _RESULTS},
    )
