"""The OpenAPI document of ``/v1/tasks``: paths, parameters and the shapes of what goes in and out."""

from typing import Any, Final

import gbe
from gbe.lifecycle.transitions import TaskState
from gbe.lifecycle.types import SETTINGS

_STRING: Final = {"type": "string"}
_INTEGER: Final = {"type": "integer"}
_DURATION: Final = {
    "oneOf": [{"type": "number"}, {"type": "string"}],
    "description": "seconds, or a number with a unit: 30s",
}
_ID: Final = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {**_STRING, "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"},
}
_TYPE: Final = {"name": "type", "in": "path", "required": True, "schema": _STRING}
_OF_TYPE: Final = {
    "name": "type",
    "in": "query",
    "schema": _STRING,
    "description": "the task's type, if known: quicker",
}


def _answer(schema: str, description: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"description": description, "content": {"application/json": {"schema": reference}}}


def _operation(summary: str, good: str, schema: str, *, bad: tuple[str, ...], **more: Any) -> dict[str, Any]:
    answers = {good: _answer(schema, summary)}
    for status in (*bad, "403", "503"):
        answers[status] = _answer("Error", _REASONS[status])
    return {"summary": summary, "responses": answers, **more}


def _body(schema: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    return {"required": True, "content": {"application/json": {"schema": reference}}}


_REASONS: Final = {
    "400": "a parameter, a filter or a setting cannot be; `field` names it",
    "403": "not from this machine, and no token is configured (401 with a wrong one)",
    "404": "there is no such task, or no such type",
    "409": "the task's state does not allow it",
    "413": "too large",
    "415": "not JSON",
    "503": "the engine does not answer",
}

_TASK: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "type", "state", "priority", "attempt", "retry_count", "created_at", "updated_at"],
    "properties": {
        "id": _STRING,
        "type": _STRING,
        "state": {**_STRING, "enum": [state.value for state in TaskState]},
        "priority": {**_STRING, "enum": ["high", "normal", "low"]},
        **dict.fromkeys(("attempt", "retry_count", "max_retries", "step", "steps"), _INTEGER),
        **{
            name: {**_INTEGER, "description": "unix milliseconds"}
            for name in (
                "created_at",
                "updated_at",
                "run_at",
                "started_at",
                "finished_at",
                "timeout_at",
                "deadline",
            )
        },
        **dict.fromkeys(
            ("worker", "job_id", "key", "idempotency_key", "retry_of", "note", "error", "traceparent"), _STRING
        ),
        "params": {},
        "result": {},
    },
}

_SUBMISSION: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type"],
    "additionalProperties": False,
    "properties": {
        "type": _STRING,
        "params": {"type": "object"},
        "delay": _DURATION,
        "run_at": {**_INTEGER, "description": "unix milliseconds"},
        "priority": {**_STRING, "enum": ["high", "normal", "low"]},
        "idempotency_key": _STRING,
        "key": _STRING,
        "max_retries": _INTEGER,
        "step_timeout": _DURATION,
        "timeout": _DURATION,
        "job_id": _STRING,
    },
}


def document() -> dict[str, Any]:
    """The whole document."""
    query = [
        {"name": "type", "in": "query", "schema": _STRING},
        {"name": "state", "in": "query", "schema": {**_STRING, "enum": [state.value for state in TaskState]}},
        {"name": "key", "in": "query", "schema": _STRING},
        {"name": "limit", "in": "query", "schema": {**_INTEGER, "minimum": 1, "maximum": 1000, "default": 100}},
        {"name": "cursor", "in": "query", "schema": _STRING, "description": "of the page before"},
    ]
    wait = {"name": "wait", "in": "query", "schema": _STRING, "description": "answer when it has ended, 60s at most"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "gbe tasks", "version": gbe.__version__},
        "security": [{"token": []}, {}],
        "paths": {
            "/v1/tasks": {
                "post": _operation(
                    "The task, stored",
                    "201",
                    "Task",
                    bad=("400", "404", "413", "415"),
                    operationId="submitTask",
                    requestBody=_body("Submission"),
                ),
                "get": _operation(
                    "Tasks, the newest first",
                    "200",
                    "Page",
                    bad=("400", "404"),
                    operationId="listTasks",
                    parameters=query,
                ),
            },
            "/v1/tasks/{id}": {
                "get": _operation(
                    "The task",
                    "200",
                    "Task",
                    bad=("400", "404"),
                    operationId="showTask",
                    parameters=[_ID, _OF_TYPE, wait],
                )
            },
            "/v1/tasks/{id}/cancel": {
                "post": _operation(
                    "The task, cancelled",
                    "200",
                    "Task",
                    bad=("404", "409"),
                    operationId="cancelTask",
                    parameters=[_ID, _OF_TYPE],
                )
            },
            "/v1/tasks/{id}/retry": {
                "post": _operation(
                    "A new task with the same parameters",
                    "201",
                    "Task",
                    bad=("404", "409"),
                    operationId="retryTask",
                    parameters=[_ID, _OF_TYPE],
                )
            },
            "/v1/task-types": {
                "get": _operation("All types", "200", "Types", bad=(), operationId="listTaskTypes"),
            },
            "/v1/task-types/{type}": {
                "get": _operation(
                    "The type", "200", "Type", bad=("404",), operationId="showTaskType", parameters=[_TYPE]
                ),
                "patch": _operation(
                    "The type, changed for all workers; null takes a setting back",
                    "200",
                    "Type",
                    bad=("400", "404", "415"),
                    operationId="changeTaskType",
                    parameters=[_TYPE],
                    requestBody=_body("Settings"),
                ),
            },
            **{
                f"/v1/task-types/{{type}}/{verb}": {
                    "post": _operation(
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
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Task": _TASK,
                "Submission": _SUBMISSION,
                "Page": {
                    "type": "object",
                    "required": ["tasks", "cursor"],
                    "properties": {
                        "tasks": {"type": "array", "items": {"$ref": "#/components/schemas/Task"}},
                        "cursor": {"type": ["string", "null"]},
                    },
                },
                "Settings": {"type": "object", "properties": {name: {} for name in SETTINGS}},
                "Type": {
                    "type": "object",
                    "required": ["name", "settings", "schema"],
                    "properties": {
                        "name": _STRING,
                        "settings": {"$ref": "#/components/schemas/Settings"},
                        "schema": {"type": "object", "description": "JSON Schema of the parameters"},
                    },
                },
                "Types": {
                    "type": "object",
                    "properties": {"types": {"type": "array", "items": {"$ref": "#/components/schemas/Type"}}},
                },
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": {
                            "type": "object",
                            "required": ["code", "message"],
                            "properties": {"code": _STRING, "message": _STRING, "field": _STRING},
                        }
                    },
                },
            },
        },
    }
