"""Time zones: wall clocks to moments and back, whatever daylight saving does to them."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  wall clocks have no zone, which is the point
_PROBE: Final = 7 * 86_400
"""Seconds between two looks at an offset: no zone has changed its clocks and back within less."""


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name, such as ``Europe/Berlin``. Raises ``ValueError``: there is none."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # no such file, a folder, a path that leads elsewhere
        raise ValueError("an IANA time zone, such as Europe/Berlin or UTC") from None


def wall_of(second: int, zone: ZoneInfo) -> datetime:
    """What a clock in the zone shows, without a zone; ``second`` is unix time."""
    return datetime.fromtimestamp(second, zone).replace(tzinfo=None, fold=0)


def offset_at(second: int, zone: ZoneInfo) -> int:
    """Seconds that clocks of the zone are ahead of UTC."""
    offset = datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())


def moment_of(wall: datetime, zone: ZoneInfo) -> int:
    """Unix seconds of the first moment at which a clock of the zone shows ``wall``.

    One that no clock shows, because it was put forward over it, is the moment at which it was put forward.
    """
    seconds = plain_seconds(wall)
    candidates = sorted({offset_at(seconds + shift, zone) for shift in (-86_400, 86_400)}, reverse=True)
    for offset in candidates:  # the largest offset is the earliest moment
        if offset_at(seconds - offset, zone) == offset:
            return seconds - offset
    return next_change(seconds - 2 * 86_400, seconds + 2 * 86_400, zone) or seconds - candidates[0]


def plain_seconds(wall: datetime) -> int:
    """A wall clock as seconds since 1970, as if it were UTC."""
    return (wall - _EPOCH) // timedelta(seconds=1)


def plain_wall(seconds: int) -> datetime:
    """The reverse of ``plain_seconds``."""
    return _EPOCH + timedelta(seconds=seconds)


def next_change(start: int, end: int, zone: ZoneInfo) -> int | None:
    """The first second after ``start``, up to ``end``, from which the zone's offset is another; ``None`` if there is
    none."""
    offset = offset_at(start, zone)
    low = start
    while low < end:
        high = min(low + _PROBE, end)
        if offset_at(high, zone) != offset:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset_at(middle, zone) == offset else (low, middle)
            return high
        low = high
    return None
