"""Starts what schedules name: the one place that knows schedules and what they start."""

from typing import Final

from gbe.errors import ConfigError, InvalidTaskError, TaskNotFoundError
from gbe.lifecycle.names import check_task_id
from gbe.lifecycle.types import check_type_name
from gbe.schedules.starter import Kind, Started, Target
from gbe.tasks.client import SubmitOptions, TaskClient

_NO_JOBS: Final = "this deployment starts tasks only: name a task"


class TargetStarter:
    """Starts tasks through a client; see ``gbe.schedules.starter.Starter``."""

    def __init__(self, tasks: TaskClient) -> None:
        self._tasks = tasks

    async def check(self, target: Target, params: bytes | None) -> None:
        """Raise ``UnknownTaskTypeError`` or ``InvalidTaskError``."""
        if target.kind == "job":
            raise InvalidTaskError(f"job {target.name}", "job", _NO_JOBS)
        await self._tasks.types.look_up(target.name)
        if params is not None:
            self._tasks.types.check_params(target.name, params)

    async def start(self, target: Target, params: bytes, *, key: str) -> Started:
        """Submit a task; the same ``key`` gives the same task, as long as that is kept."""
        await self.check(target, params)
        record = await self._tasks.submit(target.name, params, SubmitOptions(idempotency_key=key))
        return Started("task", target.name, record.task_id)

    async def key_of(self, kind: Kind, name: str, id: str) -> str | None:
        """The key that a task was submitted with."""
        if kind != "task":
            return None
        try:
            record = await self._tasks.store.get(check_type_name(name), check_task_id(id))
        except (TaskNotFoundError, ConfigError):
            return None
        return record.idempotency_key
