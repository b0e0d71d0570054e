"""What a sweeper tells those who count."""

from typing import Protocol


class SweepObserver(Protocol):
    """Counts what happens to tasks whose worker could not say it; see ``gbe.metrics``."""

    def returned(self, task_type: str) -> None:
        """A lost task is tried once more."""
        ...

    def failed(self, task_type: str) -> None:
        """A lost or late task has failed."""
        ...


class NoObserver:
    """Counts nothing."""

    def returned(self, task_type: str) -> None:
        """Nothing to do."""

    def failed(self, task_type: str) -> None:
        """Nothing to do."""
