"""How the scheduler works."""

from dataclasses import dataclass

from gbe.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerConfig:
    """Durations in seconds; checked in ``__post_init__``.

    Attributes:
        interval: between two looks at what is due; looks are at whole multiples of it.
        term: of the schedulers' own lease; a dead scheduler is replaced within one and a quarter of it.
        grace: a due time that is seen so late still counts as punctual: a failover is no downtime.
        page: schedules per look: bounds memory, not how many are started.
    """

    interval: float = 1.0
    term: float = 8.0
    grace: float = 60.0
    page: int = 256

    def __post_init__(self) -> None:
        for name in ("interval", "term", "grace"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"scheduler.{name} is {getattr(self, name):g}; expected seconds above 0")
        if self.grace < 2 * (self.term + self.interval):
            least = 2 * (self.term + self.interval)
            raise ConfigError(
                f"scheduler.grace is {self.grace:g} s; expected at least {least:g} s, twice scheduler.term and "
                "scheduler.interval: so long a failover may take"
            )
        if not 1 <= self.page <= 10_000:
            raise ConfigError(f"scheduler.page is {self.page}; expected 1 to 10000")
