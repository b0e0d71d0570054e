"""The mechanisms that clients and workers share, put together once."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from gbe.clock import Clock, SystemClock
from gbe.errors import InvalidTaskError, RecordTooLargeError, StateError, TransportError
from gbe.lifecycle import moves
from gbe.lifecycle.letters import letter_of
from gbe.lifecycle.moves import INLINE_LIMIT, outcome_of, signal_for
from gbe.lifecycle.names import TaskNames
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.transitions import TaskState
from gbe.objects.claims import ClaimChecks
from gbe.schemas import deadletter
from gbe.schemas.documents import MAX_DEPTH, depth_of, fits_inside
from gbe.schemas.stored import check_json
from gbe.schemas.tasks import TaskOutcome, encode
from gbe.state.base import StateStore
from gbe.tasks.store import TaskStore
from gbe.transport.base import Transport

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backend:
    """One deployment as one process reaches it.

    Attributes:
        claims: where large parameters and results go; without them, what does not fit a record is refused.
    """

    transport: Transport
    state: StateStore
    names: TaskNames
    claims: ClaimChecks | None = None
    clock: Clock = field(default_factory=SystemClock)

    def store(self) -> TaskStore:
        """The tasks in the state store."""
        return TaskStore(self.state, self.names, self.clock)

    async def fields_for(self, key: str, name: str, value: bytes) -> Mapping[str, bytes | None]:
        """A large value goes into the object store, and the record carries a reference.

        Raises:
            InvalidTaskError: it is nested too deep, or too large for a record where there is no object store.
        """
        if depth_of(value) > MAX_DEPTH:
            raise InvalidTaskError("task", name, f"nested deeper than {MAX_DEPTH}")
        if self.claims is not None:
            return await self.claims.fields_for(key, name, value)
        most = self.state.config.max_record_size // 3
        if len(value) > most:
            raise InvalidTaskError(
                "task", name, f"{len(value)} bytes, over the {most} that a record takes; configure objects.url"
            ) from RecordTooLargeError(len(value), most)
        return {name: value}

    async def value_of(self, fields: Mapping[str, bytes], name: str) -> bytes | None:
        """The value behind a record's field. Raises ``BrokenRecordError`` if that is not JSON."""
        value = fields.get(name) if self.claims is None else await self.claims.value_of(fields, name)
        return None if value is None else check_json("a task's record", name, value)

    async def signal(self, record: TaskRecord, *, timeout: float = 2.0) -> None:
        """Publish the signal of a pending task. One that cannot be published is the sweeper's to publish later."""
        now = self.clock.now_ms()
        later = record.run_at if record.run_at is not None and record.run_at > now else None
        try:
            await self.transport.publish(
                self.names.queue(record.task_type, record.priority),
                encode(signal_for(record, now)),
                traceparent=record.traceparent,
                deliver_at=later,
                timeout=timeout,
            )
        except TransportError as exc:
            logger.warning("signal not published, the sweeper will: %s", exc, extra={"task_id": record.task_id})

    async def announce_end(self, record: TaskRecord) -> bool:
        """Tell monitors, and the submitter if it listens, that a task has ended.

        Returns:
            Whether it is published. If it is not, the record says so, and the sweeper will.
        """
        outcome = outcome_of(record)
        is_published = await self.publish_end(outcome, record.reply_to, record.result, record.traceparent)
        if is_published and record.timeout_at is not None:
            await self.note_announced(outcome, record.timeout_at)
        return is_published

    async def note_announced(self, outcome: TaskOutcome, announce_at: int) -> None:
        """An outcome is published, and the sweeper need not do it; ``announce_at`` is when it would."""
        key = self.names.task(outcome.task_type, outcome.task_id)
        try:
            await self.store().apply(key, moves.announced(TaskState(outcome.state), outcome.attempt, announce_at))
        except StateError as exc:
            logger.warning("outcome may be published twice: %s", exc, extra={"task_id": outcome.task_id})

    async def publish_end(
        self, outcome: TaskOutcome, reply_to: str | None, result: bytes | None, traceparent: str | None = None
    ) -> bool:
        """The same for an outcome; the result goes to the submitter alone.

        Returns:
            Whether what is durable is stored: the outcome, and the dead letter of a failed task.
        """
        if reply_to is not None and self.names.is_reply(reply_to):  # first: somebody waits for it
            reply = outcome
            if result is not None and len(result) <= INLINE_LIMIT and fits_inside(result):
                reply = msgspec.structs.replace(outcome, result=msgspec.Raw(result))
            await self._publish_outcome(reply_to, reply, durable=False)
        is_stored = await self._publish_outcome(
            self.names.terminal(outcome.task_type), outcome, traceparent=traceparent
        )
        if outcome.state == TaskState.FAILED.value:
            is_stored = await self._publish_letter(outcome, traceparent) and is_stored
        return is_stored

    async def _publish_letter(self, outcome: TaskOutcome, traceparent: str | None) -> bool:
        letter = letter_of(self.names, outcome)
        try:
            await self.transport.publish(
                self.names.dead_letters,
                deadletter.encode(letter),
                idempotency_key=letter.storage_key(),
                traceparent=traceparent,
            )
        except TransportError as exc:
            logger.warning("dead letter not published yet: %s", exc, extra={"task_id": outcome.task_id})
            return False
        return True

    async def _publish_outcome(
        self, subject: str, outcome: TaskOutcome, *, durable: bool = True, traceparent: str | None = None
    ) -> bool:
        try:
            await self.transport.publish(subject, encode(outcome), durable=durable, traceparent=traceparent)
        except TransportError as exc:
            logger.warning("outcome not published yet: %s", exc, extra={"task_id": outcome.task_id})
            return False
        return True
