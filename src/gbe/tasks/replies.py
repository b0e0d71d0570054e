"""Hearing of the ends of tasks: a subject of one's own, on which nothing is stored, with the state store behind it.

Workers send the outcome of a task to the subject that its submitter named. A reply that is lost costs a look into the
state store some time later, nothing else.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from gbe.errors import InvalidEnvelopeError, TransportError
from gbe.ids import new_ulid
from gbe.lifecycle.names import TaskNames
from gbe.schemas.tasks import TaskOutcome, decode_outcome
from gbe.transport.base import Transport

logger = logging.getLogger(__name__)

_PAUSE: Final = 1.0


class Replies:
    """The reply subject of one client, and who waits for what."""

    def __init__(self, transport: Transport, names: TaskNames) -> None:
        self._transport = transport
        self.subject = names.reply(new_ulid())
        self._waiting: dict[str, list[asyncio.Future[TaskOutcome]]] = {}
        self._open = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether replies are heard."""
        return self._open.is_set()

    async def open(self, patience: float = 1.0) -> bool:
        """Listen; returns whether replies are heard from now on, after ``patience`` seconds at most."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._listen(), name="gbe.tasks.replies")
        if not self._open.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._open.wait()
        return self._open.is_set()

    async def close(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._open.clear()

    def expect(self, task_id: str) -> "asyncio.Future[TaskOutcome]":
        """A future of the end of a task; give it back with ``forget``."""
        future: asyncio.Future[TaskOutcome] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(task_id, []).append(future)
        return future

    def forget(self, task_id: str, future: "asyncio.Future[TaskOutcome]") -> None:
        """Nobody waits for it any more."""
        waiting = self._waiting.get(task_id, [])
        if future in waiting:
            waiting.remove(future)
        if not waiting:
            self._waiting.pop(task_id, None)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._transport.tail([self.subject]) as messages:
                    self._open.set()
                    async for message in messages:
                        self._hear(message.envelope.payload)
                return
            except TransportError as exc:
                logger.warning("replies are not heard: %s", exc)
            self._open.clear()
            await asyncio.sleep(_PAUSE)

    def _hear(self, payload: bytes) -> None:
        try:
            outcome = decode_outcome(payload)
        except InvalidEnvelopeError as exc:
            logger.warning("reply skipped: %s", exc)
            return
        for future in self._waiting.pop(outcome.task_id, ()):
            if not future.done():
                future.set_result(outcome)
