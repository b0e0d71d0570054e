"""Delays in English (section 4.4): ``10am``, ``tomorrow, 3pm``, ``Monday, 10:30pm``, ``in 2 hours``.

A day and a time of day, in this order or the other, each optional; the server's local time zone. A time of day alone
that is past means tomorrow, a weekday is the next one, a day alone is at the present time of day.
"""

import re
from datetime import datetime, timedelta
from typing import Final

_LONGEST: Final = 60

_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAYS: Final = {"today": 0, "tomorrow": 1}
_CLOCK: Final = r"(?:at )?(?:(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{2}))? ?(?P<half>am|pm)?|(?P<word>noon|midnight))"
_DAY: Final = rf"(?:(?:on |next )?(?P<day>{'|'.join((*_DAYS, *_WEEKDAYS))}|(?:mon|tue|wed|thu|fri|sat|sun)))"
_FORMS: Final = tuple(map(re.compile, (_CLOCK, _DAY, f"{_DAY} {_CLOCK}", f"{_CLOCK} {_DAY}")))
_IN: Final = re.compile(r"in (?:(?P<number>[0-9]{1,6})|an?) ?(?P<unit>[a-z]+)")
_SPACES: Final = re.compile(r"[ \t,]+")


def parse_words(text: str, now: datetime) -> datetime | None:
    """The moment that ``text`` names, or ``None`` if it is in none of the forms.

    Args:
        now: without a time zone, as the clocks of this machine's zone show it.
    """
    if len(text) > _LONGEST:
        return None
    words = _SPACES.sub(" ", text.strip().lower())
    match = next(filter(None, (form.fullmatch(words) for form in _FORMS)), None)
    if match is None:
        return None
    found = match.groupdict()
    day = _day(found.get("day"), now)
    moment = _at(day, found)
    if moment is None:
        return None
    if found.get("day") is None and moment <= now:
        return _at(day + timedelta(days=1), found)
    if moment <= now and _is_weekday(found.get("day")):
        return _at(day + timedelta(days=7), found)
    return moment


def strip_in(text: str) -> str | None:
    """The duration in ``in 2 hours``, as ``2hours``; ``None`` if it is not of this form."""
    match = _IN.fullmatch(_SPACES.sub(" ", text.strip().lower()))
    return None if match is None else f"{match['number'] or 1}{match['unit']}"


def _day(name: str | None, now: datetime) -> datetime:
    if name is None:
        return now
    if name in _DAYS:
        return now + timedelta(days=_DAYS[name])
    wanted = next(number for number, day in enumerate(_WEEKDAYS) if day.startswith(name))
    return now + timedelta(days=(wanted - now.weekday()) % 7)


def _is_weekday(name: str | None) -> bool:
    return name is not None and name not in _DAYS


def _at(day: datetime, found: dict[str, str | None]) -> datetime | None:
    """That day at the time of day that was found; or at its own. ``None`` for 25 o'clock or a bare number."""
    if found.get("word"):
        return day.replace(hour=12 if found["word"] == "noon" else 0, minute=0, second=0, microsecond=0)
    if found.get("hour") is None:
        return day
    hour, minute, half = int(found["hour"] or 0), int(found["minute"] or 0), found["half"]
    if half is not None:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "pm" else 0)
    elif found["minute"] is None:
        return None
    if hour > 23 or minute > 59:
        return None
    return day.replace(hour=hour, minute=minute, second=0, microsecond=0)
