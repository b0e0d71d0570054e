"""When a delayed message is to be delivered (section 4.4)."""

import re
from datetime import datetime
from typing import Final

from gbe.notify.delay_words import parse_words, strip_in
from gbe.notify.durations import parse_duration_ms
from gbe.notify.errors import Refusal

_UNIX_TIME: Final = re.compile(r"[0-9]{1,15}")
_NUMBER_AND_UNIT: Final = re.compile(r"([0-9]{1,15})[ \t]*([a-z]+)")
_DAY: Final = 86_400_000
_UNITS: Final = {
    "d": _DAY, "day": _DAY, "days": _DAY,
    "h": 3_600_000, "hour": 3_600_000, "hours": 3_600_000,
    "m": 60_000, "min": 60_000, "mins": 60_000, "minute": 60_000, "minutes": 60_000,
    "s": 1_000, "sec": 1_000, "secs": 1_000, "second": 1_000, "seconds": 1_000,
}  # fmt: skip


def parse_delay(text: str, *, now_ms: int, limit: float, least: float = 10.0) -> int:
    """The moment of delivery, unix milliseconds.

    Understood are unix seconds, Go durations, one number with a unit of days or less, and English forms such as
    ``tomorrow, 3pm``, which are read in the time zone of this machine.

    Args:
        now_ms: unix milliseconds.
        limit: the longest delay in seconds; 0 switches delayed messages off.
        least: the shortest delay in seconds.

    Raises:
        NotifyError: 40004, not understood; 40005, less than ``least`` ahead; 40006, further ahead than ``limit``.
    """
    due_ms = _moment(text, now_ms)
    if due_ms is None:
        raise Refusal.DELAY_UNREADABLE.error()
    if due_ms - now_ms < least * 1000:
        raise Refusal.DELAY_TOO_SMALL.error()
    if limit <= 0:
        raise Refusal.DELAY_TOO_LARGE.error("delayed messages are switched off on this server")
    if due_ms - now_ms > limit * 1000:
        raise Refusal.DELAY_TOO_LARGE.error()
    return due_ms


def _moment(text: str, now_ms: int) -> int | None:
    if _UNIX_TIME.fullmatch(text):
        return int(text) * 1000
    duration = _duration(text)
    if duration is None and (counted := strip_in(text)) is not None:
        duration = _duration(counted)
    if duration is not None:
        return now_ms + duration
    now = datetime.fromtimestamp(now_ms / 1000)  # noqa: DTZ006 - without an offset, which may change until then
    moment = parse_words(text, now)
    return None if moment is None else round(moment.timestamp() * 1000)


def _duration(text: str) -> int | None:
    """Milliseconds, or ``None`` if it is no duration."""
    duration = parse_duration_ms(text)
    if duration is not None:
        return duration
    match = _NUMBER_AND_UNIT.fullmatch(text.lower())
    if match is None or match[2] not in _UNITS:
        return None
    return int(match[1]) * _UNITS[match[2]]
