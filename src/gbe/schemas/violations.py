"""What msgspec says about a value that does not fit, as the path of a field and a reason."""

import re
from typing import Final

_AT: Final = re.compile(r" - at `\$(?:\.|\[)?([^`]*)`\Z")
_NAMED: Final = re.compile(r"(?:required|unknown) field `([^`]*)`")
_MISSING: Final = "Object missing required field"


def violation(text: str, *, unknown: str = "no such field") -> tuple[str, str]:
    """The field (a path such as ``before.lines``; empty for the whole) and what is wrong with it.

    Args:
        text: of a ``msgspec.ValidationError``.
        unknown: what to say of a field that there is none of.
    """
    at, named = _AT.search(text), _NAMED.search(text)
    path = at[1].replace("[...]", "") if at else ""
    reason = text[: at.start()] if at else text
    if named is not None:
        path = f"{path}.{named[1]}" if path else named[1]
        reason = "missing" if reason.startswith(_MISSING) else unknown
    return path, reason
