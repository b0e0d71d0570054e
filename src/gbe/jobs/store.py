"""Jobs in the state store: records, plans, chunks and definitions; events of their life."""

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gbe.errors import JobNotFoundError, TaskError, TransportError
from gbe.graph import history
from gbe.graph.definition import JobDefinition, decode_definition
from gbe.graph.names import JobNames, check_job_id
from gbe.graph.record import Chunk, JobRecord
from gbe.jobs.backend import JobBackend
from gbe.schemas.jobs import VERSION, JobEvent, JobWord, encode
from gbe.state.base import KEEP, Ttl

logger = logging.getLogger(__name__)

_PLANS_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job never changes."""

    definition: JobDefinition
    params: dict[str, Any]


class JobStore:
    """The jobs of one namespace."""

    def __init__(self, backend: JobBackend) -> None:
        self._backend = backend
        self.names = JobNames(backend.names.namespace)
        self._plans: OrderedDict[str, Plan] = OrderedDict()

    # -- jobs

    async def find(self, job_id: str) -> JobRecord | None:
        """A job, if there is one."""
        fields = await self._backend.state.get(self.names.job(job_id))
        return None if fields is None else JobRecord.from_fields(fields)

    async def get(self, job_id: str) -> JobRecord:
        """A job. Raises ``JobNotFoundError``."""
        job = await self.find(check_job_id(job_id))
        if job is None:
            raise JobNotFoundError(job_id)
        return job

    async def create(self, job: JobRecord) -> bool:
        """Write a new job; ``False`` if there is one with that id."""
        return await self._backend.state.update_if(self.names.job(job.job_id), {"state": None}, job.to_fields())

    async def update(self, seen: JobRecord, after: JobRecord, *, ttl: Ttl = KEEP) -> bool:
        """Replace a job as it was seen; ``False`` if somebody else has written it meanwhile."""
        after.rev, after.updated_at = seen.rev + 1, self._backend.clock.now_ms()
        after.history = history.written(seen, after, after.updated_at)
        expected = {"rev": b"%d" % seen.rev}
        changes = after.changes_from(seen)
        return await self._backend.state.update_if(self.names.job(seen.job_id), expected, changes, ttl=ttl)

    async def scan(self) -> AsyncIterator[JobRecord]:
        """Every job; what is none is skipped."""
        async for record in self._backend.state.scan(self.names.state_prefix):
            try:
                yield JobRecord.from_fields(record.fields)
            except TaskError as exc:
                logger.warning("record skipped: %s", exc, extra={"key": record.key})

    # -- plans

    async def put_plan(self, job_id: str, definition: JobDefinition, params: bytes, ttl: float) -> None:
        """Write what a job never changes; before the job itself."""
        key = self.names.plan(job_id)
        fields = {
            "job_type": definition.name.encode(),
            **await self._backend.fields_for(key, "definition", definition.to_json()),
            **await self._backend.fields_for(key, "params", params),
        }
        found = {name: value for name, value in fields.items() if value is not None}
        await self._backend.state.update_if(key, {"job_type": None}, found, ttl=ttl)

    async def keep_plan(self, job_id: str, ttl: float) -> None:
        """A job goes on, and needs its plan so much longer. Raises ``JobNotFoundError``: it is gone."""
        key = self.names.plan(job_id)
        job_type = await self._backend.state.get_field(key, "job_type")
        if job_type is None or not await self._backend.state.update_if(key, {"job_type": job_type}, {}, ttl=ttl):
            raise JobNotFoundError(job_id)

    async def plan(self, job_id: str) -> Plan:
        """What a job never changes. Raises ``JobNotFoundError``."""
        plan = self._plans.get(job_id)
        if plan is not None:
            self._plans.move_to_end(job_id)
            return plan
        fields = await self._backend.state.get(self.names.plan(job_id))
        if fields is None:
            raise JobNotFoundError(job_id)
        definition = await self._backend.value_of(fields, "definition") or b"{}"
        params = await self._backend.value_of(fields, "params") or b"{}"
        plan = Plan(decode_definition(fields["job_type"].decode(), definition), msgspec.json.decode(params))
        self._plans[job_id] = plan
        if len(self._plans) > _PLANS_KEPT:
            self._plans.popitem(last=False)
        return plan

    # -- items of fan-outs

    async def chunk(self, job_id: str, node: int, number: int) -> Chunk | None:
        """The items of one chunk."""
        fields = await self._backend.state.get(self.names.items(job_id, node, number))
        return None if fields is None else Chunk.from_fields(fields)

    async def update_chunk(self, job_id: str, node: int, number: int, chunk: Chunk, ttl: float) -> bool:
        """Write a chunk as it was read, with other codes; a new one has ``rev`` 0."""
        expected = {"rev": b"%d" % chunk.rev if chunk.rev else None}
        after = Chunk(chunk.rev + 1, chunk.codes, chunk.runs)
        key = self.names.items(job_id, node, number)
        return await self._backend.state.update_if(key, expected, after.to_fields(), ttl=ttl)

    # -- events

    async def announce(self, job: JobRecord, word: JobWord) -> None:
        """Tell of a job's life. The same event again is the same message, as long as the engine remembers."""
        name = f"{job.job_id}.{job.run}.{word}"
        event = JobEvent(
            v=VERSION,
            ts=self._backend.clock.now_ms(),
            id=name,
            job_id=job.job_id,
            job_type=job.job_type,
            state=word,
            run=job.run,
            error=job.error if word == "failed" else None,
        )
        await self._backend.transport.publish(
            self.names.event(job.job_type, word), encode(event), idempotency_key=name, traceparent=job.traceparent
        )

    async def announce_safely(self, job: JobRecord, word: JobWord) -> None:
        """The same where a lost event is healed by somebody who looks."""
        try:
            await self.announce(job, word)
        except TransportError as exc:
            logger.warning("event of a job not published: %s", exc, extra={"job_id": job.job_id})
