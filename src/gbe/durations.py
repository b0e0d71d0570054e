"""Durations as people write them."""

import math
import re
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_TERM: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")
_DURATION: Final = re.compile(rf"(?:{_TERM.pattern})+")


def parse_duration(value: object) -> float:
    """Seconds, from a number or from text such as ``500ms``, ``30s``, ``1h30m``, ``7d``."""
    text = str(value).strip().lower()
    if _DURATION.fullmatch(text):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _TERM.findall(text))
    else:
        try:
            seconds = float(text)  # of True and None as text too: neither is a number
        except ValueError:
            seconds = math.nan
    if not math.isfinite(seconds):
        raise ValueError("a duration: seconds, or a number with ms, s, m, h, d or w, such as 1h30m")
    return seconds
