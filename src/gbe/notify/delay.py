"""When a delayed message is to be delivered (section 4.4)."""

import re
from typing import Final

from gbe.notify.durations import parse_duration_ms
from gbe.notify.errors import Refusal

MIN_DELAY_MS: Final = 10_000

_UNIX_TIME: Final = re.compile(r"[0-9]{1,15}")
_NUMBER_AND_UNIT: Final = re.compile(r"([0-9]{1,15})[ \t]*([a-z]+)")
_DAY: Final = 86_400_000
_UNITS: Final = {
    "d": _DAY, "day": _DAY, "days": _DAY,
    "h": 3_600_000, "hour": 3_600_000, "hours": 3_600_000,
    "m": 60_000, "min": 60_000, "mins": 60_000, "minute": 60_000, "minutes": 60_000,
    "s": 1_000, "sec": 1_000, "secs": 1_000, "second": 1_000, "seconds": 1_000,
}  # fmt: skip


def parse_delay(text: str, *, now_ms: int, limit: float) -> int:
    """The moment of delivery, unix milliseconds.

    Understood are unix seconds, Go durations, and one number with a unit of days or less. English forms such as
    ``tomorrow, 3pm`` are not.

    Args:
        now_ms: unix milliseconds.
        limit: the longest delay in seconds; 0 switches delayed messages off.

    Raises:
        NotifyError: 40004, not understood; 40005, less than 10 s ahead; 40006, further ahead than ``limit``.
    """
    due_ms = _moment(text, now_ms)
    if due_ms is None:
        raise Refusal.DELAY_UNREADABLE.error()
    if due_ms - now_ms < MIN_DELAY_MS:
        raise Refusal.DELAY_TOO_SMALL.error()
    if limit <= 0:
        raise Refusal.DELAY_TOO_LARGE.error("delayed messages are switched off on this server")
    if due_ms - now_ms > limit * 1000:
        raise Refusal.DELAY_TOO_LARGE.error()
    return due_ms


def _moment(text: str, now_ms: int) -> int | None:
    if _UNIX_TIME.fullmatch(text):
        return int(text) * 1000
    duration = parse_duration_ms(text)
    if duration is not None:
        return now_ms + duration
    match = _NUMBER_AND_UNIT.fullmatch(text.lower())
    if match is None or match[2] not in _UNITS:
        return None
    return now_ms + int(match[1]) * _UNITS[match[2]]
