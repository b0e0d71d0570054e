"""Starts what schedules name: the one place that knows schedules and what they start."""

from typing import Final

from gbe.errors import ConfigError, InvalidTaskError, TaskError, TaskNotFoundError
from gbe.jobs.client import JobClient
from gbe.lifecycle.names import check_task_id
from gbe.lifecycle.types import check_type_name
from gbe.schedules.starter import Kind, Started, Target
from gbe.tasks.client import SubmitOptions, TaskClient

_NO_JOBS: Final = "this deployment starts tasks only: name a task"


class TargetStarter:
    """Starts tasks and jobs through their clients; see ``gbe.schedules.starter.Starter``.

    Args:
        jobs: without it, jobs are refused.
    """

    def __init__(self, tasks: TaskClient, jobs: JobClient | None = None) -> None:
        self._tasks, self._jobs = tasks, jobs

    async def check(self, target: Target, params: bytes | None) -> None:
        """Raise ``UnknownTaskTypeError``, ``UnknownJobTypeError``, ``InvalidTaskError`` or ``InvalidJobError``."""
        if target.kind == "job":
            jobs = self._started_jobs(target.name)
            await jobs.check_tasks(await jobs.look_up(target.name))
            return
        await self._tasks.types.look_up(target.name)
        if params is not None:
            self._tasks.types.check_params(target.name, params)

    async def start(self, target: Target, params: bytes, *, key: str) -> Started:
        """Start a task or a job; the same ``key`` gives the same one, as long as that is kept."""
        if target.kind == "job":
            job = await self._started_jobs(target.name).start(target.name, params, idempotency_key=key)
            return Started("job", target.name, job.job_id)
        await self.check(target, params)
        record = await self._tasks.submit(target.name, params, SubmitOptions(idempotency_key=key))
        return Started("task", target.name, record.task_id)

    async def key_of(self, kind: Kind, name: str, id: str) -> str | None:
        """The key that a task or a job was started with; of a task of a job, the job's."""
        if kind == "job":
            return await self._key_of_job(id)
        try:
            record = await self._tasks.store.get(check_type_name(name), check_task_id(id))
        except (TaskNotFoundError, ConfigError):
            return None
        if record.job_id is not None and record.idempotency_key is None:
            return await self._key_of_job(record.job_id)
        return record.idempotency_key

    async def _key_of_job(self, job_id: str) -> str | None:
        try:
            return None if self._jobs is None else (await self._jobs.get(job_id)).idempotency_key
        except TaskError:  # there is none, or it is kept no longer
            return None

    def _started_jobs(self, name: str) -> JobClient:
        if self._jobs is None:
            raise InvalidTaskError(f"job {name}", "job", _NO_JOBS)
        return self._jobs
