"""What a schedule is, as it is written in ``gbe.yaml`` or given at run time: what it starts, when, and with what."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, Final, Self

import msgspec

from gbe.durations import parse_duration
from gbe.errors import InvalidScheduleError, InvalidSubjectError
from gbe.lifecycle.types import parse_switch
from gbe.schedules.catchup import CatchUp
from gbe.schedules.mapping import check_path
from gbe.schedules.names import check_name
from gbe.schedules.rules import Cron, Every, Once, Rule, parse_moment, show_moment
from gbe.schedules.starter import KINDS, Target
from gbe.schedules.zones import zone_of
from gbe.subjects import check_pattern, is_token

MAX_PARAMS: Final = 64 * 1024
MAX_MAPPED: Final = 64
MAX_TARGET_NAME: Final = 64
_LONGEST: Final = 366 * 86_400.0
TIMES: Final = ("cron", "every", "at", "event")
"""What may start a schedule, beside a call: one of them at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A schedule's settings, checked. Durations in seconds, moments in unix milliseconds.

    Attributes:
        task, job: the type that is started; one of them.
        params: its parameters.
        cron: an expression, or a word such as ``@daily`` (``gbe.schedules.rules.Cron``).
        every: an interval, from the moment on that the schedule was made or changed.
        at: a single moment.
        event: a pattern of subjects, in the namespace.
        event_params: parameters from the event, name to place (``gbe.schedules.mapping``).
        tz: whose clocks ``cron`` and ``at`` go by: an IANA name.
        catch_up, catch_up_within: what happens after a downtime (``gbe.schedules.catchup``).
        paused: nothing is started but by a call.
    """

    task: str | None = None
    job: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    cron: str | None = None
    every: float | None = None
    at: int | None = None
    event: str | None = None
    event_params: Mapping[str, str] = field(default_factory=dict)
    tz: str = "UTC"
    catch_up: CatchUp = CatchUp.LATEST
    catch_up_within: float = 86_400.0
    paused: bool = False

    @classmethod
    def parse(cls, name: str, settings: Mapping[str, object]) -> Self:
        """Read settings; ``None`` is one that is not given.

        Raises:
            InvalidScheduleError: an unknown key, with the nearest name; a value that cannot be, with what would be
                accepted; keys that exclude one another.
        """
        check_name(name)
        values: dict[str, Any] = {}
        for key, value in check_keys(name, settings).items():
            if value is not None:
                values[key] = _read(name, key, _PARSERS[key], value)
        _check_together(name, values)
        tz = values.get("tz", "UTC")
        if "at" in values:
            values["at"] = _read(name, "at", lambda value: parse_moment(value, tz), values["at"])
        if "cron" in values:
            _read(name, "cron", lambda value: Cron(str(value), tz), values["cron"])
        return cls(**values)

    @property
    def target(self) -> Target:
        """What is started."""
        return Target("task", self.task) if self.task is not None else Target("job", self.job or "")

    def rule(self, anchor: int) -> Rule | None:
        """When it is due; ``None`` for one that goes by no clock. Intervals count from ``anchor``."""
        if self.cron is not None:
            return Cron(self.cron, self.tz)
        if self.every is not None:
            return Every(self.every, anchor)
        return None if self.at is None else Once(self.at)

    @property
    def trigger(self) -> tuple[object, ...]:
        """What starts it: when this changes, it begins anew."""
        return self.cron, self.every, self.at, self.event, self.tz

    def settings(self) -> dict[str, object]:
        """What is not the default, as a file would hold it."""
        found: dict[str, object] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None or value == {} or value == each.default:
                continue
            found[each.name] = value.value if isinstance(value, CatchUp) else value
        if self.at is not None:
            found["at"] = show_moment(self.at)
        return found


def check_keys(name: str, settings: Mapping[str, object]) -> dict[str, object]:
    """The settings, with ``_`` for ``-`` in their keys; raises ``InvalidScheduleError`` for a key that is unknown."""
    found: dict[str, object] = {}
    for raw, value in settings.items():
        key = str(raw).replace("-", "_")
        if key not in _PARSERS:
            near = difflib.get_close_matches(key, _PARSERS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_PARSERS)}"
            raise InvalidScheduleError(name, key[:40], f"unknown key; {hint}")
        found[key] = value
    return found


def overlaid(configured: Mapping[str, object], changed: Mapping[str, object]) -> dict[str, object]:
    """Settings of the file with those that were given at run time, which win; of two that exclude one another too."""
    merged = dict(configured)
    for group in (TIMES, KINDS):
        if any(changed.get(key) is not None for key in group):
            merged = {key: value for key, value in merged.items() if key not in group}
    return merged | {key: value for key, value in changed.items() if value is not None}


def _check_together(name: str, values: Mapping[str, object]) -> None:
    targets = [key for key in KINDS if key in values]
    if len(targets) != 1:
        raise InvalidScheduleError(name, targets[1] if targets else "task", "name what is started: a task or a job")
    times = [key for key in TIMES if key in values]
    if len(times) > 1:
        raise InvalidScheduleError(name, times[1], f"{' and '.join(times)} exclude one another; keep one")
    if values.get("event_params") and "event" not in values:
        raise InvalidScheduleError(name, "event_params", "is for schedules with an event")
    clash = set(values.get("event_params") or ()) & set(values.get("params") or ())  # type: ignore[call-overload]
    if clash:
        raise InvalidScheduleError(name, "event_params", f"{min(clash)} is in params too; keep one")


def _read(name: str, key: str, parse: Callable[[Any], Any], value: object) -> Any:
    try:
        return parse(value)
    except ValueError as exc:
        shown = str(value) if isinstance(value, str | int | float | date) else type(value).__name__
        raise InvalidScheduleError(name, key, f"{shown[:80]!r}; expected {exc}") from None


def _type_name(value: object) -> str:
    if not isinstance(value, str) or not is_token(value) or len(value) > MAX_TARGET_NAME:
        raise ValueError(f"the name of a type: at most {MAX_TARGET_NAME} letters, digits, _ and -")
    return value


def _params(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError("parameters, name to value")
    try:
        encoded = msgspec.json.encode(value)
        if len(encoded) > MAX_PARAMS:
            raise ValueError(f"at most {MAX_PARAMS} bytes of JSON, not {len(encoded)}")
        decoded: dict[str, Any] = msgspec.json.decode(encoded)
    except (TypeError, OverflowError, RecursionError):
        raise ValueError("parameters that can be written as JSON") from None
    return decoded


def _interval(value: object) -> float:
    seconds = parse_duration(value)
    if not 1.0 <= seconds <= _LONGEST:
        raise ValueError("1 second to 366 days")
    return seconds


def _within(value: object) -> float:
    seconds = parse_duration(value)
    if not 0 <= seconds <= _LONGEST:
        raise ValueError("0 to 366 days")
    return seconds


def _event(value: object) -> str:
    try:
        return check_pattern(str(value))
    except InvalidSubjectError as exc:
        raise ValueError(f"a pattern of subjects, such as events.system.deploy ({exc.reason})") from None


def _event_params(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or len(value) > MAX_MAPPED:
        raise ValueError(f"at most {MAX_MAPPED} parameters, each with a place in the event")
    return {str(key): check_path(path) for key, path in value.items()}


def _zone(value: object) -> str:
    zone_of(str(value))
    return str(value)


def _catch_up(value: object) -> CatchUp:
    try:
        return CatchUp(str(value).strip().lower())
    except ValueError:
        raise ValueError("skip, latest or all") from None


def _as_is(value: object) -> object:
    if not isinstance(value, str | date):
        raise ValueError("text")
    return value


_PARSERS: Final[Mapping[str, Callable[[object], object]]] = {
    "task": _type_name,
    "job": _type_name,
    "params": _params,
    "cron": _as_is,
    "every": _interval,
    "at": _as_is,
    "event": _event,
    "event_params": _event_params,
    "tz": _zone,
    "catch_up": _catch_up,
    "catch_up_within": _within,
    "paused": parse_switch,
}
SETTINGS: Final = tuple(_PARSERS)
"""Every key of a schedule."""
