"""The part of ``/v1/schedules`` in the OpenAPI document."""

from typing import Any, Final

from gbe.http.openapi import (
    CURSOR,
    DURATION,
    INTEGER,
    MOMENT,
    STRING,
    Part,
    body,
    in_query,
    limit_of,
    list_of,
    one_of,
    operation,
    page_of,
    record,
    reference,
)
from gbe.schedules.catchup import CatchUp
from gbe.schedules.starter import KINDS

_NAME: Final = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {**STRING, "pattern": "^[A-Za-z0-9_-]{1,64}$"},
}
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
_SCHEDULE: Final[dict[str, Any]] = record(
    {
        "name": STRING,
        "settings": reference("ScheduleSettings"),
        "source": one_of(["file", "changed file", "run time"]),
        "paused": {"type": "boolean"},
        **dict.fromkeys(("fires", "misses", "refusals"), INTEGER),
        **dict.fromkeys(
            ("next", "created_at", "updated_at", "last_due", "last_fired_at", "last_refused_at"),
            MOMENT,
        ),
        "last_kind": one_of(KINDS),
        "last_id": STRING,
        "last_error": STRING,
        "upcoming": list_of(MOMENT),
    },
    required=["name", "settings", "source", "paused", "fires", "misses", "refusals", "created_at", "updated_at"],
)


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
                        limit_of(),
                        CURSOR,
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
    upcoming = in_query("upcoming", {**INTEGER, "minimum": 0, "maximum": 100, "default": 5}, "due times to show")
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
        "ScheduleSettings": record(_SETTINGS, closed=True),
        "NewSchedule": record({"name": STRING, **_SETTINGS}, required=["name"], closed=True),
        "Schedule": _SCHEDULE,
        "SchedulePage": page_of("schedules", "Schedule"),
        "RunSchedule": record({"params": {"type": "object"}, "idempotency_key": STRING}, closed=True),
        "Started": record({"kind": one_of(KINDS), "type": STRING, "id": STRING}, required=["kind", "type", "id"]),
        "Deleted": record({"name": STRING, "deleted": {"type": "boolean"}}, required=["name", "deleted"]),
    }
