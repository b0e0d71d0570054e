"""What a scheduler tells those who count."""

from typing import Literal, Protocol

Outcome = Literal["started", "refused", "looped"]


class ScheduleObserver(Protocol):
    """Counts what schedules do; see ``gbe.metrics``."""

    def fired(self, trigger: str, outcome: Outcome, late: float) -> None:
        """Something was started, or could not be: by ``time``, ``event`` or ``call``; seconds after it was due."""
        ...

    def missed(self, count: int) -> None:
        """So many due times passed without a start, as the policy says."""
        ...


class NoObserver:
    """Counts nothing."""

    def fired(self, trigger: str, outcome: Outcome, late: float) -> None:
        """Nothing to do."""

    def missed(self, count: int) -> None:
        """Nothing to do."""
