"""How long to wait before the next attempt."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from gbe.errors import ConfigError

BackoffKind = Literal["exponential", "linear", "fixed", "none"]
KINDS: Final[tuple[str, ...]] = get_args(BackoffKind)
_MOST_DOUBLINGS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """A schedule of pauses. Seconds.

    Attributes:
        kind: ``exponential`` doubles, ``linear`` adds, ``fixed`` stays, ``none`` tries again at once.
        base: the first pause.
        most: no pause is longer.
        jitter: the part of a pause that is left to chance, 0 to 1, so that what failed together is not retried
            together.
    """

    kind: BackoffKind = "exponential"
    base: float = 1.0
    most: float = 300.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"backoff is {self.kind!r}; expected one of {', '.join(KINDS)}")
        if not 0 <= self.base <= self.most:
            raise ConfigError(f"backoff_base is {self.base:g}; expected 0 to backoff_max ({self.most:g}) seconds")
        if not 0 <= self.jitter <= 1:
            raise ConfigError(f"backoff jitter is {self.jitter:g}; expected 0 to 1")

    def delay(self, retry: int, chance: Callable[[], float] = random.random) -> float:
        """Seconds before a retry, 1 for the first: between ``1 - jitter`` and all of the pause."""
        if self.kind == "none":
            return 0.0
        number = max(1, retry)
        if self.kind == "exponential":
            pause = self.base * 2.0 ** min(number - 1, _MOST_DOUBLINGS)
        else:
            pause = self.base * (number if self.kind == "linear" else 1)
        return min(pause, self.most) * (1 - self.jitter * chance())
