"""How a worker works."""

from dataclasses import dataclass

from gbe.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """One worker process. Durations in seconds.

    Attributes:
        concurrency: tasks that it runs at a time, of all types together.
        lease: how long it holds a task without a renewal; then others may have it.
        renew_every: time between two renewals; all of its tasks in one batch.
        grace: how long running tasks may go on when it stops, before they are handed back.
        signal_timeout: how long it may hold a signal without claiming its task; then another worker gets it.
        allow_internal_http: whether task types of the kind ``http`` may call private networks and this machine.
        progress_every: progress that is said in quicker succession is sent as one.
    """

    concurrency: int = 100
    lease: float = 8.0
    renew_every: float = 2.0
    grace: float = 30.0
    signal_timeout: float = 5.0
    progress_every: float = 0.25
    allow_internal_http: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.concurrency <= 10_000:
            raise ConfigError(f"worker.concurrency is {self.concurrency}; expected 1 to 10000")
        if not 0 < self.renew_every <= self.lease / 2:
            raise ConfigError(f"worker.renew_every is {self.renew_every:g}; expected at most half of the lease")
        if self.grace < 0:
            raise ConfigError(f"worker.grace is {self.grace:g}; expected seconds, 0 or more")
        if self.signal_timeout <= 0 or self.progress_every <= 0:
            raise ConfigError("worker: signal_timeout and progress_every; expected seconds above 0")
