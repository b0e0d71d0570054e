"""The tasks that a job is made of: submitted once, looked at, stopped."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from gbe.errors import IllegalTransitionError
from gbe.graph.definition import Node
from gbe.jobs.backend import JobBackend
from gbe.lifecycle import history, moves
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.registered import Registered, Settings, compose
from gbe.lifecycle.transitions import TaskState
from gbe.lifecycle.types import TaskType
from gbe.state.base import KEEP

logger = logging.getLogger(__name__)

_TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class Child:
    """One task of a job."""

    task_type: str
    task_id: str
    job_id: str
    traceparent: str | None = None


class Children:
    """Works on tasks of jobs.

    Args:
        configured: the ``tasks:`` section, by type.
    """

    def __init__(self, backend: JobBackend, configured: Mapping[str, Settings]) -> None:
        self._backend, self._configured = backend, configured
        self._settings: dict[str, tuple[float, TaskType]] = {}

    async def submit(self, child: Child, params: bytes, node: Node | None) -> None:
        """Store a task once, and signal it: a second submit finds the first.

        One that nobody has claimed is signalled again: who stored it may have died before it did. A second signal
        starts nothing twice, because a claim names the attempt.
        """
        now = self._backend.clock.now_ms()
        settings = await self._type(child.task_type)
        whole = settings.timeout if node is None or node.timeout is None else node.timeout
        step = None if node is None else node.step_timeout
        key = self._backend.names.task(child.task_type, child.task_id)
        stored = await self._backend.fields_for(key, "params", params)
        record = TaskRecord(
            task_type=child.task_type,
            task_id=child.task_id,
            state=TaskState.PENDING,
            created_at=now,
            updated_at=now,
            max_retries=None if node is None else node.max_retries,
            step_timeout_ms=None if step is None else round(step * 1000),
            timeout_at=now + moves.SIGNAL_PATIENCE_MS,
            signalled_at=now,
            deadline=None if whole is None else now + round(whole * 1000),
            job_id=child.job_id,
            traceparent=child.traceparent,
            params=stored.get("params"),
            params_ref=stored.get("params_ref"),
        )
        if not await self._backend.state.update_if(key, {"state": None}, record.to_fields()):
            found = await self.find(child)
            if found is None or found.state is not TaskState.PENDING or found.attempt:
                return
            record = found
        await self._backend.signal(record)

    async def find(self, child: Child) -> TaskRecord | None:
        """A task, if it was submitted and is still kept."""
        fields = await self._backend.state.get(self._backend.names.task(child.task_type, child.task_id))
        return None if fields is None else TaskRecord.from_fields(fields)

    async def keep(self, child: Child, seconds: float) -> bool:
        """Keep a completed task as long as its job may need its result; whether it is a completed one."""
        key = self._backend.names.task(child.task_type, child.task_id)
        return await self._backend.state.update_if(key, {"state": TaskState.COMPLETED.value.encode()}, {}, ttl=seconds)

    async def result(self, child: Child) -> bytes | None:
        """The result of a completed task as JSON; ``None`` if it is kept no longer."""
        fields = await self._backend.state.get(self._backend.names.task(child.task_type, child.task_id))
        if fields is None or fields.get("state") != TaskState.COMPLETED.value.encode():
            return None
        return await self._backend.value_of(fields, "result") or b"null"

    async def stop(self, child: Child, reason: str) -> None:
        """Cancel a task; one that is not there yet can then not be submitted any more."""
        key = self._backend.names.task(child.task_type, child.task_id)
        retention = (await self._type(child.task_type)).retention
        for _ in range(_TRIES):
            now = self._backend.clock.now_ms()
            fields = await self._backend.state.get(key)
            if fields is None:
                stone = TaskRecord(
                    task_type=child.task_type,
                    task_id=child.task_id,
                    state=TaskState.CANCELLED,
                    created_at=now,
                    updated_at=now,
                    finished_at=now,
                    job_id=child.job_id,
                    error=reason,
                )
                if await self._backend.state.update_if(key, {"state": None}, stone.to_fields(), ttl=retention):
                    await self._backend.announce_end(stone)
                    return
                continue
            record = TaskRecord.from_fields(fields)
            try:
                move = moves.cancel(record, now=now, reason=reason, retention=retention)
                move = history.of_record(move, record, now=now)
            except IllegalTransitionError:
                return
            ttl = KEEP if move.ttl is None else move.ttl
            if await self._backend.state.update_if(key, move.expected, move.changes, ttl=ttl):
                await self._backend.announce_end(moves.after(record, move))
                return

    async def _type(self, task_type: str) -> TaskType:
        now = self._backend.clock.monotonic()
        known = self._settings.get(task_type)
        if known is not None and now - known[0] < 5.0:
            return known[1]
        fields = await self._backend.state.get(self._backend.names.type(task_type))
        registered = None if fields is None else Registered.from_fields(fields)
        settings = compose(task_type, self._configured.get(task_type, {}), registered)
        self._settings[task_type] = (now, settings)
        return settings


def encode_params(values: Mapping[str, object]) -> bytes:
    """Parameters as a task has them."""
    return msgspec.json.encode(values)
