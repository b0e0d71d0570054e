"""The part of ``/v1/tasks`` and ``/v1/task-types`` in the OpenAPI document."""

from typing import Any, Final

from gbe.http.openapi import (
    DURATION,
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
from gbe.lifecycle.transitions import TaskState
from gbe.lifecycle.types import SETTINGS

_ID: Final = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {**STRING, "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"},
}
_TYPE: Final = in_path("type")
_OF_TYPE: Final = in_query("type", description="the task's type, if known: quicker")

_TASK: Final[dict[str, Any]] = record(
    {
        "id": STRING,
        "type": STRING,
        "state": one_of(state.value for state in TaskState),
        "priority": one_of(["high", "normal", "low"]),
        **dict.fromkeys(("attempt", "retry_count", "max_retries", "step", "steps"), INTEGER),
        **dict.fromkeys(
            ("created_at", "updated_at", "run_at", "started_at", "finished_at", "timeout_at", "deadline"), MOMENT
        ),
        **dict.fromkeys(
            ("worker", "job_id", "key", "idempotency_key", "retry_of", "note", "error", "traceparent"), STRING
        ),
        "params": {},
        "result": {},
    },
    required=["id", "type", "state", "priority", "attempt", "retry_count", "created_at", "updated_at"],
)

_SUBMISSION: Final[dict[str, Any]] = record(
    {
        "type": STRING,
        "params": {"type": "object"},
        "delay": DURATION,
        "run_at": MOMENT,
        "priority": one_of(["high", "normal", "low"]),
        "idempotency_key": STRING,
        "key": STRING,
        "max_retries": INTEGER,
        "step_timeout": DURATION,
        "timeout": DURATION,
        "job_id": STRING,
    },
    required=["type"],
    closed=True,
)


def task_part() -> Part:
    """Paths and schemas."""
    query = [
        in_query("type"),
        in_query("state", one_of(state.value for state in TaskState)),
        in_query("key"),
        limit_of(),
        in_query("cursor", description="of the page before; a page without tasks may have one"),
    ]
    wait = in_query("wait", description="answer when it has ended, 60s at most")
    return Part(
        paths={
            "/v1/tasks": {
                "post": operation(
                    "The task, stored",
                    "201",
                    "Task",
                    bad=("400", "404", "413", "415"),
                    operationId="submitTask",
                    requestBody=body("Submission"),
                ),
                "get": operation(
                    "Tasks, the newest first",
                    "200",
                    "Page",
                    bad=("400", "404"),
                    operationId="listTasks",
                    parameters=query,
                ),
            },
            "/v1/tasks/{id}": {
                "get": operation(
                    "The task",
                    "200",
                    "Task",
                    bad=("400", "404"),
                    operationId="showTask",
                    parameters=[_ID, _OF_TYPE, wait],
                )
            },
            "/v1/tasks/{id}/cancel": {
                "post": operation(
                    "The task, cancelled",
                    "200",
                    "Task",
                    bad=("404", "409"),
                    operationId="cancelTask",
                    parameters=[_ID, _OF_TYPE],
                )
            },
            "/v1/tasks/{id}/retry": {
                "post": operation(
                    "A new task with the same parameters",
                    "201",
                    "Task",
                    bad=("404", "409"),
                    operationId="retryTask",
                    parameters=[_ID, _OF_TYPE],
                )
            },
            "/v1/task-types": {
                "get": operation("All types", "200", "Types", bad=(), operationId="listTaskTypes"),
            },
            "/v1/task-types/{type}": {
                "get": operation(
                    "The type", "200", "Type", bad=("404",), operationId="showTaskType", parameters=[_TYPE]
                ),
                "patch": operation(
                    "The type, changed for all workers; null takes a setting back",
                    "200",
                    "Type",
                    bad=("400", "404", "415"),
                    operationId="changeTaskType",
                    parameters=[_TYPE],
                    requestBody=body("Settings"),
                ),
            },
            **{
                f"/v1/task-types/{{type}}/{verb}": {
                    "post": operation(
                        f"The type, {verb}d",
                        "200",
                        "Type",
                        bad=("404",),
                        operationId=f"{verb}TaskType",
                        parameters=[_TYPE],
                    )
                }
                for verb in ("pause", "resume")
            },
        },
        schemas={
            "Task": _TASK,
            "Submission": _SUBMISSION,
            "Page": page_of("tasks", "Task"),
            "Settings": record({name: {} for name in SETTINGS}),
            "Type": record(
                {
                    "name": STRING,
                    "settings": reference("Settings"),
                    "schema": {"type": "object", "description": "JSON Schema of the parameters"},
                },
                required=["name", "settings", "schema"],
            ),
            "Types": record({"types": list_of(reference("Type"))}),
        },
    )
