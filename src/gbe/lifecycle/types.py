"""Task types: what is configured of them, in ``gbe.yaml``, in code, and by operators while everything runs.

Later wins: the defaults, the decorator in the program, the ``tasks:`` section of the file, what an operator has set.
"""

import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import urlsplit

from gbe.durations import parse_duration
from gbe.errors import ConfigError
from gbe.lifecycle.backoff import Backoff
from gbe.subjects import is_token

MAX_TYPE_NAME: Final = 64
MAX_CONCURRENCY: Final = 200
"""Of a limit that all workers share: its holders are fields of one record."""
_MOST_SECONDS: Final = 366 * 86_400.0
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|m|h|d)\Z")
_RATE_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_RESERVED: Final = frozenset({"_control", "_reply"})


@dataclass(frozen=True, slots=True)
class Rate:
    """So many starts in so many seconds."""

    count: float
    seconds: float

    @property
    def interval(self) -> float:
        """Seconds between two starts."""
        return self.seconds / self.count

    @property
    def burst(self) -> float:
        """Seconds by which a start may be early after a pause: a tenth of a second's worth, one start at least."""
        return max(self.interval, min(self.seconds, 0.1))

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read ``10/s``, ``100/m``, ``5/h``; raises ``ValueError`` with what would be accepted."""
        match = _RATE.fullmatch(str(value).strip().lower())
        if match is None or float(match[1]) <= 0:
            raise ValueError("a rate, such as 10/s, 100/m or 5/h")
        return cls(float(match[1]), _RATE_UNITS[match[2]])

    def __str__(self) -> str:
        unit = next(unit for unit, seconds in _RATE_UNITS.items() if seconds == self.seconds)
        return f"{self.count:g}/{unit}"


def check_type_name(name: str) -> str:
    """Return ``name`` if it can name a task type; raise ``ConfigError`` otherwise."""
    if not is_token(name) or len(name) > MAX_TYPE_NAME or name in _RESERVED:
        raise ConfigError(f"task type {name[:80]!r}: expected at most {MAX_TYPE_NAME} letters, digits, _ and -")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskType:
    """How tasks of one type are run. Durations in seconds.

    Attributes:
        step_timeout: how long a step may take: from the start, or from the last progress, to the next or to the end.
        timeout: how long a task may take in all, from its submission (or its ``run_at``), waiting and retries included.
        max_retries: further attempts after one that failed, timed out, or was lost with its worker.
        backoff: the pauses before them.
        concurrency: tasks of this type that may run at a time, of all workers together.
        concurrency_per_key: the same among tasks with the same ``key``.
        rate_limit: starts of this type, of all workers together.
        rate_limit_per_key: the same among tasks with the same ``key``.
        retention: how long a task is kept after its end, with its result.
        paused: nothing of this type is started.
        command: a program to run in place of a function, as a list of words; ``{name}`` stands for a parameter.
        http: an address to POST the parameters to in place of a function.
    """

    step_timeout: float = 300.0
    timeout: float | None = None
    max_retries: int = 3
    backoff: Backoff = field(default_factory=Backoff)
    concurrency: int | None = None
    concurrency_per_key: int | None = None
    rate_limit: Rate | None = None
    rate_limit_per_key: Rate | None = None
    retention: float = 86_400.0
    paused: bool = False
    command: tuple[str, ...] | None = None
    http: str | None = None

    def __post_init__(self) -> None:
        for name in ("step_timeout", "timeout", "retention"):
            value = getattr(self, name)
            if value is not None and not 0.01 <= value <= _MOST_SECONDS:
                raise ConfigError(f"{name} is {value:g}; expected 10 ms to 366 days")
        if self.retention < 1:
            raise ConfigError(f"retention is {self.retention:g}; expected at least 1 second")
        if not 0 <= self.max_retries <= 10_000:
            raise ConfigError(f"max_retries is {self.max_retries}; expected 0 to 10000")
        for name in ("concurrency", "concurrency_per_key"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= MAX_CONCURRENCY:
                raise ConfigError(f"{name} is {value}; expected 1 to {MAX_CONCURRENCY}, or leave it out")
        if self.command is not None and self.http is not None:
            raise ConfigError("command and http: a task type is one of them")
        if self.command is not None and not self.command:
            raise ConfigError("command is empty; expected a program and its arguments")
        if self.http is not None and not _is_address(self.http):
            raise ConfigError("http: expected an address that begins with http:// or https://, without a user part")

    @property
    def has_limits(self) -> bool:
        """Whether a start has to ask first."""
        return any((self.concurrency, self.concurrency_per_key, self.rate_limit, self.rate_limit_per_key))

    def changed(self, settings: Mapping[str, object], *, source: str) -> Self:
        """With settings as they are written in a file or by an operator.

        Raises:
            ConfigError: an unknown key, with the nearest name; a value that cannot be, with what would be accepted.
        """
        changes: dict[str, Any] = {}
        backoff: dict[str, Any] = {}
        for raw, value in settings.items():
            name = str(raw).replace("-", "_")
            parse = SETTINGS.get(name)
            if parse is None:
                near = difflib.get_close_matches(name, SETTINGS, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(SETTINGS)}"
                raise ConfigError(f"{source}: unknown key {name}; {hint}")
            try:
                parsed = None if value is None else parse(value)
            except ValueError as exc:
                raise ConfigError(f"{source}: {name} is {value!r}; expected {exc}") from None
            if name in _BACKOFF_FIELDS:
                if parsed is not None:
                    backoff[_BACKOFF_FIELDS[name]] = parsed
            elif parsed is not None or name in _MAY_BE_NONE:
                changes[name] = parsed
        try:
            if "base" in backoff and "most" not in backoff:
                backoff["most"] = max(self.backoff.most, backoff["base"])
            if backoff:
                changes["backoff"] = dataclasses.replace(self.backoff, **backoff)
            return dataclasses.replace(self, **changes)
        except ConfigError as exc:
            raise ConfigError(f"{source}: {exc}") from None

    def settings(self) -> dict[str, object]:
        """Every setting as a file would hold it; what is not set is left out."""
        found: dict[str, object] = {
            "step_timeout": self.step_timeout,
            "timeout": self.timeout,
            "max_retries": self.max_retries,
            "backoff": self.backoff.kind,
            "backoff_base": self.backoff.base,
            "backoff_max": self.backoff.most,
            "concurrency": self.concurrency,
            "concurrency_per_key": self.concurrency_per_key,
            "rate_limit": self.rate_limit and str(self.rate_limit),
            "rate_limit_per_key": self.rate_limit_per_key and str(self.rate_limit_per_key),
            "retention": self.retention,
            "paused": self.paused,
            "command": self.command and list(self.command),
            "http": self.http,
        }
        return {name: value for name, value in found.items() if value is not None}


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and "@" not in text
    except ValueError:  # brackets that are no IPv6 address, a port that is none
        return False


def _count(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}", str(value).strip()):
        raise ValueError("a whole number")
    return int(str(value))


def parse_switch(value: object) -> bool:
    """Read ``true`` or ``false``, and the words that mean them; raises ``ValueError`` with what would be accepted."""
    word = str(value).strip().lower()
    if word not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        raise ValueError("true or false")
    return word in ("true", "yes", "on", "1")


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(word, str | int | float) for word in value):
        raise ValueError("a list of words")
    return tuple(str(word) for word in value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    return value


SETTINGS: Final[Mapping[str, Callable[[object], object]]] = {
    "step_timeout": parse_duration,
    "timeout": parse_duration,
    "max_retries": _count,
    "backoff": _text,
    "backoff_base": parse_duration,
    "backoff_max": parse_duration,
    "concurrency": _count,
    "concurrency_per_key": _count,
    "rate_limit": Rate.parse,
    "rate_limit_per_key": Rate.parse,
    "retention": parse_duration,
    "paused": parse_switch,
    "command": _words,
    "http": _text,
}
"""Every key of a task type, with how its value is read."""

_BACKOFF_FIELDS: Final = {"backoff": "kind", "backoff_base": "base", "backoff_max": "most"}
_MAY_BE_NONE: Final = frozenset(
    {"timeout", "concurrency", "concurrency_per_key", "rate_limit", "rate_limit_per_key", "command", "http"}
)
