"""Regular expressions. RE2, as Go has it: matching takes time linear in the text, whatever the pattern."""

from typing import Any, Final

import re2

from gbe.errors import TemplateFailedError
from gbe.templates.functions.signature import Function
from gbe.templates.limits import Budget

_LONGEST: Final = 1000
_MEMORY: Final = 1 << 20
_STEPS: Final = 200
"""What compiling a pattern costs."""


def _compiled(budget: Budget, pattern: str, text: str) -> Any:
    budget.spend(_STEPS)
    budget.look_at(8 * len(text))
    if len(pattern) > _LONGEST:
        raise TemplateFailedError(f"a pattern is over {_LONGEST} characters")
    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    try:
        return re2.compile(pattern, options=options)
    except re2.error:
        raise TemplateFailedError(f"cannot use the pattern {pattern[:40]!r}") from None


def _match(budget: Budget, pattern: str, text: str) -> bool:
    return _compiled(budget, pattern, text).search(text) is not None


def _find(budget: Budget, pattern: str, text: str) -> str:
    found = _compiled(budget, pattern, text).search(text)
    return found.group() if found is not None else ""


def _find_all(budget: Budget, pattern: str, text: str, most: int) -> list[str]:
    found: list[str] = []
    for match in _compiled(budget, pattern, text).finditer(text):
        if len(found) == most:
            break
        budget.loop()
        found.append(match.group())
    budget.items(len(found))
    return found


def _split(budget: Budget, pattern: str, text: str, most: int) -> list[str]:
    compiled = _compiled(budget, pattern, text)
    pieces: list[str] = []
    done = 0
    for match in compiled.finditer(text) if most != 0 else ():
        if len(pieces) + 1 == most:
            break
        budget.loop()
        if match.end() == 0:
            continue
        if match.start() == match.end() == len(text):
            break
        pieces.append(text[done : match.start()])
        done = match.end()
    if most != 0:
        pieces.append(text[done:])
    budget.items(len(pieces))
    return pieces


def _replace(budget: Budget, pattern: str, text: str, new: str, *, literal: bool) -> str:
    parts: list[str] = []
    size = done = 0
    for match in _compiled(budget, pattern, text).finditer(text):
        budget.loop()
        parts += (text[done : match.start()], new if literal else _expanded(new, match))
        size += len(parts[-1]) + len(parts[-2])
        budget.part(size)
        done = match.end()
    parts.append(text[done:])
    budget.string(size + len(parts[-1]))
    return "".join(parts)


def _expanded(template: str, match: Any) -> str:
    """``$1``, ``${1}``, ``$name`` and ``$$``, as Go's ``Expand`` reads them."""

    def group(found: Any) -> str:
        name = found.group(1) or found.group(2)
        if name is None:
            return "$"
        try:
            return match.group(int(name) if name.isdigit() else name) or ""
        except (IndexError, re2.error):
            return ""

    parts: list[str] = []
    done = 0
    for found in _REFERENCE.finditer(template):
        parts += (template[done : found.start()], group(found))
        done = found.end()
    return "".join((*parts, template[done:]))


_REFERENCE: Final = re2.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")


def _quote_meta(budget: Budget, text: str) -> str:
    budget.string(2 * len(text))
    return "".join(f"\\{character}" if character in r"\.+*?()|[]{}^$" else character for character in text)


TABLE: Final = (
    Function("regexMatch", "ss", _match, charges=True),
    Function("regexFind", "ss", _find, charges=True),
    Function("regexFindAll", "ssi", _find_all, charges=True),
    Function("regexSplit", "ssi", _split, charges=True),
    Function(
        "regexReplaceAll",
        "sss",
        lambda budget, pattern, text, new: _replace(budget, pattern, text, new, literal=False),
        charges=True,
    ),
    Function(
        "regexReplaceAllLiteral",
        "sss",
        lambda budget, pattern, text, new: _replace(budget, pattern, text, new, literal=True),
        charges=True,
    ),
    Function("regexQuoteMeta", "s", _quote_meta, charges=True),
)
