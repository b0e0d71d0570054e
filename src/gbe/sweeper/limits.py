"""Limits of streams as operators write them, on the command line and over HTTP."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from gbe.durations import parse_duration
from gbe.errors import ConfigError
from gbe.sizes import parse_size

Limit = float | int | None
NONE: Final = "none"
"""No limit at all."""
DEFAULT: Final = "default"
"""Back to what is configured; over HTTP ``null`` says the same."""


def parse_limits(given: Mapping[str, object]) -> tuple[dict[str, Limit], list[str]]:
    """The limits to set, ``None`` for none, and those that go back to the configuration.

    Args:
        given: by name, such as ``{"max_age": "7d", "max_bytes": "none", "max_msgs": None}``.

    Raises:
        ConfigError: an unknown name or a value that cannot be; the text says what would be accepted.
    """
    changes: dict[str, Limit] = {}
    reset: list[str] = []
    for name, value in given.items():
        parse = _PARSERS.get(name)
        if parse is None:
            raise ConfigError(f"{name[:40]!r} is no limit of a stream; expected {', '.join(_PARSERS)}")
        if value is None or value == DEFAULT:
            reset.append(name)
        else:
            changes[name] = None if value == NONE else _parsed(name, value, parse)
    return changes, reset


def _parsed(name: str, value: object, parse: Callable[[object], Any]) -> Limit:
    try:
        limit: float | int = parse(value)
    except ValueError as exc:
        raise ConfigError(f"{name} is {str(value)[:40]!r}; expected {exc}, or {NONE}, or {DEFAULT}") from None
    if not 0 < limit <= _MOST:
        raise ConfigError(f"{name} is {str(value)[:40]!r}; expected more than 0, at most {_MOST}, or {NONE}")
    return limit


def _count(value: object) -> int:
    text = str(value).strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 15:
        raise ValueError("a whole number")
    return int(text)


_PARSERS: Final[Mapping[str, Callable[[object], float | int]]] = {
    "max_age": parse_duration,
    "max_bytes": parse_size,
    "max_msgs": _count,
}
_MOST: Final = 1 << 50
