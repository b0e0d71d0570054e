"""When schedules are due, beside an oracle that looks at every minute."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gbe.schedules.rules import Cron, Every, Once, parse_moment

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/Santiago")
MINUTES = ("*", "*/20", "0", "30", "15,45", "5-10/5", "59")
HOURS = ("*", "*/6", "2", "0,2,3", "1-3", "23")
DAYS = ("*", "29", "1-7")
WEEKDAYS = ("*", "SUN", "1-5")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def walk(rule: Cron | Every, start: str, count: int, tz: str = "UTC") -> list[str]:
    moment, found = ms(start), []
    for _ in range(count):
        moment = rule.after(moment) or 0
        found.append(datetime.fromtimestamp(moment / 1000, ZoneInfo(tz)).isoformat(timespec="minutes"))
    return found


def values(text: str, low: int, high: int) -> set[int]:
    """What a field of the expressions above means, read independently."""
    found: set[int] = set()
    for part in text.replace("SUN", "0").split(","):
        span, _, step = part.partition("/")
        first, last = (low, high) if span == "*" else map(int, (span.split("-") * 2)[:2])
        found |= set(range(first, last + 1, int(step or 1)))
    return found


class Oracle:
    """Looks at every minute of the real time, or at every minute that clocks could show."""

    def __init__(self, minute: str, hour: str, day: str, weekday: str, tz: str) -> None:
        self.zone = ZoneInfo(tz)
        self.is_of_the_day = minute[0] != "*" and hour[0] != "*"
        self.any_day = day[0] == "*" or weekday[0] == "*"
        self.fields = values(minute, 0, 59), values(hour, 0, 23), values(day, 1, 31), values(weekday, 0, 6)

    def shows(self, wall: datetime) -> bool:
        minutes, hours, days, weekdays = self.fields
        of_month, of_week = wall.day in days, wall.isoweekday() % 7 in weekdays
        fits = (of_month and of_week) if self.any_day else (of_month or of_week)
        return wall.minute in minutes and wall.hour in hours and fits

    def due(self, start: datetime, end: datetime) -> list[datetime]:
        """Due times from ``start`` to ``end``, both UTC and whole minutes, the start excluded."""
        return self._shown(start, end) if self.is_of_the_day else self._elapsed(start, end)

    def _elapsed(self, start: datetime, end: datetime) -> list[datetime]:
        count = (end - start) // timedelta(minutes=1)
        moments = (start + timedelta(minutes=n) for n in range(1, count + 1))
        return [moment for moment in moments if self.shows(moment.astimezone(self.zone))]

    def _shown(self, start: datetime, end: datetime) -> list[datetime]:
        """Each minute a clock might show, on the first moment at which clocks show it or something later."""
        wanted = set()
        wall = (start - timedelta(days=2)).replace(tzinfo=None)
        while wall < end.replace(tzinfo=None) + timedelta(days=2):
            if self.shows(wall):
                wanted.add(wall)
            wall += timedelta(minutes=1)
        found = []
        moment = start - timedelta(days=2)
        latest = moment.astimezone(self.zone).replace(tzinfo=None)
        while moment <= end:
            shown = moment.astimezone(self.zone).replace(tzinfo=None)
            if shown > latest:
                passed = latest + timedelta(minutes=1)
                is_due = False
                while passed <= shown:
                    is_due = is_due or passed in wanted
                    passed += timedelta(minutes=1)
                if is_due and moment > start:
                    found.append(moment)
            latest = max(latest, shown)
            moment += timedelta(minutes=1)
        return found


def changes(tz: str) -> list[datetime]:
    """The days of 2026 around which the clocks of a zone are changed."""
    zone, found = ZoneInfo(tz), []
    day = datetime(2026, 1, 2, tzinfo=UTC)
    while day.year == 2026:
        if day.astimezone(zone).utcoffset() != (day - timedelta(days=1)).astimezone(zone).utcoffset():
            found.append(day - timedelta(days=1))
        day += timedelta(days=1)
    return found or [datetime(2026, 6, 1, tzinfo=UTC)]


@settings(max_examples=120)
@given(
    minute=st.sampled_from(MINUTES),
    hour=st.sampled_from(HOURS),
    day=st.sampled_from(DAYS),
    weekday=st.sampled_from(WEEKDAYS),
    tz=st.sampled_from(ZONES),
    change=st.integers(0, 3),
    offset=st.integers(-1500, 1500),
)
@example("30", "2", "*", "*", "Europe/Berlin", 0, -600)
@example("30", "2", "*", "*", "Europe/Berlin", 1, 65)
@example("*/20", "2", "*", "*", "Australia/Lord_Howe", 0, 0)
@example("15,45", "0,2,3", "*", "*", "America/Santiago", 0, 0)
def test_due_times_are_those_of_the_oracle(
    minute: str, hour: str, day: str, weekday: str, tz: str, change: int, offset: int
) -> None:
    """Around every change of clocks, in both directions, half-hour ones and those at midnight too."""
    days = changes(tz)
    start = days[change % len(days)] + timedelta(minutes=offset)
    end = start + timedelta(days=2)
    rule, found = Cron(f"{minute} {hour} {day} * {weekday}", tz), []
    moment = rule.after(round(start.timestamp() * 1000))
    while moment is not None and moment <= end.timestamp() * 1000:
        found.append(datetime.fromtimestamp(moment / 1000, UTC))
        moment = rule.after(moment)
    assert found == Oracle(minute, hour, day, weekday, tz).due(start, end)


@given(
    expression=st.sampled_from(
        ("* * * * * *", "0 0 2 * * *", "*/7 30 1-3 * * *", "@daily", "0 3 L * *", "30 2 * * 7#1")
    ),
    tz=st.sampled_from(ZONES),
    start=st.integers(0, 4_000_000_000_000),
)
def test_due_times_rise_strictly_and_do_not_depend_on_where_one_starts(expression: str, tz: str, start: int) -> None:
    """Asking again from anywhere before a due time gives that due time."""
    rule = Cron(expression, tz)
    first = rule.after(start)
    assert first is not None
    assert first > start
    assert first % 1000 == 0
    assert rule.after((start + first) // 2) == first
    assert rule.after(first - 1) == first
    assert (rule.after(first) or first + 1) > first


def test_a_time_that_clocks_leave_out_is_due_when_they_are_put_forward() -> None:
    """Berlin, 29 March 2026: two o'clock is three o'clock. Two such times are one."""
    assert walk(Cron("30 2 * * *", "Europe/Berlin"), "2026-03-28T12:00+00:00", 2, "Europe/Berlin") == [
        "2026-03-29T03:00+02:00",
        "2026-03-30T02:30+02:00",
    ]
    assert walk(Cron("15,45 2 * * *", "Europe/Berlin"), "2026-03-28T12:00+00:00", 2, "Europe/Berlin") == [
        "2026-03-29T03:00+02:00",
        "2026-03-30T02:15+02:00",
    ]


def test_a_time_that_clocks_show_twice_is_due_the_first_time() -> None:
    """Berlin, 25 October 2026: three o'clock is two o'clock again."""
    assert walk(Cron("30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00+00:00", 2, "Europe/Berlin") == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]


def test_what_repeats_through_the_day_goes_by_elapsed_time() -> None:
    """An hour that comes twice has its due times twice."""
    assert walk(Cron("0 * * * *", "Europe/Berlin"), "2026-10-24T23:30+00:00", 3, "Europe/Berlin") == [
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:00+01:00",
        "2026-10-25T03:00+01:00",
    ]


@given(seconds=st.integers(1, 10**6), anchor=st.integers(0, 2 * 10**12), moment=st.integers(0, 3 * 10**12))
def test_an_interval_is_a_whole_number_of_times_behind_its_anchor(seconds: int, anchor: int, moment: int) -> None:
    """It is later than the moment, and the one before is not."""
    found = Every(seconds, anchor).after(moment)
    assert found is not None
    assert found > moment
    assert found > anchor
    assert (found - anchor) % (seconds * 1000) == 0
    assert found - seconds * 1000 <= max(moment, anchor)


def test_a_single_moment_comes_once() -> None:
    """And is read as the wall clock of its zone, unless it says otherwise."""
    at = parse_moment("2026-12-24T18:00", "Europe/Berlin")
    assert at == parse_moment("2026-12-24T18:00:00+01:00", "UTC") == ms("2026-12-24T17:00+00:00")
    assert Once(at).after(at - 1) == at
    assert Once(at).after(at) is None


@given(st.text(alphabet="0123456789*/,-#LWlw @SUNsunJAN?", max_size=40) | st.text(max_size=130))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    """No text makes it fail in another way, and what is accepted comes later than now or never."""
    try:
        found = Cron(text).after(1_790_000_000_000)
    except ValueError:
        return
    assert found is None or found > 1_790_000_000_000


@pytest.mark.parametrize(
    "tz", ["Europe/Berlinn", "", "../../etc/passwd", "Europe", "/etc/localtime", "a\0b", "x" * 5000]
)
def test_a_zone_that_there_is_not_is_refused(tz: str) -> None:
    """Whatever it may be to a file system."""
    with pytest.raises(ValueError, match="IANA time zone"):
        Cron("@daily", tz)
