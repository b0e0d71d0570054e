"""Dates in Go's layouts, which spell out the second of January 2006, 15:04:05, seven hours behind UTC."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gbe.errors import TemplateFailedError
from gbe.templates.functions.conversions import to_int
from gbe.templates.functions.signature import Function
from gbe.templates.nodes import Value

_LAYOUT: Final = re.compile(
    r"January|Jan|Monday|Mon|MST|2006|__2|002|01|02|03|04|05|06|15|PM|pm"
    r"|Z07:00:00|Z070000|Z07:00|Z0700|Z07|-07:00:00|-070000|-07:00|-0700|-07|[.,]0+(?![0-9])|[.,]9+(?![0-9])"
    r"|_2|1|2|3|4|5"
)
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})(ns|us|µs|μs|ms|s|m|h)")
_LARGEST: Final = 253_402_300_799  # the last second of the year 9999
_LONGEST_LAYOUT: Final = 200

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_Format = Callable[[datetime], str]
_FORMATS: Final[dict[str, _Format]] = {
    "2006": lambda t: f"{t.year:04d}",
    "06": lambda t: f"{t.year % 100:02d}",
    "01": lambda t: f"{t.month:02d}",
    "1": lambda t: str(t.month),
    "January": lambda t: _MONTHS[t.month - 1],
    "Jan": lambda t: _MONTHS[t.month - 1][:3],
    "02": lambda t: f"{t.day:02d}",
    "_2": lambda t: f"{t.day:2d}",
    "2": lambda t: str(t.day),
    "002": lambda t: f"{t.timetuple().tm_yday:03d}",
    "__2": lambda t: f"{t.timetuple().tm_yday:3d}",
    "Monday": lambda t: _DAYS[t.weekday()],
    "Mon": lambda t: _DAYS[t.weekday()][:3],
    "15": lambda t: f"{t.hour:02d}",
    "03": lambda t: f"{(t.hour + 11) % 12 + 1:02d}",
    "3": lambda t: str((t.hour + 11) % 12 + 1),
    "04": lambda t: f"{t.minute:02d}",
    "4": lambda t: str(t.minute),
    "05": lambda t: f"{t.second:02d}",
    "5": lambda t: str(t.second),
    "PM": lambda t: "PM" if t.hour >= 12 else "AM",
    "pm": lambda t: "pm" if t.hour >= 12 else "am",
    "MST": lambda t: t.tzname() or "UTC",
}
_READ: Final = {
    "2006": "%Y", "06": "%y", "01": "%m", "1": "%m", "January": "%B", "Jan": "%b", "02": "%d", "_2": "%d", "2": "%d",
    "Monday": "%A", "Mon": "%a", "15": "%H", "03": "%I", "3": "%I", "04": "%M", "4": "%M", "05": "%S", "5": "%S",
    "PM": "%p", "pm": "%p", "Z07:00": "%z", "-07:00": "%z", "-0700": "%z", "Z0700": "%z", "MST": "%Z",
}  # fmt: skip


def format_time(moment: datetime, layout: str) -> str:
    """A moment in a layout of Go."""
    if len(layout) > _LONGEST_LAYOUT:
        raise TemplateFailedError(f"a layout is over {_LONGEST_LAYOUT} characters")
    return _LAYOUT.sub(lambda match: _formatted(match[0], moment), layout)


def _formatted(element: str, moment: datetime) -> str:
    known = _FORMATS.get(element)
    if known is not None:
        return known(moment)
    if element[0] in ".,":
        digits = f"{moment.microsecond:06d}".ljust(len(element) - 1, "0")[: len(element) - 1]
        if element[1] == "9":
            digits = digits.rstrip("0")
        return element[0] + digits if digits else ""
    return _offset(element, moment)


def _offset(element: str, moment: datetime) -> str:
    seconds = int((moment.utcoffset() or timedelta()).total_seconds())
    if element[0] == "Z" and seconds == 0:
        return "Z"
    sign, rest = ("-", -seconds) if seconds < 0 else ("+", seconds)
    parts = [f"{rest // 3600:02d}", f"{rest // 60 % 60:02d}", f"{rest % 60:02d}"]
    wanted = (len(element.replace(":", "")) - 1) // 2
    return sign + (":" if ":" in element else "").join(parts[:wanted])


def _moment(value: Value, zone: tzinfo = UTC) -> datetime:
    """A date of ours, or unix seconds; anything else is now, as in Sprig."""
    if isinstance(value, datetime):
        return value.astimezone(zone)
    seconds = value if isinstance(value, int | float) and not isinstance(value, bool) else time.time()
    if not -62_135_596_800 <= seconds <= _LARGEST:
        raise TemplateFailedError("a date outside of the years 1 to 9999")
    return datetime.fromtimestamp(seconds, zone)


def _zone(name: str) -> tzinfo:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_+/-]{0,40}", name):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC  # as in Sprig


def parse_duration(text: str) -> timedelta:
    """A duration of Go, such as ``-1h30m``. Raises ``TemplateFailedError``."""
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return timedelta()
    seconds, done = 0.0, 0
    for match in _DURATION.finditer(rest[:100]):
        if match.start() != done:
            break
        seconds += float(match[1]) * _UNITS[match[2]]
        done = match.end()
    if not rest or done != len(rest) or seconds > _LARGEST:
        raise TemplateFailedError(f"not a duration: {text[:40]!r}")
    return timedelta(seconds=sign * seconds)


def format_duration(seconds: int) -> str:
    """Whole seconds as Go prints a duration."""
    sign, rest = ("-", -seconds) if seconds < 0 else ("", seconds)
    hours, minutes, left = rest // 3600, rest // 60 % 60, rest % 60
    if hours:
        return f"{sign}{hours}h{minutes}m{left}s"
    return f"{sign}{minutes}m{left}s" if minutes else f"{sign}{left}s"


def _round_duration(value: Value) -> str:
    """The largest unit of a duration alone: ``2h``."""
    seconds = (
        abs(int((datetime.now(UTC) - _moment(value)).total_seconds()))
        if isinstance(value, datetime)
        else abs(int(parse_duration(value).total_seconds()) if isinstance(value, str) else to_int(value) // 10**9)
    )
    for unit, size in (("y", 31_536_000), ("mo", 2_592_000), ("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _to_date(layout: str, text: str) -> datetime:
    if len(layout) > _LONGEST_LAYOUT or len(text) > _LONGEST_LAYOUT:
        raise TemplateFailedError("toDate: too long")
    pattern, done = "", 0
    for match in _LAYOUT.finditer(layout):
        pattern += layout[done : match.start()].replace("%", "%%") + _READ.get(
            match[0], "%f" if match[0][0] in ".," else ""
        )
        done = match.end()
    pattern += layout[done:].replace("%", "%%")
    try:
        moment = datetime.strptime(text, pattern)  # noqa: DTZ007 - the zone is looked at below
    except ValueError:
        return datetime(1, 1, 1, tzinfo=UTC)  # as in Sprig: the zero time
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _modified(duration: str, value: Value) -> datetime:
    return _moment(value) + parse_duration(duration)


def _in_zone(layout: str, value: Value, zone: str) -> str:
    return format_time(_moment(value, _zone(zone)), layout)


TABLE: Final = (
    Function("now", "", lambda: datetime.now(UTC)),
    Function("date", "sa", lambda layout, value: format_time(_moment(value), layout)),
    Function("dateInZone", "sas", _in_zone),
    Function("htmlDate", "a", lambda value: format_time(_moment(value), "2006-01-02")),
    Function("htmlDateInZone", "as", lambda value, zone: _in_zone("2006-01-02", value, zone)),
    Function("dateModify", "sa", _modified),
    Function("toDate", "ss", _to_date),
    Function("mustToDate", "ss", _to_date),
    Function("ago", "a", lambda value: format_duration(int((datetime.now(UTC) - _moment(value)).total_seconds()))),
    Function("duration", "a", lambda value: format_duration(to_int(value))),
    Function("durationRound", "a", _round_duration),
    Function("unixEpoch", "a", lambda value: str(int(_moment(value).timestamp()))),
)
