"""The part of the OpenAPI document that describes ``/v1/events``."""

from typing import Any, Final

from gbe.http.openapi import (
    CURSOR,
    INTEGER,
    STRING,
    Part,
    Schema,
    in_path,
    in_query,
    limit_of,
    list_of,
    one_of,
    operation,
    record,
    reference,
)

_EVENT: Final[Schema] = {
    "type": "object",
    "description": "the fields of the subject's schema; v, ts and id are filled in where they are missing",
    "properties": {"v": INTEGER, "ts": INTEGER, "id": STRING},
}
_RESULT: Final[Schema] = record(
    {
        "id": STRING,
        "event_id": STRING,
        "subject": STRING,
        "error": record({"code": STRING, "message": STRING}),
    },
    required=["event_id"],
)
_RESULTS: Final[Schema] = {
    "oneOf": [
        reference("EventResult"),
        record({"results": list_of(reference("EventResult"))}),
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
_PAGE: Final[Schema] = record(
    {
        "events": list_of(reference("EventRecord")),
        "cursor": {"type": ["string", "null"], "description": "of the next page; null if nothing more was stored"},
    },
    required=["events", "cursor"],
)
_READING: Final = (
    in_path("patterns", description="one or more, joined by commas: `events.audit.*`"),
    in_query("since", description="`all`, `latest`, a message id, unix time, ISO 8601, or a duration such as `10m`"),
    in_query("filter", list_of(STRING), "`FIELD=VALUE`; any of the values of a field, all of the fields"),
    in_query("format", one_of(["gbe", "cloudevents"])),
)
_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "oneOf": [
                    reference("Event"),
                    list_of(reference("Event")),
                ]
            }
        },
        "application/cloudevents+json": {"schema": {"type": "object"}},
        "application/cloudevents-batch+json": {"schema": {"type": "array", "items": {"type": "object"}}},
    },
}


def event_part() -> Part:
    """The paths and schemas of events."""
    subject = in_path("subject")
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
            limit_of(),
            CURSOR,
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
