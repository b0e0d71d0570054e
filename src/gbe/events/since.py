"""From where events are read, as people write it."""

import re
from datetime import UTC, datetime
from typing import Final

from gbe.durations import parse_duration
from gbe.ids import is_ulid
from gbe.transport.base import EARLIEST, LATEST, AfterId, FromTime, Start

_EPOCH: Final = re.compile(r"\d{1,15}\Z")
_MILLISECONDS: Final = 100_000_000_000  # as seconds, that would be the year 5138
_MOST_MS: Final = 1 << 48


def parse_since(text: str, *, now_ms: int) -> Start:
    """Where to start.

    Args:
        text: ``all``; ``latest``, only what is new; the id of a message, what follows it; unix time in seconds or
            milliseconds; a time of ISO 8601 (UTC unless it says otherwise); a duration such as ``10m``.
        now_ms: what a duration counts back from, unix milliseconds.

    Raises:
        ValueError: none of these; the text says what is accepted.
    """
    match text:
        case "all":
            return EARLIEST
        case "latest":
            return LATEST
    if is_ulid(text):
        return AfterId(text)
    return FromTime(min(max(_moment(text, now_ms), 0), _MOST_MS - 1))


def _moment(text: str, now_ms: int) -> int:
    if _EPOCH.match(text):
        number = int(text)
        return number if number >= _MILLISECONDS else number * 1000
    try:
        moment = datetime.fromisoformat(text)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        pass
    try:
        return now_ms - round(parse_duration(text) * 1000)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text[:40]!r}; expected all, latest, a message id, a time such as 2026-01-31T12:00:00Z or 1769860800, "
            "or a duration such as 10m"
        ) from None
