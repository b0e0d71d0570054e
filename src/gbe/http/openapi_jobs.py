"""The part of ``/v1/jobs`` and ``/v1/job-types`` in the OpenAPI document."""

from typing import Any, Final

from gbe.graph.definition import POLICIES
from gbe.graph.record import Code, JobState
from gbe.http.openapi import (
    CURSOR,
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

_ID: Final = in_path("id")
_NAME: Final = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {**STRING, "pattern": "^[A-Za-z0-9_-]{1,64}$"},
}
_STATE: Final = one_of(each.value for each in JobState)
_JOB: Final[dict[str, Any]] = {
    "id": STRING,
    "type": STRING,
    "state": _STATE,
    "run": {**INTEGER, "description": "1, and one more for each retry"},
    **dict.fromkeys(("created_at", "updated_at", "finished_at"), MOMENT),
    "error": STRING,
    "idempotency_key": STRING,
    "counts": {"type": "object", "additionalProperties": INTEGER},
}


_TRANSITION: Final[dict[str, Any]] = record(
    {
        "at": MOMENT,
        "what": {**STRING, "description": "of the job, its state or `retried`; of a task, what happens to it"},
        "run": INTEGER,
        "task": {**STRING, "description": "left out for the job itself"},
        "item": {**INTEGER, "description": "of a fan-out"},
        "undoes": {"type": "boolean"},
        "attempt": INTEGER,
        **dict.fromkeys(("task_id", "worker", "traceparent", "error"), STRING),
    },
    required=["at", "what", "run"],
)


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
                        in_query("type"),
                        in_query("state", _STATE),
                        limit_of(),
                        CURSOR,
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
                        in_query("task", description="one of its tasks"),
                        limit_of(1_000, 10_000, "the first ones"),
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
    task = record(
        {
            **dict.fromkeys(("name", "task_type", "task_id", "error"), STRING),
            "state": one_of(each.word for each in Code),
            "undo": {
                **one_of(each.word for each in (Code.STARTING, Code.RUNNING, Code.COMPLETED, Code.FAILED)),
                "description": "how far its undoing is, where there is one",
            },
            "run": INTEGER,
            "items": {**INTEGER, "description": "of a fan-out"},
            "chunks": {"type": "object", "additionalProperties": INTEGER},
            "depends_on": list_of(STRING),
        },
        required=["name", "task_type", "state"],
    )
    job = record(_JOB, required=["id", "type", "state", "run", "created_at"])
    return {
        "Job": job,
        "JobDetail": {**job, "properties": {**_JOB, "tasks": list_of(task)}},
        "JobTimeline": record(
            {
                "transitions": list_of(_TRANSITION),
                "more": {"type": "boolean", "description": "whether there are more than these"},
            },
            required=["transitions", "more"],
        ),
        "JobPage": page_of("jobs", "Job"),
        "NewJob": record(
            {"type": STRING, "params": {"type": "object"}, "idempotency_key": STRING}, required=["type"], closed=True
        ),
        "CancelJob": record({"reason": STRING}, closed=True),
        "JobTypes": record(
            {
                "types": {
                    "type": "array",
                    "items": record({"name": STRING, "tasks": INTEGER}),
                }
            }
        ),
        "JobType": record({"name": STRING, "definition": reference("JobDefinition")}),
        "JobDefinition": record(
            {
                "params": {"type": "object"},
                "timeout": DURATION,
                "retention": DURATION,
                "tasks": {"type": "object", "additionalProperties": reference("JobTask")},
            },
            required=["tasks"],
        ),
        "JobTask": record(
            {
                "task": STRING,
                "depends_on": list_of(STRING),
                "params": {"type": "object"},
                "input_from": {"type": "object", "additionalProperties": STRING},
                "for_each": {"description": "a list, or a reference to one"},
                "when": STRING,
                "on_failure": one_of(POLICIES),
                "compensate": STRING,
                "max_retries": INTEGER,
                "timeout": DURATION,
                "step_timeout": DURATION,
            }
        ),
    }
