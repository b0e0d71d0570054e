"""Every function that a template may call, by name."""

from collections.abc import Mapping
from typing import Final

from gbe.templates.functions import (
    basic,
    conversions,
    dates,
    dictionaries,
    encodings,
    lists,
    numbers,
    paths,
    patterns,
    strings,
)
from gbe.templates.functions.signature import Function

FUNCTIONS: Final[Mapping[str, Function]] = {
    function.name: function
    for room in (basic, strings, numbers, lists, dictionaries, conversions, encodings, dates, paths, patterns)
    for function in room.TABLE
}
"""``and`` and ``or`` are here for their names; the interpreter evaluates them itself."""
