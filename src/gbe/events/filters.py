"""Which events a reader wants, by the values of their fields."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

MOST: Final = 20
_LONGEST: Final = 1000

_objects: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_FAULTS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Filters:
    """What the fields must be; an event passes if each field has one of its values.

    Attributes:
        wanted: by the field's path, in tokens.
    """

    wanted: Mapping[tuple[str, ...], frozenset[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Filters":
        """From ``FIELD=VALUE``; a field inside another is written with dots.

        One field several times: any of the values. Several fields: all of them. Numbers, booleans and null are
        compared as JSON writes them.

        Raises:
            ValueError: no such filter, or too many of them.
        """
        wanted: dict[tuple[str, ...], set[str]] = {}
        for number, text in enumerate(texts, 1):
            path, equals, value = text.partition("=")
            tokens = tuple(path.split("."))
            if not equals or not all(tokens) or len(text) > _LONGEST:
                raise ValueError(f"{text[:40]!r}; expected FIELD=VALUE, such as status=down or details.region=eu")
            if number > MOST:
                raise ValueError(f"expected at most {MOST} filters")
            wanted.setdefault(tokens, set()).add(value)
        return cls({path: frozenset(values) for path, values in wanted.items()})

    def matches(self, payload: bytes) -> bool:
        """Whether an event, a JSON object, passes; what is no JSON object passes only without filters."""
        if not self.wanted:
            return True
        try:
            fields = _objects.decode(payload)
            return all(_text(fields, path) in values for path, values in self.wanted.items())
        except _FAULTS:
            return False


def _text(fields: Mapping[str, msgspec.Raw], path: tuple[str, ...]) -> str | None:
    """The value at a path as a filter writes it; ``None`` for what is not there or is no single value."""
    raw = fields.get(path[0])
    if raw is None:
        return None
    value: Any = msgspec.json.decode(raw)
    for token in path[1:]:
        if not isinstance(value, dict) or token not in value:
            return None
        value = value[token]
    if isinstance(value, str):
        return value
    return None if isinstance(value, dict | list) else msgspec.json.encode(value).decode()
