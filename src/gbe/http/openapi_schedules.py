"""The part of ``/v1/schedules`` in the OpenAPI document."""

from typing import Any, Final

from gbe.http.openapi import DURATION, INTEGER, STRING, Part, body, operation, reference
from gbe.schedules.catchup import CatchUp
from gbe.schedules.starter import KINDS

_NAME: Final = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {**STRING, "pattern": "^[A-Za-z0-9_-]{1,64}$"},
}
_MOMENT: Final = {**INTEGER, "description": "unix milliseconds"}
_SETTINGS: Final[dict[str, Any]] = {
    "task": {**STRING, "description": "the task type that is started; or job"},
    "job": {**STRING, "description": "the job type that is started; or task"},
    "params": {"type": "object"},
    "cron": {**STRING, "description": "five fields, six with seconds in front, or a word such as @daily"},
    "every": DURATION,
    "at": {**STRING, "description": "ISO 8601; without an offset the wall clock of tz"},
    "event": {**STRING, "description": "a pattern of subjects, in the namespace"},
    "event_params": {"type": "object", "additionalProperties": STRING},
    "tz": {**STRING, "description": "IANA name", "default": "UTC"},
    "catch_up": {**STRING, "enum": [each.value for each in CatchUp], "default": "latest"},
    "catch_up_within": DURATION,
    "paused": {"type": "boolean"},
}
_SCHEDULE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["name", "settings", "source", "paused", "fires", "misses", "refusals", "created_at", "updated_at"],
    "properties": {
        "name": STRING,
        "settings": reference("ScheduleSettings"),
        "source": {**STRING, "enum": ["file", "changed file", "run time"]},
        "paused": {"type": "boolean"},
        **dict.fromkeys(("fires", "misses", "refusals"), INTEGER),
        **dict.fromkeys(
            ("next", "created_at", "updated_at", "last_due", "last_fired_at", "last_refused_at"),
            _MOMENT,
        ),
        "last_kind": {**STRING, "enum": list(KINDS)},
        "last_id": STRING,
        "last_error": STRING,
        "upcoming": {"type": "array", "items": _MOMENT},
    },
}


def schedule_part() -> Part:
    """Paths and schemas."""
    return Part(
        paths={
            "/v1/schedules": {
                "post": operation(
                    "The schedule, stored",
                    "201",
                    "Schedule",
                    bad=("400", "404", "409", "413", "415"),
                    operationId="createSchedule",
                    requestBody=body("NewSchedule"),
                ),
                "get": operation(
                    "Schedules, by name",
                    "200",
                    "SchedulePage",
                    bad=("400",),
                    operationId="listSchedules",
                    parameters=[
                        {
                            "name": "limit",
                            "in": "query",
                            "schema": {**INTEGER, "minimum": 1, "maximum": 1000, "default": 100},
                        },
                        {"name": "cursor", "in": "query", "schema": STRING, "description": "of the page before"},
                    ],
                ),
            },
            "/v1/schedules/{name}": _one(),
            **{f"/v1/schedules/{{name}}/{verb}": {"post": _verb(verb)} for verb in ("pause", "resume")},
            "/v1/schedules/{name}/run": {
                "post": operation(
                    "What was started",
                    "201",
                    "Started",
                    bad=("400", "404", "413"),
                    operationId="runSchedule",
                    parameters=[_NAME],
                    requestBody={**body("RunSchedule"), "required": False},
                )
            },
        },
        schemas=_schemas(),
    )


def _one() -> dict[str, Any]:
    upcoming = {
        "name": "upcoming",
        "in": "query",
        "schema": {**INTEGER, "minimum": 0, "maximum": 100, "default": 5},
        "description": "due times to show",
    }
    return {
        "get": operation(
            "The schedule",
            "200",
            "Schedule",
            bad=("400", "404"),
            operationId="showSchedule",
            parameters=[_NAME, upcoming],
        ),
        "patch": operation(
            "The schedule, changed; null takes a setting back",
            "200",
            "Schedule",
            bad=("400", "404", "413", "415"),
            operationId="changeSchedule",
            parameters=[_NAME],
            requestBody=body("ScheduleSettings"),
        ),
        "delete": operation(
            "Which one was deleted",
            "200",
            "Deleted",
            bad=("400", "404", "409"),
            operationId="deleteSchedule",
            parameters=[_NAME],
        ),
    }


def _verb(verb: str) -> dict[str, Any]:
    return operation(
        f"The schedule, {verb}d",
        "200",
        "Schedule",
        bad=("400", "404"),
        operationId=f"{verb}Schedule",
        parameters=[_NAME],
    )


def _schemas() -> dict[str, Any]:
    return {
        "ScheduleSettings": {"type": "object", "additionalProperties": False, "properties": _SETTINGS},
        "NewSchedule": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {"name": STRING, **_SETTINGS},
        },
        "Schedule": _SCHEDULE,
        "SchedulePage": {
            "type": "object",
            "required": ["schedules", "cursor"],
            "properties": {
                "schedules": {"type": "array", "items": reference("Schedule")},
                "cursor": {"type": ["string", "null"]},
            },
        },
        "RunSchedule": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"params": {"type": "object"}, "idempotency_key": STRING},
        },
        "Started": {
            "type": "object",
            "required": ["kind", "type", "id"],
            "properties": {"kind": {**STRING, "enum": list(KINDS)}, "type": STRING, "id": STRING},
        },
        "Deleted": {
            "type": "object",
            "required": ["name", "deleted"],
            "properties": {"name": STRING, "deleted": {"type": "boolean"}},
        },
    }
