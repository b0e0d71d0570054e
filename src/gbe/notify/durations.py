"""Durations as Go writes them: ``1h30m``, ``90s``, ``1.5h``, ``-10m``."""

import re
from typing import Final

_LONGEST: Final = 64  # longer than any duration that means something
_MAX_NS: Final = (1 << 63) - 1  # Go counts nanoseconds in 64 bits

_UNITS: Final = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000,
    "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000,
}  # fmt: skip
_TERM: Final = re.compile(r"(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))(ns|us|µs|μs|ms|s|m|h)")


def parse_duration_ms(text: str) -> int | None:
    """The duration in milliseconds, rounded down, or ``None`` if ``text`` is none or too long for Go.

    Days are not understood, as Go does not know them. ``0`` is the one duration without a unit.
    """
    if len(text) > _LONGEST:
        return None
    digits = text[1:] if text[:1] in ("-", "+") else text
    if digits == "0":
        return 0
    total = position = 0
    while position < len(digits):
        term = _TERM.match(digits, position)
        if term is None:
            return None
        whole, fraction, bare_fraction, unit = term.groups(default="")
        fraction += bare_fraction
        total += int(whole or "0") * _UNITS[unit] + int(fraction or "0") * _UNITS[unit] // 10 ** len(fraction)
        position = term.end()
    if not digits or total > _MAX_NS:
        return None
    return (-total if text[0] == "-" else total) // 1_000_000
