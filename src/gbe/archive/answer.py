"""What a query of the archive returns."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of a query.

    Attributes:
        columns: their names.
        json: those whose values are JSON, as text.
        rows: at most as many as were asked for.
        is_cut: whether there were more.
    """

    columns: tuple[str, ...]
    json: frozenset[str]
    rows: list[tuple[Any, ...]]
    is_cut: bool
