"""Where a task's input comes from: ``fetch.data.url`` is ``data.url`` in the result of the task ``fetch``."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self

PARAMS: Final = "params"
ITEM: Final = "item"
INDEX: Final = "index"
RESERVED: Final = frozenset({PARAMS, ITEM, INDEX, "and", "or", "not", "in", "true", "false", "null"})
MAX_LENGTH: Final = 256
_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")

Lookup = Callable[[str], Any]
"""The value behind the first word of a reference: a task's result, the job's parameters, the item, its number."""


class ReferenceValueError(ValueError):
    """A value has no such part; the text names the reference and what there is."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A root and a path into its value."""

    root: str
    path: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read a reference; raises ``ValueError`` that says what one looks like."""
        if not isinstance(text, str) or len(text) > MAX_LENGTH or _SHAPE.fullmatch(text) is None:
            raise ValueError("a reference, such as fetch.data.url, params.name or item")
        root, *path = text.split(".")
        return cls(root, tuple(path))

    @property
    def task(self) -> str | None:
        """The task whose result is meant, if one is."""
        return None if self.root in (PARAMS, ITEM, INDEX) else self.root

    def value(self, lookup: Lookup) -> Any:
        """What it stands for. Raises ``ReferenceValueError``."""
        value = lookup(self.root)
        for depth, part in enumerate(self.path):
            value = _part(value, part, f"{self}: {'.'.join((self.root, *self.path[:depth]))}")
        return value

    def __str__(self) -> str:
        return ".".join((self.root, *self.path))


def _part(value: Any, part: str, where: str) -> Any:
    if isinstance(value, dict):
        if part not in value:
            raise ReferenceValueError(
                f"{where} has no {part}; it has {', '.join(map(str, list(value)[:10])) or 'none'}"
            )
        return value[part]
    if isinstance(value, list):
        if not part.isdigit() or len(part) > 9 or int(part) >= len(value):
            raise ReferenceValueError(f"{where} is a list of {len(value)}; there is no {part} in it")
        return value[int(part)]
    raise ReferenceValueError(f"{where} is {'null' if value is None else type(value).__name__}; it has no {part}")
