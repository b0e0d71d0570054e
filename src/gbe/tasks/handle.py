"""A submitted task, in the hands of who submitted it."""

from typing import Any

import msgspec

from gbe.lifecycle.record import TaskRecord
from gbe.tasks.client import TaskClient
from gbe.tasks.functions import TaskFunction


class Task:
    """One task; made by ``App.submit`` and ``App.get``.

    Attributes:
        id, type: which task this is.
        record: the task as it was when last looked at.
    """

    def __init__(self, client: TaskClient, record: TaskRecord, function: TaskFunction | None = None) -> None:
        self._client, self._function = client, function
        self.record = record
        self.id, self.type = record.task_id, record.task_type

    def __repr__(self) -> str:
        return f"<Task {self.type} {self.id} {self.record.state.value}>"

    async def result(self, timeout: float | None = None) -> Any:
        """Wait for the task and return its result, as the function's annotation has it where the function is known.

        Raises:
            TaskFailedError, TaskCancelledError: it has no result.
            TimeoutError: it has not ended within ``timeout`` seconds; it goes on.
            TaskNotFoundError: it was kept no longer.
        """
        result = await self._client.result(self.type, self.id, timeout)
        return msgspec.json.decode(result) if self._function is None else self._function.decode_result(result)

    async def refresh(self) -> TaskRecord:
        """Look at the task now. Raises ``TaskNotFoundError``."""
        self.record = await self._client.store.get(self.type, self.id)
        return self.record

    async def cancel(self) -> None:
        """Cancel the task. Raises ``IllegalTransitionError`` if it has ended."""
        self.record = await self._client.cancel(self.id, self.type)
