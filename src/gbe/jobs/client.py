"""What programs, the command line and HTTP do with jobs: define, start, look, cancel, retry."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from gbe.errors import (
    IllegalJobTransitionError,
    InvalidJobError,
    StateUnavailableError,
    UnknownJobTypeError,
    UnknownTaskTypeError,
)
from gbe.graph import progress
from gbe.graph.definition import JobDefinition, decode_definition
from gbe.graph.history import begun
from gbe.graph.names import MAX_RUNS, check_job_id, check_job_type, job_id_of_key
from gbe.graph.record import NOT_UNDONE, Code, JobRecord, JobState
from gbe.ids import new_ulid
from gbe.jobs.backend import JobBackend
from gbe.jobs.store import JobStore
from gbe.jobs.timeline import Timeline, timeline
from gbe.lifecycle.names import check_limit_key
from gbe.tracing import current_traceparent

MAX_PARAMS: Final = 4 * 1024 * 1024
MOST_LISTED: Final = 1_000
_TRIES: Final = 50
_FIRST_LOOK_MS: Final = 2_000
_POLL: Final = 0.1


class TaskTypes(Protocol):
    """Knows which task types there are."""

    async def look_up(self, name: str) -> object:
        """Raises ``UnknownTaskTypeError``."""
        ...


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, the newest first, and the cursor behind them; ``None`` at the end."""

    jobs: list[JobRecord]
    cursor: str | None


class JobClient:
    """Works on jobs of one deployment.

    Args:
        types: the task types.
        configured: definitions of the configuration and of the program, by job type; what is defined at run time
            (``define``) beats them.
    """

    def __init__(self, backend: JobBackend, types: TaskTypes, configured: Mapping[str, JobDefinition]) -> None:
        self._backend, self._types, self.configured = backend, types, configured
        self.store = JobStore(backend)

    # -- definitions

    async def define(self, definition: JobDefinition) -> None:
        """Store a definition; jobs that are started from now on follow it, others keep theirs."""
        await self.check_tasks(definition)
        key = self.store.names.type(definition.name)
        stored = await self._backend.fields_for(key, "definition", definition.to_json())
        fields = {name: value for name, value in stored.items() if value is not None}
        await self._backend.state.put(key, {"job_type": definition.name.encode(), **fields})

    async def look_up(self, job_type: str) -> JobDefinition:
        """The definition of a type that counts. Raises ``UnknownJobTypeError``."""
        check_job_type(job_type)
        fields = await self._backend.state.get(self.store.names.type(job_type))
        if fields is not None:
            return decode_definition(job_type, await self._backend.value_of(fields, "definition") or b"{}")
        if job_type not in self.configured:
            raise UnknownJobTypeError(job_type)
        return self.configured[job_type]

    async def definitions(self) -> dict[str, JobDefinition]:
        """Every definition, by type."""
        names = set(self.configured)
        async for record in self._backend.state.scan(self.store.names.types_prefix):
            names.add(record.key.rpartition(".")[2])
        return {name: await self.look_up(name) for name in sorted(names)}

    async def check_tasks(self, definition: JobDefinition) -> None:
        """Raises ``InvalidJobError`` for a task type that nobody knows; names the place."""
        known: dict[str, bool] = {}
        for name in definition.task_types():
            try:
                await self._types.look_up(name)
                known[name] = True
            except UnknownTaskTypeError:
                known[name] = False
        for node in definition.nodes:
            for key, name in (("task", node.task), ("compensate", node.compensate or node.task)):
                if not known[name]:
                    raise InvalidJobError(
                        f"job {definition.name}",
                        f"tasks.{node.name}.{key}",
                        f"unknown task type {name!r}; name it under tasks: or start a worker that has it",
                    )

    # -- start

    async def start(
        self, job_type: str, params: bytes | Mapping[str, Any] = b"{}", *, idempotency_key: str | None = None
    ) -> JobRecord:
        """Start a job: once this returns it is stored, and an orchestrator will advance it.

        Args:
            job_type: one that is defined.
            params: a JSON object; the definition's defaults are filled in.
            idempotency_key: a second start of the type with the same key gives the first job, while that is kept.

        Raises:
            UnknownJobTypeError, InvalidJobError: nothing was written.
            StateUnavailableError: no answer; with an ``idempotency_key`` a repetition is safe.
        """
        definition = await self.look_up(job_type)
        given = _params(job_type, params)
        if idempotency_key is None:
            job_id = new_ulid()
        else:
            job_id = job_id_of_key(job_type, check_limit_key("idempotency_key", idempotency_key))
            known = await self.store.find(job_id)
            if known is not None:
                return known
        await self.check_tasks(definition)
        now = self._backend.clock.now_ms()
        encoded = msgspec.json.encode({**definition.params, **given})
        await self.store.put_plan(job_id, definition, encoded, definition.life)
        # another start with the same key may have written its plan first: what is stored counts
        definition = (await self.store.plan(job_id)).definition
        count = len(definition.nodes)
        job = JobRecord(
            job_id=job_id,
            job_type=job_type,
            rev=1,
            created_at=now,
            updated_at=now,
            look_at=now + _FIRST_LOOK_MS,
            deadline=now + round(definition.timeout * 1000),
            retention_ms=round(definition.retention * 1000),
            nodes=Code.WAITING.value * count,
            runs=bytes(count),
            undo=NOT_UNDONE * count,
            idempotency_key=idempotency_key,
            traceparent=current_traceparent(),
            history=begun(now),
        )
        if not await self.store.create(job):
            return await self.store.get(job_id)
        await self.store.announce_safely(job, "created")
        return job

    # -- look

    async def get(self, job_id: str) -> JobRecord:
        """A job. Raises ``JobNotFoundError``."""
        return await self.store.get(job_id)

    async def timeline(self, job_id: str, *, task: str | None = None, limit: int = 1_000) -> Timeline:
        """Every transition of a job and its tasks, in the order of time, or of one of its tasks; the first ``limit``.

        Raises:
            JobNotFoundError: there is none, or it is kept no longer.
            InvalidJobError: no such task, a limit out of range.
        """
        return await timeline(self._backend, self.store, check_job_id(job_id), task, limit)

    async def wait(self, job_id: str, timeout: float | None = None) -> JobRecord:
        """A job once it has ended. Raises ``TimeoutError``, ``JobNotFoundError``."""
        async with asyncio.timeout(timeout):
            while True:
                job = await self.store.get(job_id)
                if job.state.is_terminal:
                    return job
                await asyncio.sleep(_POLL)

    async def list(
        self,
        *,
        job_type: str | None = None,
        state: JobState | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> JobPage:
        """Some jobs, the newest first; ``cursor`` of the page before. Raises ``InvalidJobError``."""
        if not 1 <= limit <= MOST_LISTED:
            raise InvalidJobError("list", "limit", f"{limit}; expected 1 to {MOST_LISTED}")
        border = _border(cursor)
        found: list[JobRecord] = []
        async for job in self.store.scan():
            if (job_type is not None and job.job_type != job_type) or (state is not None and job.state is not state):
                continue
            if border is None or (job.created_at, job.job_id) < border:
                found.append(job)
            if len(found) > 4 * limit + 100:
                found = _newest(found)[: limit + 1]
        newest = _newest(found)
        page = newest[:limit]
        more = len(newest) > limit
        return JobPage(page, f"{page[-1].created_at}-{page[-1].job_id}" if more else None)

    # -- change

    async def cancel(self, job_id: str, reason: str = "cancelled") -> JobRecord:
        """Cancel a job: it has ended when this returns, and its tasks are stopped within moments; nothing is undone.

        Raises:
            JobNotFoundError: there is none.
            IllegalJobTransitionError: it has ended.
        """

        def change(job: JobRecord) -> None:
            if job.state.is_terminal:
                raise IllegalJobTransitionError(job.state.value, "cancel", job_id)
            now = self._backend.clock.now_ms()
            job.state, job.error, job.finished_at, job.look_at = JobState.CANCELLED, reason, now, now
            job.nodes = job.nodes.replace(Code.WAITING.value, Code.CANCELLED.value)

        return await self._change(job_id, "cancelled", change)

    async def retry(self, job_id: str) -> JobRecord:
        """Give a failed or cancelled job another run: what succeeded is kept.

        Raises:
            JobNotFoundError: there is none.
            IllegalJobTransitionError: it has not failed, its end is not wound up yet, or it was retried too often.
        """
        plan = await self.store.plan((await self.store.get(job_id)).job_id)
        await self.store.keep_plan(job_id, plan.definition.life)

        def change(job: JobRecord) -> None:
            is_over = job.state in (JobState.FAILED, JobState.CANCELLED) and job.look_at is None
            if not is_over or job.run >= MAX_RUNS:
                raise IllegalJobTransitionError(job.state.value, "retry", job_id)
            progress.restart(plan.definition, job)
            now = self._backend.clock.now_ms()
            job.look_at, job.deadline = now, now + round(plan.definition.timeout * 1000)

        return await self._change(job_id, "retried", change)

    async def _change(self, job_id: str, word: str, change: Any) -> JobRecord:
        for _ in range(_TRIES):
            seen = await self.store.get(job_id)
            after = seen.copy()
            change(after)
            if await self.store.update(seen, after, ttl=None):
                return after
        raise StateUnavailableError(f"job {job_id} changes too fast to be {word}; try again")


def _params(job_type: str, params: bytes | Mapping[str, Any]) -> dict[str, Any]:
    what = f"job {job_type}"
    try:
        encoded = params if isinstance(params, bytes) else msgspec.json.encode(dict(params))
        if len(encoded) > MAX_PARAMS:
            raise InvalidJobError(what, "params", f"{len(encoded)} bytes; at most {MAX_PARAMS}")
        found = msgspec.json.decode(encoded)
    except (msgspec.MsgspecError, TypeError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidJobError(what, "params", f"not JSON: {exc}") from None
    if not isinstance(found, dict):
        raise InvalidJobError(what, "params", "expected a JSON object, name to value")
    return found


def _border(cursor: str | None) -> tuple[int, str] | None:
    if cursor is None:
        return None
    moment, dash, job_id = cursor.partition("-")
    if not dash or not (moment.isascii() and moment.isdigit()) or len(moment) > 13 or len(job_id) != 26:
        raise InvalidJobError("list", "cursor", "not one of ours")
    return int(moment), job_id


def _newest(found: list[JobRecord]) -> list[JobRecord]:
    return sorted(found, key=lambda job: (job.created_at, job.job_id), reverse=True)
