"""Conditions: when a task of a job runs. A small language without loops, calls of ours or attributes of Python's.

    fetch.data.count > 10 and not failed(audit)
    params.region in ["eu", "us"] or len(list) == 0

Operands are references, numbers, texts, ``true false null`` and lists of literals; ``completed(task)``,
``failed(task)`` and ``skipped(task)`` ask how a task ended, ``len(reference)`` counts. The length of a condition and
its depth are bounded, and it takes time in proportion to its length.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from gbe.graph.references import Lookup, Reference, ReferenceValueError

MAX_LENGTH: Final = 1_000
MAX_DEPTH: Final = 32
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>-?\d{1,15}(?:\.\d{1,15})?(?![A-Za-z0-9_.-]))"
    r"|(?P<text>\"[^\"\\]*\"|'[^'\\]*')"
    r"|(?P<word>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)"
    r"|(?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|,))"
)
_LITERALS: Final = {"true": True, "false": False, "null": None}
_STATES: Final = ("completed", "failed", "skipped")
_COMPARE: Final = ("==", "!=", "<", "<=", ">", ">=", "in")

StateOf = Callable[[str], str]
"""How a task of the job ended: ``completed``, ``failed``, ``skipped`` or ``cancelled``."""
Node = Callable[[Lookup, StateOf], Any]


class ConditionError(ValueError):
    """Not a condition, or one that its values do not suit; the text says where."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, read.

    Attributes:
        text: as it was written.
        references: what it needs.
        tasks: every task that it speaks of.
    """

    text: str
    references: tuple[Reference, ...]
    tasks: frozenset[str]
    _node: Node

    @classmethod
    def parse(cls, text: object) -> "Condition":
        """Read a condition; raises ``ConditionError``."""
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_LENGTH:
            raise ConditionError(f"expected a condition of at most {MAX_LENGTH} characters, such as fetch.count > 0")
        parser = _Parser(text)
        node = parser.whole()
        asked = {reference.task for reference in parser.references if reference.task is not None}
        return cls(text, tuple(parser.references), frozenset(asked | parser.asked), node)

    def holds(self, lookup: Lookup, state_of: StateOf) -> bool:
        """Whether it is true of these values. Raises ``ConditionError``."""
        try:
            return bool(self._node(lookup, state_of))
        except ReferenceValueError as exc:
            raise ConditionError(str(exc)) from None


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0
        self.references: list[Reference] = []
        self.asked: set[str] = set()

    def whole(self) -> Node:
        node = self._either(0)
        if self._peek() != ("end", ""):
            raise self._unexpected()
        return node

    # -- tokens

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at][:2]

    def _take(self, *texts: str) -> str | None:
        kind, text = self._peek()
        if kind in ("word", "sign") and text in texts:
            self._at += 1
            return text
        return None

    def _need(self, text: str) -> None:
        if self._take(text) is None:
            raise self._unexpected(f"expected {text}")

    def _unexpected(self, expected: str = "") -> ConditionError:
        kind, text, place = self._tokens[self._at]
        found = "the end" if kind == "end" else repr(text)
        return ConditionError(f"at character {place + 1}: {found} is not expected{expected and f'; {expected}'}")

    # -- grammar

    def _either(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise ConditionError(f"nested deeper than {MAX_DEPTH}")
        parts = [self._both(depth)]
        while self._take("or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else lambda look, of: any(part(look, of) for part in parts)

    def _both(self, depth: int) -> Node:
        parts = [self._negated(depth)]
        while self._take("and"):
            parts.append(self._negated(depth))
        return parts[0] if len(parts) == 1 else lambda look, of: all(part(look, of) for part in parts)

    def _negated(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise ConditionError(f"nested deeper than {MAX_DEPTH}")
        if self._take("not"):
            inner = self._negated(depth + 1)
            return lambda look, of: not inner(look, of)
        return self._comparison(depth)

    def _comparison(self, depth: int) -> Node:
        left = self._operand(depth)
        sign = self._take(*_COMPARE)
        if sign is None:
            return left
        right = self._operand(depth)
        return lambda look, of: _compare(sign, left(look, of), right(look, of))

    def _operand(self, depth: int) -> Node:
        if self._take("("):
            node = self._either(depth + 1)
            self._need(")")
            return node
        kind, text = self._peek()
        if kind == "sign" and text != "[":
            raise self._unexpected()
        if kind == "end" or text in ("and", "or", "in"):
            raise self._unexpected("a value is missing")
        if kind == "word" and text not in _LITERALS:
            self._at += 1
            if self._take("("):
                return self._call(text)
            return self._reference(text)
        value = self._literal(depth)
        return lambda _look, _of: value

    def _literal(self, depth: int) -> Any:
        kind, text = self._peek()
        if self._take("["):
            if depth > MAX_DEPTH:
                raise ConditionError(f"nested deeper than {MAX_DEPTH}")
            values: list[Any] = []
            while self._take("]") is None:
                if values:
                    self._need(",")
                values.append(self._literal(depth + 1))
            return values
        self._at += 1
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind == "text":
            return text[1:-1]
        if kind == "word" and text in _LITERALS:
            return _LITERALS[text]
        self._at -= 1
        raise self._unexpected("a number, a text in quotes, true, false or null")

    def _call(self, name: str) -> Node:
        kind, text = self._peek()
        if kind != "word":
            raise self._unexpected("the name of a task")
        self._at += 1
        if name in _STATES:
            self.asked.add(text)
            self._need(")")
            return lambda _look, of: of(text) == name
        if name == "len":
            inner = self._reference(text)
            self._need(")")
            return lambda look, of: _length(inner(look, of), text)
        raise ConditionError(f"{name}(…): there are completed, failed, skipped and len")

    def _reference(self, text: str) -> Node:
        reference = Reference.parse(text)
        self.references.append(reference)
        return lambda look, _of: reference.value(look)


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise ConditionError(f"at character {at + 1}: {text[at : at + 10]!r} cannot be read")
        kind = match.lastgroup or ""
        yield kind, match[kind], match.start(kind)
        at = match.end()
    yield "end", "", end


def _compare(sign: str, left: Any, right: Any) -> bool:
    try:
        match sign:
            case "==":
                return bool(left == right)
            case "!=":
                return bool(left != right)
            case "<":
                return bool(left < right)
            case "<=":
                return bool(left <= right)
            case ">":
                return bool(left > right)
            case ">=":
                return bool(left >= right)
            case _:
                return left in right
    except TypeError:
        raise ConditionError(f"{_kind(left)} {sign} {_kind(right)} cannot be compared") from None


def _length(value: Any, text: str) -> int:
    if not isinstance(value, str | list | dict):
        raise ConditionError(f"len({text}): {_kind(value)} has no length")
    return len(value)


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
