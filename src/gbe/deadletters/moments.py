"""Moments as operators write them in filters."""

from datetime import datetime

from gbe.clock import Clock, SystemClock
from gbe.durations import parse_duration
from gbe.errors import InvalidLetterQueryError


def parse_moment(field: str, value: object, clock: Clock | None = None) -> int | None:
    """Unix milliseconds of a moment.

    Args:
        field: the filter's name, for the error.
        value: unix milliseconds; a duration before now, such as ``2h``; or ISO 8601 with a time zone. ``None`` is none.

    Raises:
        InvalidLetterQueryError: none of these.
    """
    if value is None:
        return None
    text = str(value).strip()
    if text.isascii() and text.isdigit() and len(text) in (12, 13):
        return int(text)
    try:
        return (clock or SystemClock()).now_ms() - round(1000 * parse_duration(text))
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidLetterQueryError(
            field, f"{text[:40]!r}; expected unix milliseconds, a duration such as 2h, or 2026-07-01T12:00:00Z"
        )
    return round(moment.timestamp() * 1000)
