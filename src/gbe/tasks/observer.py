"""What a worker tells those who count."""

from typing import Protocol


class TaskObserver(Protocol):
    """Counts what happens to tasks; see ``gbe.metrics``."""

    def started(self, task_type: str, waited: float) -> None:
        """An attempt begins; seconds since the task was due."""
        ...

    def ended(self, task_type: str, outcome: str, seconds: float) -> None:
        """An attempt is over: ``completed``, ``failed``, ``retried``, ``cancelled``, ``lost``, ``handed_back``."""
        ...


class NoObserver:
    """Counts nothing."""

    def started(self, task_type: str, waited: float) -> None:
        """Nothing to do."""

    def ended(self, task_type: str, outcome: str, seconds: float) -> None:
        """Nothing to do."""
