"""The part of the OpenAPI document that describes ``/v1/events``."""

from typing import Any, Final

from gbe.http.openapi import INTEGER, STRING, Part, Schema, operation, reference

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
_RECORD: Final[Schema] = {
    "type": "object",
    "description": "with format=cloudevents a CloudEvent in the JSON format instead",
    "required": ["id", "subject", "time"],
    "properties": {
        "id": {**STRING, "description": "of the message: `since` and Last-Event-ID take it"},
        "subject": STRING,
        "time": {**INTEGER, "description": "when it was published, unix milliseconds"},
        "traceparent": STRING,
        "event": reference("Event"),
        "error": {**STRING, "description": "the payload is no event of JSON; it is in data_base64"},
        "data_base64": STRING,
    },
}
_PAGE: Final[Schema] = {
    "type": "object",
    "required": ["events", "cursor"],
    "properties": {
        "events": {"type": "array", "items": reference("EventRecord")},
        "cursor": {"type": ["string", "null"], "description": "of the next page; null if nothing more was stored"},
    },
}
_READING: Final = (
    {
        "name": "patterns",
        "in": "path",
        "required": True,
        "schema": STRING,
        "description": "one or more, joined by commas: `events.audit.*`",
    },
    {
        "name": "since",
        "in": "query",
        "schema": STRING,
        "description": "`all`, `latest`, a message id, unix time, ISO 8601, or a duration such as `10m`",
    },
    {
        "name": "filter",
        "in": "query",
        "schema": {"type": "array", "items": STRING},
        "description": "`FIELD=VALUE`; any of the values of a field, all of the fields",
    },
    {"name": "format", "in": "query", "schema": {"type": "string", "enum": ["gbe", "cloudevents"]}},
)
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
    pages = operation(
        "A page of what is stored, in the order of storing; `Link` names the next one",
        "200",
        "EventPage",
        bad=("400", "404"),
        operationId="listEvents",
        parameters=[
            *_READING,
            {"name": "limit", "in": "query", "schema": {**INTEGER, "minimum": 1, "maximum": 1000, "default": 100}},
            {"name": "cursor", "in": "query", "schema": STRING, "description": "of the page before"},
        ],
    )
    return Part(
        {
            "/v1/events/{subject}": {"post": publish},
            "/v1/events/{patterns}/json": {"get": _stream("streamEvents", "application/x-ndjson")},
            "/v1/events/{patterns}/sse": {"get": _stream("streamEventsSse", "text/event-stream")},
            "/v1/events/{patterns}/history": {"get": pages},
        },
        {"Event": _EVENT, "EventResult": _RESULT, "EventResults": _RESULTS, "EventRecord": _RECORD, "EventPage": _PAGE},
    )


def _stream(name: str, content_type: str) -> dict[str, Any]:
    """One format of the streams; the same path with ``/ws`` takes an upgrade, which OpenAPI has no words for."""
    described = operation(
        "Events from `since` on, then live, until the client hangs up",
        "200",
        "EventRecord",
        bad=("400", "404", "429"),
        operationId=name,
        parameters=[
            *_READING,
            {"name": "Last-Event-ID", "in": "header", "schema": STRING, "description": "go on behind this message"},
        ],
    )
    described["responses"]["200"]["content"] = {content_type: {"schema": reference("EventRecord")}}
    return described
