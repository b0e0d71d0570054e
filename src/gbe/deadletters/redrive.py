"""Sends one letter's message again, once for each redrive, whatever crashes in between.

First the record says that the redrive has begun, with its number; then the message is published under a key made of
letter and number, with its original id; then the audit event; then the record says that it is done. Whoever finds a
redrive that was begun and not done looks into the target's history for the message before publishing it: so the
engine's window for keys does not matter.
"""

import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from gbe.clock import Clock, SystemClock
from gbe.deadletters.audit import Audit
from gbe.deadletters.names import LetterNames
from gbe.deadletters.record import LetterRecord, Status
from gbe.errors import (
    GbeError,
    InvalidEnvelopeError,
    LetterConflictError,
    StateError,
    TransportClosedError,
    TransportUnavailableError,
)
from gbe.schemas import deadletter
from gbe.schemas.deadletter import OriginalMessage
from gbe.state.base import StateStore
from gbe.transport.base import AfterPosition, BeforeTime, FromTime, Position, Transport, UpTo

logger = logging.getLogger(__name__)

PATIENCE: Final = 30.0
"""Seconds after which a redrive that has begun and is not done counts as interrupted."""

_PUBLISH_TIMEOUT: Final = 10.0
_CLOCK_SLACK_MS: Final = 60_000  # clocks of operator and engine may differ by as much
_PAGE: Final = 100
_MOST_MINOR: Final = 2**64 - 1

RetryTask = Callable[[str, str, str], Awaitable[str]]
"""Submits a failed task again: its type, its id, an idempotency key; returns the new task's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one letter.

    Attributes:
        result: ``redriven``, ``discarded``, ``skipped`` (somebody else was faster) or ``failed``.
        sent_as: id of the message that was sent, or of the new task.
        error: why it was skipped or failed.
    """

    id: str
    result: str
    sent_as: str | None = None
    error: str | None = None


class Redrive:
    """Sends letters again.

    Args:
        retry_task: for the letters of failed tasks; ``None`` refuses those.
        patience: seconds after which a redrive that is not done is taken over; more than a publish may take.
    """

    def __init__(
        self,
        transport: Transport,
        state: StateStore,
        names: LetterNames,
        audit: Audit,
        *,
        retry_task: RetryTask | None = None,
        patience: float = PATIENCE,
        clock: Clock | None = None,
    ) -> None:
        self._transport, self._state, self._names, self._audit = transport, state, names, audit
        self._retry_task, self._patience, self._clock = retry_task, patience, clock or SystemClock()

    def may_take(self, record: LetterRecord) -> bool:
        """Whether a bulk redrive takes a letter: it is open, or its redrive was interrupted."""
        return record.status is Status.OPEN or self.is_interrupted(record)

    def is_interrupted(self, record: LetterRecord) -> bool:
        """Whether a redrive has begun that nobody seems to be at any more."""
        if record.status is not Status.REDRIVING:
            return False
        return self._clock.now_ms() - (record.redriving_at or 0) >= round(self._patience * 1000)

    async def send(self, record: LetterRecord, to: str | None, actor: str) -> Outcome:
        """Redrive one letter.

        Args:
            record: as it was read.
            to: another subject than the original's.
            actor: who does it, for the audit.

        Raises:
            StateError, TransportUnavailableError: the engine does not answer. The redrive may be half done; it is
                taken up again by the next one, ``patience`` seconds later, and nothing is sent twice.
        """
        if to is not None and record.task_id is not None:
            return _failed(record, "a failed task is run again as a new task; it cannot go to a subject")
        if record.status is Status.DISCARDED:
            return _failed(record, "it is discarded")
        if record.payload_left_out is not None:
            return _failed(record, f"its payload of {record.payload_left_out} bytes was too large for the letter")
        original = await self._original(record)
        if original is None:
            return _failed(record, "the letter is no longer stored: its stream's retention is over")
        resumed = record.status is Status.REDRIVING
        begun = await self._begin(record, to)
        if begun is None:
            return Outcome(id=record.id, result="skipped", error="somebody else is at it")
        deadline = self._clock.monotonic() + self._patience
        try:
            sent_as = await self._sent_before(record) if resumed and record.task_id is None else None
            sent_as = sent_as or await self._publish(begun, original, deadline)
        except (TransportUnavailableError, TransportClosedError, StateError):
            raise  # nobody knows whether it was sent: it stays begun, and is taken up again
        except GbeError as exc:  # refused for good: nothing was sent
            await self._undo(begun)
            return _failed(record, str(exc))
        await self._audit.redriven(begun, sent_as, actor)
        await self._finish(begun)
        return Outcome(id=record.id, result="redriven", sent_as=sent_as)

    async def discard(self, record: LetterRecord, actor: str) -> Outcome:
        """Give a letter up for good; it stays listed until its retention is over."""
        if record.status is Status.REDRIVING and not self.is_interrupted(record):
            return Outcome(id=record.id, result="skipped", error="it is being sent again")
        if record.status is Status.DISCARDED:
            return Outcome(id=record.id, result="skipped", error="it is discarded already")
        discarded = replace(record, status=Status.DISCARDED, settled_at=self._clock.now_ms())
        if not await self._move(record, discarded):
            return Outcome(id=record.id, result="skipped", error="it changed meanwhile")
        await self._audit.discarded(record, actor)
        return Outcome(id=record.id, result="discarded")

    async def original_of(self, record: LetterRecord) -> OriginalMessage:
        """The message that failed. Raises ``LetterConflictError`` if its letter is no longer stored."""
        original = await self._original(record)
        if original is None:
            raise LetterConflictError(f"dead letter {record.id} is no longer stored: its stream's retention is over")
        return original

    # -- steps

    async def _original(self, record: LetterRecord) -> OriginalMessage | None:
        subject = self._names.stream(record.domain)
        position = await self._transport.locate(subject, record.stored_as)
        if position is None:
            return None
        found = await self._transport.read(
            subject, start=AfterPosition(_before(position)), stop=UpTo(position), limit=1
        )
        if not found:
            return None
        try:
            return deadletter.decode(found[0].envelope.payload).original
        except InvalidEnvelopeError as exc:
            logger.warning("%s", exc, extra={"subject": subject, "message_id": record.stored_as})
            return None

    async def _begin(self, record: LetterRecord, to: str | None) -> LetterRecord | None:
        if record.status is Status.REDRIVING and not self.is_interrupted(record):
            return None
        # what was begun is done as it was begun: the same number, the same target
        is_new = record.status is not Status.REDRIVING
        now = self._clock.now_ms()
        begun = replace(
            record,
            status=Status.REDRIVING,
            redrives=record.redrives + is_new,
            began_at=now if is_new else record.began_at,
            redriving_at=now,
            target=(to or record.subject) if is_new else record.target,
        )
        return begun if await self._move(record, begun) else None

    async def _sent_before(self, record: LetterRecord) -> str | None:
        """The message of a redrive that was interrupted, if it was sent.

        It has the original's id, as the original and earlier redrives have; what tells it from those is its moment of
        publication, by the clock of whoever began this redrive.
        """
        target, began = record.target or record.subject, record.began_at or 0
        start: FromTime | AfterPosition = FromTime(max(0, began - _CLOCK_SLACK_MS))
        stop = BeforeTime((record.redriving_at or began) + round(1000 * self._patience) + _CLOCK_SLACK_MS)
        while True:
            page = await self._transport.read(target, start=start, stop=stop, limit=_PAGE)
            for message in page:
                published = message.envelope.timestamp
                if message.envelope.id == record.message_id and published >= began and published != record.published_at:
                    return record.message_id
            if len(page) < _PAGE or page[-1].position is None:
                return None
            start = AfterPosition(page[-1].position)

    async def _publish(self, begun: LetterRecord, original: OriginalMessage, deadline: float) -> str:
        key = redrive_key(begun)
        if begun.task_type is not None and begun.task_id is not None:
            if self._retry_task is None:
                raise LetterConflictError("it is a failed task, and tasks are not available here")
            return await self._retry_task(begun.task_type, begun.task_id, key)
        seconds = min(_PUBLISH_TIMEOUT, deadline - self._clock.monotonic())
        if seconds <= 0:  # somebody else may have taken it over by now
            raise TransportUnavailableError(f"redrive of {begun.id}: the engine is too slow; it is taken up again")
        return await self._transport.publish(
            begun.target or original.subject,
            original.payload,
            id=original.id,
            idempotency_key=key,
            traceparent=original.traceparent,
            timeout=seconds,
        )

    async def _finish(self, begun: LetterRecord) -> None:
        done = replace(begun, status=Status.REDRIVEN, settled_at=self._clock.now_ms())
        if not await self._move(begun, done):
            logger.info("dead letter has moved on since it was sent", extra={"letter": begun.id})

    async def _undo(self, begun: LetterRecord) -> None:
        await self._move(begun, replace(begun, status=Status.OPEN, redrives=begun.redrives - 1, target=None))

    async def _move(self, before: LetterRecord, after: LetterRecord) -> bool:
        """One transition, if nobody has changed the record since it was read."""
        seen, wanted = before.to_fields(), after.to_fields()
        expected = {name: seen.get(name) for name in ("status", "redrives", "redriving_at", "letters")}
        changes = {name: wanted.get(name) for name in {*seen, *wanted} if seen.get(name) != wanted.get(name)}
        return await self._state.update_if(self._names.record(before.id), expected, changes)


def redrive_key(begun: LetterRecord) -> str:
    """The idempotency key of one redrive of one letter."""
    digest = hashlib.blake2b(begun.id.encode(), digest_size=16).hexdigest()
    return f"redrive {digest} {begun.redrives}"


def _before(position: Position) -> Position:
    """A place directly ahead of another: no message lies between."""
    if position.minor:
        return Position(position.major, position.minor - 1)
    return Position(position.major - 1, _MOST_MINOR)


def _failed(record: LetterRecord, error: str) -> Outcome:
    return Outcome(id=record.id, result="failed", error=error)
