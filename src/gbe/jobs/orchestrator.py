"""Advances jobs: when one is started, when one of their tasks ends, and when nothing was heard of one for a while.

All orchestrators of a deployment are active: messages are shared among them by a consumer group, and a job is safe
with several at a time (see ``gbe.jobs.advance``). In one process, what is heard of a job waits until its step is over
and is then dealt with together: a fan-out does not write its job once for every item.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gbe.errors import InvalidEnvelopeError, ObjectError, StateError, TransportError
from gbe.ids import is_ulid
from gbe.jobs.advance import Advancer, Step
from gbe.jobs.backend import JobBackend
from gbe.jobs.config import OrchestratorConfig
from gbe.lifecycle.registered import Settings
from gbe.schemas.jobs import decode_event
from gbe.schemas.tasks import decode_outcome
from gbe.transport.base import EARLIEST, ConsumeOptions, Delivery

logger = logging.getLogger(__name__)

GROUP: Final = "orchestrators"
LOOK_AT: Final = "look_at"
_WAITING: Final = 2_000
_PAUSE: Final = 1.0
_LONG: Final = 5.0
_PAGE: Final = 256
_STEPS: Final = 100_000
_PASSING: Final = (StateError, ObjectError, TransportError)
"""What passes by itself; a message comes back, and a job is looked at again."""
# never given up: what cannot be read is acknowledged, and what an engine refuses it may take later
_OPTIONS: Final = ConsumeOptions(
    start=EARLIEST, batch_size=200, max_inflight=_WAITING, ack_timeout=60.0, max_deliver=1_000_000
)


@dataclass(slots=True)
class _Inbox:
    """What was heard of a job since its last step, and whoever waits for the next one to be over."""

    ended: list[str] = field(default_factory=list)
    heard: list[asyncio.Future[None]] = field(default_factory=list)
    look: bool = False


class Orchestrator:
    """One of any number of orchestrators.

    Args:
        configured: the ``tasks:`` section, by type.
    """

    def __init__(
        self,
        backend: JobBackend,
        configured: Mapping[str, Settings] | None = None,
        config: OrchestratorConfig | None = None,
    ) -> None:
        self._backend, self.config = backend, config or OrchestratorConfig()
        self.advancer = Advancer(backend, configured or {}, self.config)
        self._inboxes: dict[str, _Inbox] = {}
        self._working: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(self.config.concurrency)

    async def run(self) -> None:
        """Advance jobs until cancelled; an engine that goes away is waited for."""
        names = self.advancer.store.names
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hear_forever(names.outcomes))
                group.create_task(self._hear_forever(names.created))
                group.create_task(self._heal_forever())
        finally:
            for task in self._working:
                task.cancel()
            await asyncio.gather(*self._working, return_exceptions=True)

    async def is_idle(self) -> bool:
        """Whether nothing is under way, and nothing waits to be heard."""
        if self._inboxes:
            return False
        names, transport = self.advancer.store.names, self._backend.transport
        lags = [await transport.lag(pattern, GROUP) for pattern in (names.created, names.outcomes)]
        return not any(lag.pending or lag.unacknowledged for lag in lags) and not self._inboxes

    async def heal(self) -> int:
        """Look at the jobs that are due for it; returns how many were. Slow ones go on when this has returned."""
        due = await self._backend.state.due(LOOK_AT, self._backend.clock.now_ms(), limit=_PAGE)
        prefix = f"{self.advancer.store.names.state_prefix}."
        ids = [record.key.removeprefix(prefix) for record in due if record.key.startswith(prefix)]
        looks = [asyncio.create_task(self._look(job_id)) for job_id in ids if job_id not in self._inboxes]
        self._working.update(looks)
        for task in looks:
            task.add_done_callback(self._working.discard)
        if looks:
            await asyncio.wait(looks, timeout=_LONG)
        return len(ids)

    async def _look(self, job_id: str) -> None:
        try:
            await self.advance(job_id, look=True)
        except _PASSING:
            logger.debug("job is looked at again later", extra={"job_id": job_id})  # why is logged already

    async def advance(self, job_id: str, ended: str | None = None, *, look: bool = False) -> None:
        """Go on with a job as far as it goes now, together with whatever else is heard of it meanwhile.

        Args:
            ended: the id of one of its tasks that has ended.
            look: ask all of its tasks.

        Raises:
            StateError, ObjectError, TransportError: it is not as far as it could be; it will be looked at again.
        """
        inbox = self._inboxes.get(job_id)
        if inbox is None:
            inbox = self._inboxes[job_id] = _Inbox()
            task = asyncio.create_task(self._work(job_id), name=f"gbe.jobs.{job_id}")
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        if ended is not None:
            inbox.ended.append(ended)
        inbox.look = inbox.look or look
        future = asyncio.get_running_loop().create_future()
        inbox.heard.append(future)
        await future

    async def _work(self, job_id: str) -> None:
        """Step after step, until nothing more is heard."""
        taken = _Inbox()
        try:
            async with self._slots:
                for _ in range(_STEPS):
                    taken, self._inboxes[job_id] = self._inboxes[job_id], _Inbox()
                    step = await self.advancer.step(job_id, taken.ended, look=taken.look)
                    inbox = self._inboxes[job_id]
                    if step is Step.DONE:
                        _settle(taken.heard, None)
                        if not inbox.heard:
                            return
                        continue
                    inbox.heard += taken.heard  # settled once there is no more to do
                    if step is Step.OVERTAKEN:
                        inbox.ended += taken.ended
        except _PASSING as exc:
            logger.warning("job not advanced, looked at again later: %s", exc, extra={"job_id": job_id})
            _settle(taken.heard, exc)
        except Exception:
            logger.exception("job not advanced, looked at again later", extra={"job_id": job_id})
        finally:
            left = self._inboxes.pop(job_id)
            _settle([*taken.heard, *left.heard], StateError(f"job {job_id} was not advanced; looked at again later"))

    # -- what is heard

    async def _hear_forever(self, pattern: str) -> None:
        while True:
            try:
                async with self._backend.transport.consume(pattern, GROUP, _OPTIONS) as deliveries:
                    await deliveries.run(self._hear, concurrency=_WAITING)
            except* _PASSING as group:
                logger.warning("jobs hear nothing, trying again: %s", group.exceptions[0])
            await asyncio.sleep(_PAUSE)

    async def _hear(self, delivery: Delivery) -> None:
        payload, subject = delivery.envelope.payload, delivery.envelope.subject
        try:
            job_id, ended = _event(subject, payload)
        except InvalidEnvelopeError as exc:
            logger.warning("not a job's: %s", exc, extra={"subject": subject})
            await delivery.dead_letter(str(exc))
            return
        if job_id is None or not is_ulid(job_id):
            return
        try:
            await self.advance(job_id, ended)
        except _PASSING:
            await delivery.nak(_PAUSE)

    async def _heal_forever(self) -> None:
        while True:
            try:
                await self.heal()
            except _PASSING as exc:
                logger.warning("jobs not looked at: %s", exc)
            await asyncio.sleep(self.config.interval)


def _event(subject: str, payload: bytes) -> tuple[str | None, str | None]:
    """The job that a message is about, and the task that has ended."""
    if subject.endswith(".created"):
        return decode_event(payload).job_id, None
    outcome = decode_outcome(payload)
    return outcome.job_id, outcome.task_id


def _settle(heard: list[asyncio.Future[None]], exc: Exception | None) -> None:
    for future in heard:
        if future.done():
            continue
        if exc is None:
            future.set_result(None)
        else:
            future.set_exception(exc)
