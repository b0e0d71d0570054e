"""The part of ``/v1/deadletters`` in the OpenAPI document."""

from typing import Any, Final

from gbe.deadletters.record import Status
from gbe.http.openapi import (
    CURSOR,
    INTEGER,
    MOMENT,
    STRING,
    Part,
    body,
    in_path,
    in_query,
    limit_of,
    list_of,
    one_of,
    operation,
    page_of,
    record,
    reference,
)

_STATUS: Final = one_of(status.value for status in Status)
_WHEN: Final = {
    "oneOf": [INTEGER, STRING],
    "description": "last failed then: unix milliseconds, a duration before now such as 2h, or ISO 8601 with a zone",
}
_FILTERS: Final[dict[str, Any]] = {
    "domain": {**STRING, "description": "such as events"},
    "subject": {**STRING, "description": "a pattern"},
    "group": STRING,
    "reason": {**STRING, "description": "part of the reason or of the error's type"},
    "fingerprint": STRING,
    "status": _STATUS,
    "since": _WHEN,
    "until": _WHEN,
}
_ID: Final = in_path("id")
_LETTER: Final[dict[str, Any]] = record(
    {
        **dict.fromkeys(
            (
                "id",
                "domain",
                "subject",
                "group",
                "message_id",
                "reason",
                "error_type",
                "fingerprint",
                "target",
                "task_type",
                "task_id",
                "original_missing",
            ),
            STRING,
        ),
        "status": _STATUS,
        **dict.fromkeys(("deliveries", "failures", "redrives", "payload_size", "payload_left_out"), INTEGER),
        **dict.fromkeys(
            ("published_at", "first_failed_at", "last_failed_at", "began_at", "redriving_at", "settled_at"), MOMENT
        ),
        "original": record(
            {
                **dict.fromkeys(("id", "subject", "traceparent"), STRING),
                "timestamp": MOMENT,
                "payload": {**STRING, "contentEncoding": "base64"},
            }
        ),
    },
    required=["id", "domain", "subject", "group", "message_id", "reason", "fingerprint", "status", "redrives"],
)
_SELECTION: Final[dict[str, Any]] = {
    "ids": {"type": "array", "items": STRING, "maxItems": 1000},
    **_FILTERS,
    "limit": {**INTEGER, "minimum": 1, "maximum": 1000, "default": 1000},
}


def deadletter_part() -> Part:
    """Paths and schemas."""
    filters = [in_query(name, schema) for name, schema in _FILTERS.items()]
    paging = [
        limit_of(),
        CURSOR,
    ]
    return Part(
        paths={
            "/v1/deadletters": {
                "get": operation(
                    "Letters, the one that failed last first",
                    "200",
                    "LetterPage",
                    bad=("400",),
                    operationId="listDeadLetters",
                    parameters=[*filters, *paging],
                )
            },
            "/v1/deadletters/groups": {
                "get": operation(
                    "Alike failures put together, the largest group first",
                    "200",
                    "LetterGroups",
                    bad=("400",),
                    operationId="groupDeadLetters",
                    parameters=filters,
                )
            },
            "/v1/deadletters/{id}": {
                "get": operation(
                    "The letter with its original message",
                    "200",
                    "Letter",
                    bad=("404",),
                    operationId="showDeadLetter",
                    parameters=[_ID],
                )
            },
            **{
                f"/v1/deadletters/{verb}": {
                    "post": operation(
                        summary,
                        "200",
                        "LetterTally",
                        bad=("400", "404", "413", "415"),
                        operationId=f"{verb}DeadLetters",
                        requestBody=body(schema),
                    )
                }
                for verb, schema, summary in (
                    ("redrive", "Redrive", "What became of each letter; of a dry run, how many would be sent"),
                    ("discard", "LetterSelection", "What became of each letter"),
                )
            },
        },
        schemas={
            "Letter": _LETTER,
            "LetterPage": page_of("letters", "Letter"),
            "LetterGroups": record({"groups": list_of(reference("LetterGroup"))}, required=["groups"]),
            "LetterGroup": record(
                {
                    **dict.fromkeys(("fingerprint", "domain", "group", "subject", "error_type", "reason"), STRING),
                    "count": INTEGER,
                    "by_status": {"type": "object", "additionalProperties": INTEGER},
                    "first_failed_at": MOMENT,
                    "last_failed_at": MOMENT,
                }
            ),
            "LetterSelection": record(_SELECTION, closed=True),
            "Redrive": record(
                {
                    **_SELECTION,
                    "to": {**STRING, "description": "another subject than the original's"},
                    "rate": {"type": "number", "default": 100, "description": "letters a second"},
                    "dry_run": {"type": "boolean", "default": False},
                },
                closed=True,
            ),
            "LetterTally": record(
                {
                    **dict.fromkeys(("redriven", "discarded", "skipped", "failed", "count"), INTEGER),
                    "dry_run": {"type": "boolean"},
                    "problems": {
                        "type": "array",
                        "maxItems": 100,
                        "items": record(dict.fromkeys(("id", "result", "error"), STRING)),
                    },
                }
            ),
        },
    )
