"""The mechanisms that clients and workers share, put together once."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from gbe.clock import Clock, SystemClock
from gbe.errors import InvalidTaskError, RecordTooLargeError, TransportError
from gbe.lifecycle.letters import letter_of
from gbe.lifecycle.moves import INLINE_LIMIT, outcome_of, signal_for
from gbe.lifecycle.names import TaskNames
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.transitions import TaskState
from gbe.objects.claims import ClaimChecks
from gbe.schemas import deadletter
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
        """A large value goes into the object store, and the record carries a reference."""
        if self.claims is not None:
            return await self.claims.fields_for(key, name, value)
        most = self.state.config.max_record_size // 3
        if len(value) > most:
            raise InvalidTaskError(
                "task", name, f"{len(value)} bytes, over the {most} that a record takes; configure objects.url"
            ) from RecordTooLargeError(len(value), most)
        return {name: value}

    async def value_of(self, fields: Mapping[str, bytes], name: str) -> bytes | None:
        """The value behind a record's field."""
        if self.claims is not None:
            return await self.claims.value_of(fields, name)
        return fields.get(name)

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

    async def announce_end(self, record: TaskRecord) -> None:
        """Tell monitors, and the submitter if it listens, that a task has ended."""
        outcome = outcome_of(record, self.clock.now_ms())
        await self.publish_end(outcome, record.reply_to, record.result, record.traceparent)

    async def publish_end(
        self, outcome: TaskOutcome, reply_to: str | None, result: bytes | None, traceparent: str | None = None
    ) -> None:
        """The same for an outcome; the result goes to the submitter alone."""
        if reply_to is not None and self.names.is_reply(reply_to):  # first: somebody waits for it
            reply = outcome
            if result is not None and len(result) <= INLINE_LIMIT:
                reply = msgspec.structs.replace(outcome, result=msgspec.Raw(result))
            await self._publish_outcome(reply_to, reply, durable=False)
        await self._publish_outcome(self.names.terminal(outcome.task_type), outcome, traceparent=traceparent)
        if outcome.state == TaskState.FAILED.value:
            await self._publish_letter(outcome, traceparent)

    async def _publish_letter(self, outcome: TaskOutcome, traceparent: str | None) -> None:
        letter = letter_of(self.names, outcome)
        try:
            await self.transport.publish(
                self.names.dead_letters,
                deadletter.encode(letter),
                idempotency_key=letter.storage_key(),
                traceparent=traceparent,
            )
        except TransportError as exc:
            logger.warning("dead letter not published: %s", exc, extra={"task_id": outcome.task_id})

    async def _publish_outcome(
        self, subject: str, outcome: TaskOutcome, *, durable: bool = True, traceparent: str | None = None
    ) -> None:
        try:
            await self.transport.publish(subject, encode(outcome), durable=durable, traceparent=traceparent)
        except TransportError as exc:
            logger.warning("outcome not published: %s", exc, extra={"task_id": outcome.task_id})
