"""Publishes a part of the archive again: in order, each message once, however often the same replay is started.

A replay is known by what it was asked for: the range and the target. The state store keeps how far it is, per source
subject, and each message goes out under a key of the replay and its own id. So one that was interrupted goes on where
it stopped, and one that is done publishes nothing more.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Final

from gbe.archive.batch import Archived
from gbe.archive.history import History, Range
from gbe.state.base import StateStore
from gbe.transport.base import Transport

_EVERY: Final = 100
"""Messages after which it is written down how far it is; those since are told by their keys."""
_RETENTION: Final = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is published where.

    Attributes:
        wanted: which messages.
        target: the subject they go to; ``None`` is each one's own.
        rate: messages per second at most; ``None`` is as fast as it goes.
    """

    wanted: Range
    target: str | None = None
    rate: float | None = None

    @property
    def id(self) -> str:
        """The same for the same range and target."""
        text = f"{self.wanted.pattern}|{self.wanted.since}|{self.wanted.until}|{self.target}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(slots=True)
class Replayed:
    """What was done."""

    published: int = 0
    skipped: int = 0
    subjects: set[str] = field(default_factory=set)


class Replay:
    """Replays out of one history."""

    def __init__(self, history: History, transport: Transport, state: StateStore, namespace: str) -> None:
        self._history, self._transport, self._state = history, transport, state
        self._prefix = f"{namespace}.state.replay"

    async def run(self, plan: Plan) -> Replayed:
        """Publish what has not been published yet.

        Raises:
            ArchiveError, ObjectError: the archive cannot be read.
            TransportError: a message is not published; run it again to go on behind those that are.
            StateError: it is not known how far it is.
        """
        done, mark = Replayed(), _Mark()
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async for message, place in self._history.messages(plan.wanted):
                if message.envelope.subject != mark.subject:
                    await self._note(plan, mark)
                    mark = await self._mark(plan, message.envelope.subject)
                    done.subjects.add(mark.subject)
                if place <= mark.place:
                    done.skipped += 1
                    continue
                if plan.rate:
                    await asyncio.sleep(began + done.published / plan.rate - loop.time())
                await self._publish(plan, message)
                done.published += 1
                mark.place, mark.unwritten = place, mark.unwritten + 1
                if mark.unwritten >= _EVERY:
                    await self._note(plan, mark)
        finally:  # also of what ends early
            await self._note(plan, mark)
        return done

    async def _publish(self, plan: Plan, message: Archived) -> None:
        envelope = message.envelope
        await self._transport.publish(
            plan.target or envelope.subject,
            envelope.payload,
            id=envelope.id,
            idempotency_key=f"replay:{plan.id}:{envelope.id}:{message.position}",
            traceparent=envelope.traceparent,
        )

    def _key(self, plan: Plan, subject: str) -> str:
        return f"{self._prefix}.{plan.id}.{hashlib.sha256(subject.encode()).hexdigest()[:24]}"

    async def _mark(self, plan: Plan, subject: str) -> "_Mark":
        fields = await self._state.get(self._key(plan, subject)) or {}
        return _Mark(subject, fields.get("place", b"").decode())

    async def _note(self, plan: Plan, mark: "_Mark") -> None:
        if mark.unwritten:
            fields = {"subject": mark.subject.encode(), "place": mark.place.encode()}
            await self._state.put(self._key(plan, mark.subject), fields, ttl=_RETENTION)
            mark.unwritten = 0


@dataclass(slots=True)
class _Mark:
    """How far one subject is; ``unwritten`` counts what the state store does not know yet."""

    subject: str = ""
    place: str = ""
    unwritten: int = 0
