"""The part of ``/v1/streams`` in the OpenAPI document."""

from typing import Any, Final

from gbe.http.openapi import INTEGER, STRING, Part, body, in_path, list_of, one_of, operation, record, reference

_STREAM: Final = in_path("stream", description="name of a stream, or one of its patterns")
_LIMIT: Final = "null or `default` goes back to the configuration, `none` is no limit"
_TEXTS: Final = list_of(STRING)


def _optional(kind: str, description: str) -> dict[str, Any]:
    return {"type": [kind, "null"], "description": description}


_GROUP: Final = record(
    {
        "group": STRING,
        "pattern": STRING,
        "pending": INTEGER,
        "unacknowledged": INTEGER,
        "oldest_age": _optional("number", "seconds"),
    },
    required=["group", "pattern", "pending", "unacknowledged", "oldest_age"],
)
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
    "kept_by": one_of(["engine", "sweeper"]),
    "groups": list_of(reference("StreamGroup")),
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
            "Stream": record(_PROPERTIES, required=[*_PROPERTIES]),
            "Streams": record({"streams": list_of(reference("Stream"))}, required=["streams"]),
            "StreamLimits": record(dict.fromkeys(("max_age", "max_bytes", "max_msgs"), text_or), closed=True),
        },
    )
