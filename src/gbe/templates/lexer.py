"""A template as tokens (https://pkg.go.dev/text/template, "Text and spaces", and Go's literals)."""

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final

from gbe.errors import TemplateSyntaxError

TEXT, OPEN, CLOSE = "text", "{{", "}}"
NUMBER, STRING, FIELD, VARIABLE, NAME, DOT = "number", "string", "field", "variable", "name", "."

_SPACE: Final = " \t\r\n"
_TRIMMED: Final = re.compile(r"\{\{-[ \t\r\n]")
_COMMENT: Final = re.compile(r"\{\{(?:-[ \t\r\n])?/\*")
_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<string>"(?:[^"\\\n]|\\[^\n])*" | `[^`]*`)
      | (?P<char>'(?:[^'\\\n]|\\[^\n][0-9A-Fa-f]{0,8})')
      | (?P<number>[-+]?(?:[0-9]|\.[0-9])(?:[0-9A-Za-z_.]|(?<=[eEpP])[-+])*)
      | (?P<field>\.[^\W\d]\w*)
      | (?P<variable>\$\w*)
      | (?P<name>[^\W\d]\w*)
      | (?P<mark>:=|[=|(),.])""",
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})|(.))", re.DOTALL)
_SIMPLE: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", "'": "'", '"': '"',
}  # fmt: skip
_SURROGATES: Final = range(0xD800, 0xE000)


@dataclass(frozen=True, slots=True)
class Token:
    """One token.

    Attributes:
        kind: a name above, or the mark itself.
        value: text, the decoded literal, or the name without ``.`` and ``$``.
        spaced: whether white space stands before it.
        position: where it begins in the source.
    """

    kind: str
    value: str
    spaced: bool
    position: int


def tokens(source: str) -> Iterator[Token]:
    """All tokens in their order. Raises ``TemplateSyntaxError``."""
    done, trims = 0, False
    while True:
        start = source.find(OPEN, done)
        text = source[done:] if start < 0 else source[done:start]
        if trims:
            text = text.lstrip(_SPACE)
        trimmed = start >= 0 and _TRIMMED.match(source, start) is not None
        if trimmed:
            text = text.rstrip(_SPACE)
        if text:
            yield Token(TEXT, text, False, done)
        if start < 0:
            return
        if _COMMENT.match(source, start):
            done, trims = _after_comment(source, start)
            continue
        yield Token(OPEN, OPEN, False, start)
        done, trims = yield from _action(source, start + (3 if trimmed else 2))


def _after_comment(source: str, start: int) -> tuple[int, bool]:
    end = source.find("*/", start)
    if end < 0:
        raise _error(source, start, "a comment is not closed")
    if source.startswith(CLOSE, end + 2):
        return end + 4, False
    if source[end + 2 : end + 3] in (*_SPACE,) and source.startswith("-" + CLOSE, end + 3):
        return end + 6, True
    raise _error(source, end, "a comment ends before }}")


def _action(source: str, position: int) -> Generator[Token, None, tuple[int, bool]]:
    """The tokens up to and with ``}}``; returns where it ended and whether what follows is trimmed."""
    spaced = False
    while True:
        if source.startswith(CLOSE, position):
            yield Token(CLOSE, CLOSE, spaced, position)
            return position + 2, False
        if spaced and source.startswith("-" + CLOSE, position):
            yield Token(CLOSE, CLOSE, spaced, position)
            return position + 3, True
        match = _TOKEN.match(source, position)
        if match is None:
            what = f"unexpected {source[position : position + 1]!r}" if position < len(source) else "{{ is not closed"
            raise _error(source, position, what)
        kind = str(match.lastgroup)
        if kind == "space":
            spaced, position = True, match.end()
            continue
        yield _token(kind, match[0], spaced, position)
        spaced, position = False, match.end()


def _token(kind: str, text: str, spaced: bool, position: int) -> Token:
    match kind:
        case "mark":
            return Token(text, text, spaced, position)
        case "field" | "variable":
            return Token(kind, text[1:], spaced, position)
        case "string" if text.startswith('"'):
            return Token(STRING, unquote(text[1:-1]), spaced, position)
        case "string":
            return Token(STRING, text[1:-1].replace("\r", ""), spaced, position)
        case "char":
            character = unquote(text[1:-1])
            if len(character) != 1:
                raise TemplateSyntaxError(f"{text} is not one character")
            return Token(NUMBER, str(ord(character)), spaced, position)
    return Token(kind, text, spaced, position)


def unquote(text: str) -> str:
    """What stands between the quotes of a Go literal. Raises ``TemplateSyntaxError``."""

    def decode(match: re.Match[str]) -> str:
        hexadecimal = match[1] or match[2] or match[3]
        if hexadecimal or match[4]:
            code = int(hexadecimal, 16) if hexadecimal else int(match[4], 8)
            if code > 0x10FFFF or code in _SURROGATES:
                raise TemplateSyntaxError(f"{match[0]} is no character")
            return chr(code)
        simple = _SIMPLE.get(match[5])
        if simple is None:
            raise TemplateSyntaxError(f"unknown escape {match[0]}")
        return simple

    return _ESCAPE.sub(decode, text) if "\\" in text else text


def line_of(source: str, position: int) -> int:
    """The line, from 1, that a position is in."""
    return source.count("\n", 0, position) + 1


def _error(source: str, position: int, what: str) -> TemplateSyntaxError:
    return TemplateSyntaxError(f"line {line_of(source, position)}: {what}")
