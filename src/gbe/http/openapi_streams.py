"""The part of ``/v1/streams`` in the OpenAPI document."""

from typing import Any, Final

from gbe.http.openapi import INTEGER, STRING, Part, body, operation, reference

_STREAM: Final = {
    "name": "stream",
    "in": "path",
    "required": True,
    "schema": STRING,
    "description": "name of a stream, or one of its patterns",
}
_LIMIT: Final = "null or `default` goes back to the configuration, `none` is no limit"
_TEXTS: Final = {"type": "array", "items": STRING}


def _optional(kind: str, description: str) -> dict[str, Any]:
    return {"type": [kind, "null"], "description": description}


_GROUP: Final = {
    "type": "object",
    "required": ["group", "pattern", "pending", "unacknowledged", "oldest_age"],
    "properties": {
        "group": STRING,
        "pattern": STRING,
        "pending": INTEGER,
        "unacknowledged": INTEGER,
        "oldest_age": _optional("number", "seconds"),
    },
}
_PROPERTIES: Final[dict[str, Any]] = {
    "name": STRING,
    "subjects": _TEXTS,
    "messages": INTEGER,
    "bytes": INTEGER,
    "oldest": _optional("integer", "unix milliseconds"),
    "max_age": _optional("number", "seconds"),
    "max_bytes": _optional("integer", "bytes"),
    "max_msgs": _optional("integer", "messages"),
    "changed": {**_TEXTS, "description": "limits that operators have set"},
    "archived": {**_TEXTS, "description": "patterns of which nothing goes that is not in the archive"},
    "kept_by": {**STRING, "enum": ["engine", "sweeper"]},
    "groups": {"type": "array", "items": reference("StreamGroup")},
}


def stream_part() -> Part:
    """Paths and schemas."""
    show = operation("a stream", "200", "Stream", bad=("400", "404"), operationId="showStream", parameters=[_STREAM])
    change = operation(
        "the stream, with its limits changed on all nodes",
        "200",
        "Stream",
        bad=("400", "404", "413", "415"),
        operationId="changeStream",
        parameters=[_STREAM],
        requestBody=body("StreamLimits"),
    )
    text_or = {"type": ["string", "number", "null"], "description": _LIMIT}
    return Part(
        paths={
            "/v1/streams": {"get": operation("all streams", "200", "Streams", bad=(), operationId="listStreams")},
            "/v1/streams/{stream}": {"get": show, "patch": change},
        },
        schemas={
            "StreamGroup": _GROUP,
            "Stream": {"type": "object", "required": [*_PROPERTIES], "properties": _PROPERTIES},
            "Streams": {
                "type": "object",
                "required": ["streams"],
                "properties": {"streams": {"type": "array", "items": reference("Stream")}},
            },
            "StreamLimits": {
                "type": "object",
                "additionalProperties": False,
                "properties": dict.fromkeys(("max_age", "max_bytes", "max_msgs"), text_or),
            },
        },
    )
