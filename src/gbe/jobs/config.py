"""How jobs are advanced."""

from dataclasses import dataclass

from gbe.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorConfig:
    """Durations in seconds; checked in ``__post_init__``.

    Attributes:
        concurrency: jobs that one process advances at a time.
        interval: between two looks at jobs whose signal may be lost.
        patience: how long a job may go without a signal before its tasks are looked at one by one; longer for large
            jobs, a minute at most.
    """

    concurrency: int = 32
    interval: float = 1.0
    patience: float = 10.0

    def __post_init__(self) -> None:
        if not 1 <= self.concurrency <= 1_000:
            raise ConfigError(f"orchestrator.concurrency is {self.concurrency}; expected 1 to 1000")
        for name in ("interval", "patience"):
            if not 0.01 <= getattr(self, name) <= 3600:
                raise ConfigError(f"orchestrator.{name} is {getattr(self, name):g}; expected 10 ms to 1 hour")
