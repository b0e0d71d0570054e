"""Strings. Positions count bytes where Go's do, and what splits a character shows as U+FFFD."""

from typing import Final

from gbe.errors import TemplateFailedError
from gbe.templates.functions.conversions import text_of, texts_of
from gbe.templates.functions.signature import Function
from gbe.templates.limits import Budget
from gbe.templates.nodes import Value
from gbe.templates.printf import quoted

_SPACE: Final = " \t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_MAX_INDENT: Final = 100


def _cut(text: str, start: int, end: int) -> str:
    return text.encode("utf-8", "replace")[start:end].decode("utf-8", "replace")


def _trunc(length: int, text: str) -> str:
    size = len(text.encode("utf-8", "replace"))
    if length < 0 and size + length > 0:
        return _cut(text, size + length, size)
    return _cut(text, 0, length) if 0 <= length < size else text


def _substr(start: int, end: int, text: str) -> str:
    size = len(text.encode("utf-8", "replace"))
    start = max(start, 0)
    end = size if end < 0 or end > size else end
    return _cut(text, min(start, end), end)


def _repeat(budget: Budget, count: int, text: str) -> str:
    if count < 0:
        raise TemplateFailedError("repeat: a count below 0")
    budget.string(count * len(text))
    return text * count


def _indent(budget: Budget, blanks: int, text: str) -> str:
    if not 0 <= blanks <= _MAX_INDENT:
        raise TemplateFailedError(f"indent: expected 0 to {_MAX_INDENT} blanks")
    budget.string(len(text) + blanks * (text.count("\n") + 1))
    pad = " " * blanks
    return pad + text.replace("\n", "\n" + pad)


def _replace(budget: Budget, old: str, new: str, text: str) -> str:
    budget.string(len(text) + text.count(old) * max(0, len(new) - len(old)))
    return text.replace(old, new)


def _title(text: str) -> str:
    return "".join(
        character.title() if number == 0 or text[number - 1] in _SPACE else character
        for number, character in enumerate(text)
    )


def _quote(budget: Budget, *values: Value) -> str:
    return _each(budget, values, quoted)


def _squote(budget: Budget, *values: Value) -> str:
    return _each(budget, values, lambda text: f"'{text}'")


def _each(budget: Budget, values: tuple[Value, ...], wrap: object) -> str:
    parts: list[str] = []
    size = 0
    for value in values:
        if value is not None:
            text = text_of(value, budget)
            budget.string(6 * len(text))
            parts.append(wrap(text))  # type: ignore[operator]
            size += len(parts[-1]) + 1
            budget.part(size)
    budget.string(size)
    return " ".join(parts)


def _cat(budget: Budget, *values: Value) -> str:
    return _each(budget, values, lambda text: text)


def _join(budget: Budget, separator: str, values: Value) -> str:
    texts = texts_of(values, budget)
    budget.string(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _split_list(budget: Budget, separator: str, text: str) -> list[str]:
    pieces = text.count(separator) + 1 if separator else len(text)
    budget.items(pieces)
    return text.split(separator) if separator else list(text)


def _split(budget: Budget, separator: str, text: str) -> dict[str, str]:
    return _numbered(_split_list(budget, separator, text))


def _splitn(budget: Budget, separator: str, count: int, text: str) -> dict[str, str]:
    if count < 0:
        return _split(budget, separator, text)
    if count == 0:
        return {}
    if not separator:
        head = list(text[: count - 1])
        pieces = head + ([text[count - 1 :]] if len(text) >= count else [])
    else:
        pieces = text.split(separator, count - 1)
    budget.items(len(pieces))
    return _numbered(pieces)


def _numbered(pieces: list[str]) -> dict[str, str]:
    return {f"_{number}": piece for number, piece in enumerate(pieces)}


def _abbrev(width: int, text: str) -> str:
    return text if width < 4 or len(text) <= width else text[: width - 3] + "..."


def _nospace(text: str) -> str:
    return "".join(character for character in text if character not in _SPACE)


def _sort_alpha(budget: Budget, values: Value) -> list[str]:
    texts = texts_of(values, budget)
    budget.spend(len(texts))
    return sorted(texts, key=lambda text: text.encode("utf-8", "replace"))


TABLE: Final = (
    Function("trim", "s", lambda text: text.strip(_SPACE)),
    Function("trimAll", "ss", lambda characters, text: text.strip(characters)),
    Function("trimSuffix", "ss", lambda suffix, text: text.removesuffix(suffix)),
    Function("trimPrefix", "ss", lambda prefix, text: text.removeprefix(prefix)),
    Function("upper", "s", str.upper),
    Function("lower", "s", str.lower),
    Function("title", "s", _title),
    Function("untitle", "s", lambda text: text[:1].lower() + text[1:]),
    Function("contains", "ss", lambda part, text: part in text),
    Function("hasPrefix", "ss", lambda prefix, text: text.startswith(prefix)),
    Function("hasSuffix", "ss", lambda suffix, text: text.endswith(suffix)),
    Function("trunc", "is", _trunc),
    Function("substr", "iis", _substr),
    Function("abbrev", "is", _abbrev),
    Function("nospace", "s", _nospace),
    Function("repeat", "is", _repeat, charges=True),
    Function("indent", "is", _indent, charges=True),
    Function("nindent", "is", lambda budget, blanks, text: "\n" + _indent(budget, blanks, text), charges=True),
    Function("replace", "sss", _replace, charges=True),
    Function("plural", "ssi", lambda one, many, count: one if count == 1 else many),
    Function("quote", "A", _quote, charges=True),
    Function("squote", "A", _squote, charges=True),
    Function("cat", "A", _cat, charges=True),
    Function("join", "sa", _join, charges=True),
    Function("splitList", "ss", _split_list, charges=True),
    Function("split", "ss", _split, charges=True),
    Function("splitn", "sis", _splitn, charges=True),
    Function("sortAlpha", "a", _sort_alpha, charges=True),
)
