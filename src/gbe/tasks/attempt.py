"""One attempt at a task: what its worker knows of it while it runs."""

import asyncio
from enum import Enum, auto
from typing import Final

from gbe.lifecycle.moves import ANNOUNCE_PATIENCE_MS
from gbe.lifecycle.types import TaskType
from gbe.schemas.tasks import TaskSignal
from gbe.tasks.context import TaskContext
from gbe.tasks.limits import Place
from gbe.tasks.spans import AttemptSpan
from gbe.transport.base import Delivery

_LAST_WORD: Final = 2.0
"""Seconds that a worker has for writing that a time is over, before the sweeper does."""


def holder_of(signal: TaskSignal) -> str:
    """What names the attempt that a signal asks for, among all that one worker runs."""
    return f"{signal.task_id}.{signal.attempt + 1}"


class Ending(Enum):
    """Why an attempt is stopped before its function returns."""

    STEP_TIMEOUT = auto()
    DEADLINE = auto()
    LOST = auto()  # somebody else has the task, or has ended it
    SHUTDOWN = auto()


class Attempt:
    """One task that runs here.

    Attributes:
        number: of the attempt: the fence of every write.
        started_ms: when it was claimed, unix milliseconds.
        step_ends: when the step must be over, on the loop's clock.
        lease_from: when the lease was last renewed, on the loop's clock.
        ended_ms: when what is its end was written, unix milliseconds.
        announce_at: when the sweeper publishes its outcome, unless that is done and noted; unix milliseconds.
        held: its signal, while it is not acknowledged: if this worker dies, it comes back.
        span: where somebody traces.
        ending: why it is to stop; ``None`` while it may run.
    """

    __slots__ = (
        "_loop",
        "_task",
        "_timer",
        "_whole_ends",
        "announce_at",
        "context",
        "done",
        "ended_ms",
        "ending",
        "has_news",
        "held",
        "key",
        "lease_from",
        "note",
        "number",
        "places",
        "signal",
        "span",
        "started_ms",
        "step_ends",
        "task_type",
        "total",
        "traceparent",
        "type",
        "unsent",
    )

    def __init__(
        self, key: str, task_type: str, settings: TaskType, signal: TaskSignal, traceparent: str | None, now_ms: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.key, self.task_type, self.type, self.signal, self.traceparent = (
            key,
            task_type,
            settings,
            signal,
            traceparent,
        )
        self.number = signal.attempt + 1
        self.started_ms = now_ms
        self.lease_from = self._loop.time()
        self.step_ends = self.lease_from + self.step_timeout
        deadline = signal.deadline
        self._whole_ends = None if deadline is None else self.lease_from + (deadline - now_ms) / 1000
        self.context: TaskContext | None = None
        self.places: list[Place] = []
        self.held: Delivery | None = None
        self.announce_at: int | None = None
        self.ended_ms = 0
        self.span: AttemptSpan | None = None
        self.ending: Ending | None = None
        self.done: int | None = None
        self.total: int | None = None
        self.note = ""
        self.has_news = self.unsent = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def step_timeout(self) -> float:
        """Seconds of a step."""
        own = self.signal.step_timeout
        return self.type.step_timeout if own is None else own

    @property
    def max_retries(self) -> int:
        """The budget that counts."""
        own = self.signal.max_retries
        return self.type.max_retries if own is None else own

    def timeout_at(self, now_ms: int, lease: float) -> int:
        """The nearest of lease, step and whole time, unix milliseconds.

        Step and whole time end here first; only if this worker cannot say so is it for the sweeper.
        """
        step = self.step_ends - self._loop.time()
        nearest = now_ms + round(1000 * min(lease, max(step, 0.0) + _LAST_WORD))
        return (
            nearest if self.signal.deadline is None else min(nearest, self.signal.deadline + round(1000 * _LAST_WORD))
        )

    # -- the watch over it

    def begin(self, task: "asyncio.Task[None]") -> None:
        """The function starts now, in ``task``, which is cancelled when its time is over."""
        self._task = task
        self._timer = self._loop.call_at(self._ends(), self._look)

    def _ends(self) -> float:
        return self.step_ends if self._whole_ends is None else min(self.step_ends, self._whole_ends)

    def _look(self) -> None:
        """A timer has run out; the step may have been moved on meanwhile."""
        now = self._loop.time()
        if self._whole_ends is not None and now >= self._whole_ends:
            self.stop(Ending.DEADLINE)
        elif now >= self.step_ends:
            self.stop(Ending.STEP_TIMEOUT)
        else:
            self._timer = self._loop.call_at(self._ends(), self._look)

    def stop(self, ending: Ending) -> None:
        """Interrupt the function, unless it is being stopped already."""
        if self.ending is not None:
            return
        self.ending = ending
        if self.context is not None:
            self.context.stop()
        if self._task is not None:
            self._task.cancel()

    def end(self) -> None:
        """The function is over: nothing interrupts what follows."""
        if self._timer is not None:
            self._timer.cancel()
        self._task = None

    # -- its signal

    def end_at(self, now_ms: int) -> int | None:
        """It ends at this moment.

        Returns:
            When the sweeper is to publish its outcome, if nobody has; ``None``: the held signal sees to it.
        """
        self.ended_ms = now_ms
        self.announce_at = None if self.held is not None else now_ms + ANNOUNCE_PATIENCE_MS
        return self.announce_at

    def take_signal(self) -> Delivery | None:
        """The signal, for somebody else to acknowledge."""
        held, self.held = self.held, None
        return held

    async def let_go(self) -> None:
        """The signal has done its part."""
        held = self.take_signal()
        if held is not None:
            await held.ack()

    async def keep_or_let_go(self) -> None:
        """A task that goes on for long does without its signal; one that is about to end needs it a moment longer."""
        if self._task is not None:
            await self.let_go()
        elif self.held is not None:
            await self.held.in_progress()

    # -- progress

    def report(self, done: int | None, total: int | None, note: str) -> None:
        """The function says how far it is; the step timeout starts again."""
        self.step_ends = self._loop.time() + self.step_timeout
        if done is not None:
            self.done, self.total, self.note = done, total, note
            self.has_news = self.unsent = True

    def progress_fields(self) -> dict[str, bytes | None]:
        """What a renewal writes of it."""
        if not self.has_news or self.done is None:
            return {}
        self.has_news = False
        return {
            "current_step": b"%d" % self.done,
            "step_count": None if self.total is None else b"%d" % self.total,
            "note": self.note.encode() or None,
        }
