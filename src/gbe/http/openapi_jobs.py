"""The part of ``/v1/jobs`` and ``/v1/job-types`` in the OpenAPI document."""

from typing import Any, Final

from gbe.graph.definition import POLICIES
from gbe.graph.record import Code, JobState
from gbe.http.openapi import DURATION, INTEGER, STRING, Part, body, operation, reference

_ID: Final = {"name": "id", "in": "path", "required": True, "schema": STRING}
_NAME: Final = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {**STRING, "pattern": "^[A-Za-z0-9_-]{1,64}$"},
}
_MOMENT: Final = {**INTEGER, "description": "unix milliseconds"}
_STATE: Final = {**STRING, "enum": [each.value for each in JobState]}
_JOB: Final[dict[str, Any]] = {
    "id": STRING,
    "type": STRING,
    "state": _STATE,
    "run": {**INTEGER, "description": "1, and one more for each retry"},
    **dict.fromkeys(("created_at", "updated_at", "finished_at"), _MOMENT),
    "error": STRING,
    "idempotency_key": STRING,
    "counts": {"type": "object", "additionalProperties": INTEGER},
}


_TRANSITION: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["at", "what", "run"],
    "properties": {
        "at": _MOMENT,
        "what": {**STRING, "description": "of the job, its state or `retried`; of a task, what happens to it"},
        "run": INTEGER,
        "task": {**STRING, "description": "left out for the job itself"},
        "item": {**INTEGER, "description": "of a fan-out"},
        "undoes": {"type": "boolean"},
        "attempt": INTEGER,
        **dict.fromkeys(("task_id", "worker", "traceparent", "error"), STRING),
    },
}


def job_part() -> Part:
    """Paths and schemas."""
    return Part(
        paths={
            "/v1/jobs": {
                "post": operation(
                    "The job, stored",
                    "201",
                    "Job",
                    bad=("400", "404", "413", "415"),
                    operationId="startJob",
                    requestBody=body("NewJob"),
                ),
                "get": operation(
                    "Jobs, the newest first",
                    "200",
                    "JobPage",
                    bad=("400",),
                    operationId="listJobs",
                    parameters=[
                        {"name": "type", "in": "query", "schema": STRING},
                        {"name": "state", "in": "query", "schema": _STATE},
                        {
                            "name": "limit",
                            "in": "query",
                            "schema": {**INTEGER, "minimum": 1, "maximum": 1000, "default": 100},
                        },
                        {"name": "cursor", "in": "query", "schema": STRING, "description": "of the page before"},
                    ],
                ),
            },
            "/v1/jobs/{id}": {
                "get": operation(
                    "The job and its tasks",
                    "200",
                    "JobDetail",
                    bad=("404",),
                    operationId="showJob",
                    parameters=[_ID],
                )
            },
            "/v1/jobs/{id}/timeline": {
                "get": operation(
                    "Every transition of the job and its tasks, in the order of time",
                    "200",
                    "JobTimeline",
                    bad=("400", "404"),
                    operationId="jobTimeline",
                    parameters=[
                        _ID,
                        {"name": "task", "in": "query", "schema": STRING, "description": "one of its tasks"},
                        {
                            "name": "limit",
                            "in": "query",
                            "schema": {**INTEGER, "minimum": 1, "maximum": 10_000, "default": 1_000},
                            "description": "the first ones",
                        },
                    ],
                )
            },
            "/v1/jobs/{id}/cancel": {
                "post": operation(
                    "The job, cancelled",
                    "200",
                    "Job",
                    bad=("400", "404", "409", "413"),
                    operationId="cancelJob",
                    parameters=[_ID],
                    requestBody={**body("CancelJob"), "required": False},
                )
            },
            "/v1/jobs/{id}/retry": {
                "post": operation(
                    "The job, in another run",
                    "200",
                    "Job",
                    bad=("404", "409"),
                    operationId="retryJob",
                    parameters=[_ID],
                )
            },
            "/v1/job-types": {
                "get": operation("The job types, by name", "200", "JobTypes", bad=(), operationId="listJobTypes")
            },
            "/v1/job-types/{name}": {
                "get": operation(
                    "The definition",
                    "200",
                    "JobType",
                    bad=("400", "404"),
                    operationId="showJobType",
                    parameters=[_NAME],
                ),
                "put": operation(
                    "The definition, stored",
                    "200",
                    "JobType",
                    bad=("400", "413", "415"),
                    operationId="defineJobType",
                    parameters=[_NAME],
                    requestBody=body("JobDefinition"),
                ),
            },
        },
        schemas=_schemas(),
    )


def _schemas() -> dict[str, Any]:
    task = {
        "type": "object",
        "required": ["name", "task_type", "state"],
        "properties": {
            **dict.fromkeys(("name", "task_type", "task_id", "error"), STRING),
            "state": {**STRING, "enum": [each.word for each in Code]},
            "undo": {
                **STRING,
                "enum": [each.word for each in (Code.STARTING, Code.RUNNING, Code.COMPLETED, Code.FAILED)],
                "description": "how far its undoing is, where there is one",
            },
            "run": INTEGER,
            "items": {**INTEGER, "description": "of a fan-out"},
            "chunks": {"type": "object", "additionalProperties": INTEGER},
            "depends_on": {"type": "array", "items": STRING},
        },
    }
    job = {"type": "object", "required": ["id", "type", "state", "run", "created_at"], "properties": _JOB}
    return {
        "Job": job,
        "JobDetail": {**job, "properties": {**_JOB, "tasks": {"type": "array", "items": task}}},
        "JobTimeline": {
            "type": "object",
            "required": ["transitions", "more"],
            "properties": {
                "transitions": {"type": "array", "items": _TRANSITION},
                "more": {"type": "boolean", "description": "whether there are more than these"},
            },
        },
        "JobPage": {
            "type": "object",
            "required": ["jobs", "cursor"],
            "properties": {
                "jobs": {"type": "array", "items": reference("Job")},
                "cursor": {"type": ["string", "null"]},
            },
        },
        "NewJob": {
            "type": "object",
            "required": ["type"],
            "additionalProperties": False,
            "properties": {"type": STRING, "params": {"type": "object"}, "idempotency_key": STRING},
        },
        "CancelJob": {"type": "object", "additionalProperties": False, "properties": {"reason": STRING}},
        "JobTypes": {
            "type": "object",
            "properties": {
                "types": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"name": STRING, "tasks": INTEGER}},
                }
            },
        },
        "JobType": {
            "type": "object",
            "properties": {"name": STRING, "definition": reference("JobDefinition")},
        },
        "JobDefinition": {
            "type": "object",
            "required": ["tasks"],
            "properties": {
                "params": {"type": "object"},
                "timeout": DURATION,
                "retention": DURATION,
                "tasks": {"type": "object", "additionalProperties": reference("JobTask")},
            },
        },
        "JobTask": {
            "type": "object",
            "properties": {
                "task": STRING,
                "depends_on": {"type": "array", "items": STRING},
                "params": {"type": "object"},
                "input_from": {"type": "object", "additionalProperties": STRING},
                "for_each": {"description": "a list, or a reference to one"},
                "when": STRING,
                "on_failure": {**STRING, "enum": list(POLICIES)},
                "compensate": STRING,
                "max_retries": INTEGER,
                "timeout": DURATION,
                "step_timeout": DURATION,
            },
        },
    }
