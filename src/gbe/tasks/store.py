"""Tasks in the state store: reads, and moves that are applied once, however often the engine goes away meanwhile."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Final, NamedTuple

from gbe.clock import Clock, SystemClock
from gbe.errors import StateUnavailableError, TaskError, TaskNotFoundError
from gbe.lifecycle.moves import Move
from gbe.lifecycle.names import TaskNames, check_task_id
from gbe.lifecycle.record import TaskRecord
from gbe.state.base import KEEP, Record, StateStore

logger = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


class TaskPage(NamedTuple):
    """The tasks of a ``ScanPage``."""

    tasks: list[TaskRecord]
    cursor: str | None
    looked: int


class TaskStore:
    """The tasks of one namespace."""

    def __init__(self, state: StateStore, names: TaskNames, clock: Clock | None = None) -> None:
        self.state, self.names = state, names
        self.clock = clock or SystemClock()

    async def get(self, task_type: str, task_id: str) -> TaskRecord:
        """A task. Raises ``TaskNotFoundError``."""
        fields = await self.state.get(self.names.task(task_type, check_task_id(task_id)))
        if fields is None:
            raise TaskNotFoundError(task_id)
        return TaskRecord.from_fields(fields)

    async def find(self, task_id: str, task_types: "list[str]") -> TaskRecord:
        """A task whose type is one of these; raises ``TaskNotFoundError``."""
        check_task_id(task_id)
        found = await asyncio.gather(*(self.state.get(self.names.task(name, task_id)) for name in task_types))
        for fields in found:
            if fields is not None:
                return TaskRecord.from_fields(fields)
        raise TaskNotFoundError(task_id)

    async def scan(self, task_type: str | None) -> AsyncIterator[TaskRecord]:
        """Every task, of one type or of all; what is no task's record is skipped."""
        async for found in self.state.scan(self._prefix(task_type)):
            record = _task_of(found)
            if record is not None:
                yield record

    async def page(self, task_type: str | None, cursor: str | None, limit: int, until: str | None) -> TaskPage:
        """A part of the scan, as ``StateStore.scan_page`` bounds it. Raises ``InvalidKeyError`` for a cursor."""
        page = await self.state.scan_page(self._prefix(task_type), cursor=cursor, limit=limit, until=until)
        tasks = [record for found in page.records if (record := _task_of(found)) is not None]
        return TaskPage(tasks, page.cursor, page.looked)

    def _prefix(self, task_type: str | None) -> str:
        return self.names.state_prefix if task_type is None else f"{self.names.state_prefix}.{task_type}"

    async def apply(self, key: str, move: Move) -> bool:
        """One transition, as ``StateStore.update_if`` does it."""
        return await self.state.update_if(key, move.expected, move.changes, ttl=KEEP if move.ttl is None else move.ttl)

    async def settle(self, key: str, move: Move, is_wanted: Callable[[], bool] = lambda: True) -> bool:
        """One transition, tried until the engine has answered: whether it is applied.

        A write whose answer was lost is looked up before it is repeated: the fields that it sets tell.

        Args:
            key: the record's.
            move: sets something that nobody else would set, such as an attempt's own moments.
            is_wanted: asked before each further try.

        Raises:
            StateUnavailableError: no longer wanted; nobody knows.
        """
        pause, maybe_done = 0.0, False
        while True:
            try:
                if maybe_done and await self._is_applied(key, move):
                    return True
                return await self.apply(key, move)
            except StateUnavailableError as exc:
                maybe_done = True
                if not is_wanted():
                    raise
                pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
                logger.warning("state is not written, trying again: %s", exc, extra={"key": key})
                await asyncio.sleep(pause)

    async def _is_applied(self, key: str, move: Move) -> bool:
        fields = await self.state.get(key) or {}
        return all(fields.get(name) == value for name, value in move.changes.items())


def _task_of(found: Record) -> TaskRecord | None:
    try:
        return TaskRecord.from_fields(found.fields)
    except TaskError as exc:
        logger.warning("record skipped: %s", exc, extra={"key": found.key})
        return None
