"""When a schedule is due: cron expressions, intervals, single moments. Pure; moments are unix milliseconds.

Daylight saving, by ``Cron``:

- An expression for *times of day* (neither its minute nor its hour begins with ``*``) goes by what clocks show. A time
  that no clock shows, as clocks are put forward over it, is due at the moment they are; one that clocks show twice is
  due the first time.
- One that *repeats through the day* (``*/5 * * * *``, ``0 * * * *``) goes by elapsed time: an hour that comes twice has
  its due times twice, and one that is left out has none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from gbe.schedules.zones import moment_of, next_change, offset_at, plain_seconds, plain_wall, wall_of, zone_of

MAX_EXPRESSION: Final = 120
LATEST_MOMENT: Final = 4_102_444_800_000  # the year 2100
_FIELDS: Final = "minute hour day-of-month month day-of-week, with seconds in front if there are six"
_MACROS: Final[Mapping[str, str]] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class Rule(Protocol):
    """Says when something is due."""

    def after(self, moment: int) -> int | None:
        """The first due time later than ``moment``; ``None`` if there is none any more."""
        ...


@dataclass(frozen=True)
class Cron:
    """A cron expression in a time zone; see the module's docstring for daylight saving.

    Attributes:
        expression: five fields, six with seconds in front, or a word such as ``@daily``; as in Debian's cron, with
            ``L``, ``LW`` and ``MON#1``.
        tz: IANA name.

    Raises:
        ValueError: with what would be accepted.
    """

    expression: str
    tz: str = "UTC"
    zone: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.expression) > MAX_EXPRESSION:
            raise ValueError(f"at most {MAX_EXPRESSION} characters")
        object.__setattr__(self, "zone", zone_of(self.tz))
        try:
            self._next(datetime(2024, 1, 1))  # noqa: DTZ001  a wall clock
        except CronSimError as exc:
            raise ValueError(_explained(str(exc), self.expression)) from None

    @cached_property
    def _plain(self) -> str:
        return _MACROS.get(self.expression.strip().lower(), self.expression)

    @cached_property
    def _is_of_the_day(self) -> bool:
        minute, hour = self._plain.split()[-5:-3]
        return not minute.startswith("*") and not hour.startswith("*")

    def after(self, moment: int) -> int | None:
        """The first due time later than ``moment``."""
        second = moment // 1000
        found = self._shown_after(second) if self._is_of_the_day else self._elapsed_after(second)
        return None if found is None or found * 1000 > LATEST_MOMENT else found * 1000

    def _shown_after(self, second: int) -> int | None:
        shown = wall_of(second, self.zone)
        if moment_of(shown, self.zone) < second:  # the second time that clocks show this: the first one counted
            shown = self._skip_repeated(second)
        wall = self._next(shown)
        while wall is not None:
            found = moment_of(wall, self.zone)
            if found > second:  # several that are left out are due at one moment
                return found
            wall = self._next(wall)
        return None

    def _skip_repeated(self, second: int) -> datetime:
        """The last of the wall clock that counts for what clocks showed up to ``second``: where they were put back."""
        change = next_change(second - 86_400, second, self.zone) or second
        return max(wall_of(change - 1, self.zone), wall_of(second, self.zone))

    def _elapsed_after(self, second: int) -> int | None:
        while True:
            offset = offset_at(second, self.zone)
            wall = self._next(plain_wall(second + offset))
            if wall is None:
                return None
            found = plain_seconds(wall) - offset
            change = next_change(second, found, self.zone)
            if change is None:
                return found
            second = change - 1
            # from the change on, clocks show something else: look again, the change itself included
            offset = offset_at(change, self.zone)
            if self._matches(plain_wall(change + offset)):
                return change
            second = change

    def _matches(self, wall: datetime) -> bool:
        return self._next(plain_wall(plain_seconds(wall) - 1)) == wall

    def _next(self, wall: datetime) -> datetime | None:
        return next(CronSim(self._plain, wall), None)


@dataclass(frozen=True, slots=True)
class Every:
    """An interval, from ``anchor`` (unix milliseconds) on. Daylight saving is nothing to it."""

    seconds: float
    anchor: int

    def after(self, moment: int) -> int | None:
        """The first due time later than ``moment``: a whole number of intervals behind the anchor, one at least."""
        step = round(self.seconds * 1000)
        count = max((moment - self.anchor) // step + 1, 1)
        found = self.anchor + count * step
        return found if found <= LATEST_MOMENT else None


@dataclass(frozen=True, slots=True)
class Once:
    """A single moment."""

    at: int

    def after(self, moment: int) -> int | None:
        """The moment, while it is yet to come."""
        return self.at if self.at > moment else None


def parse_moment(value: object, tz: str) -> int:
    """Unix milliseconds of a moment as people write it; a wall clock without an offset is one of the zone ``tz``.

    Raises:
        ValueError: with what would be accepted.
    """
    accepted = "a date and time, such as 2026-12-24T18:00 or 2026-12-24T18:00:00+01:00"
    try:
        wall = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
        found = moment_of(wall.replace(microsecond=0), zone_of(tz)) if wall.tzinfo is None else int(wall.timestamp())
    except (ValueError, OverflowError):
        raise ValueError(accepted) from None
    if not 0 < found * 1000 <= LATEST_MOMENT:
        raise ValueError(f"{accepted}, from 1970 to 2100")
    return found * 1000


def show_moment(moment: int) -> str:
    """A moment as ISO 8601, in UTC."""
    return datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="seconds")


def _explained(reason: str, expression: str) -> str:
    if reason.startswith("Bad "):
        reason = f"its {reason[4:]} cannot be"
    elif expression.startswith("@"):
        reason = f"there are {', '.join(_MACROS)}"
    return f"{_FIELDS}, or a word such as @daily ({reason[0].lower()}{reason[1:]})"
