"""Sizes as people write them."""

import re
from typing import Final

_SIZE_UNITS: Final = {"b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt])?(?:i?b)?", re.IGNORECASE)


def parse_size(value: object) -> int:
    """Bytes, from a number or from text such as ``4096``, ``64K``, ``1MiB``; powers of 1024."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(str(value).strip())
    if match is None:
        raise ValueError("a size: bytes, or a number with K, M, G or T, such as 4K or 1MiB")
    return round(float(match[1]) * _SIZE_UNITS[(match[2] or "b").lower()])
