"""How lost tasks are found."""

from dataclasses import dataclass

from gbe.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SweeperConfig:
    """Durations in seconds; checked in ``__post_init__``.

    Attributes:
        interval: between two looks at deadlines: a dead worker is noticed so long after its lease has ended, at most.
        term: of the sweepers' own lease; a dead sweeper is replaced within one and a quarter of it.
        page: records per look: bounds memory, not how many are swept.
        most: records per sweep: bounds how long one takes before the next report.
        report_every: reports of sweeps that found nothing are this far apart.
        prune_every: between two looks at the object store for values whose record is gone.
        prune_age: younger objects stay: their record may be about to be written.
        retain_every: between two looks at what streams keep, where the engine is not left to remove it.
        alert_every: until a stream that keeps what is too old is complained about again.
    """

    interval: float = 1.0
    term: float = 8.0
    page: int = 256
    most: int = 20_000
    report_every: float = 60.0
    prune_every: float = 3600.0
    prune_age: float = 3600.0
    retain_every: float = 60.0
    alert_every: float = 600.0

    def __post_init__(self) -> None:
        for name in ("interval", "term", "report_every", "prune_every", "prune_age", "retain_every", "alert_every"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"sweeper.{name} is {getattr(self, name):g}; expected seconds above 0")
        if not 1 <= self.page <= 10_000 or self.most < self.page:
            raise ConfigError("sweeper: page is 1 to 10000, and most at least a page")
