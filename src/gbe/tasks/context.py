"""What a running task knows of itself, and how it says how far it is."""

import logging
import operator
from collections.abc import Callable
from typing import Final

Report = Callable[[int | None, int | None, str], None]
"""Takes done, total and a note; ``None`` for done: a sign of life alone."""

_logger: Final = logging.getLogger("gbe.task")

MAX_NOTE: Final = 500
"""Characters of a note that are kept."""


class TaskContext:
    """Handed to a task's function as its first argument.

    Attributes:
        task_id, task_type, job_id: which task this is.
        attempt: 1 for the first.
        retry_count: attempts that failed before.
        key: what its limits per key go by.
        created_at: when it was submitted, unix milliseconds.
        worker: who runs it.
    """

    __slots__ = (
        "_is_cancelled",
        "_report",
        "attempt",
        "created_at",
        "job_id",
        "key",
        "retry_count",
        "task_id",
        "task_type",
        "worker",
    )

    def __init__(
        self,
        *,
        task_id: str,
        task_type: str,
        attempt: int,
        retry_count: int,
        created_at: int,
        worker: str,
        job_id: str | None = None,
        key: str | None = None,
        report: Report = lambda _done, _total, _note: None,
    ) -> None:
        self.task_id, self.task_type, self.job_id, self.key = task_id, task_type, job_id, key
        self.attempt, self.retry_count, self.created_at, self.worker = attempt, retry_count, created_at, worker
        self._report = report
        self._is_cancelled = False

    @property
    def log(self) -> "logging.LoggerAdapter[logging.Logger]":
        """A logger whose lines carry the task's ids."""
        return logging.LoggerAdapter(_logger, self.log_context())

    def progress(self, done: int, total: int | None = None, note: str = "") -> None:
        """Say how far the task is, and that it is alive: its step timeout starts again.

        Cheap, and safe to call from a thread and as often as you like: what is said in quick succession is sent as one.

        Args:
            done: so much of ``total``.
            total: ``None`` if nobody knows.
            note: a line for people, of which ``MAX_NOTE`` characters are kept.

        Raises:
            TypeError, ValueError: not whole numbers from 0 on, or a note that is no text.
        """
        if not isinstance(note, str):
            raise TypeError(f"progress: note is {type(note).__name__}; expected text")
        of = None if total is None else _count("total", total)
        self._report(_count("done", done), of, note[:MAX_NOTE].encode(errors="replace").decode())

    def heartbeat(self) -> None:
        """Say that the task is alive: its step timeout starts again."""
        self._report(None, None, "")

    @property
    def is_cancelled(self) -> bool:
        """Whether the task is to stop. An ``async`` function is interrupted; one in a thread has to ask."""
        return self._is_cancelled

    def stop(self) -> None:
        """For the worker: the task is to stop."""
        self._is_cancelled = True

    def log_context(self) -> dict[str, object]:
        """The ids, as fields of a log line."""
        return {"task_type": self.task_type, "task_id": self.task_id, "attempt": self.attempt, "job_id": self.job_id}


def _count(name: str, value: int) -> int:
    """A number of steps as records and messages can carry it."""
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"progress: {name} is {type(value).__name__}; expected a whole number") from None
    if not 0 <= count < 2**63:
        raise ValueError(f"progress: {name} is {str(count)[:40]}; expected 0 or more")
    return count
