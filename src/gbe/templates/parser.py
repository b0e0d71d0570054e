"""Tokens become nodes. What can be known without data is checked here: names, nesting, where ``break`` may stand."""

import re
from collections.abc import Container
from typing import Final

from gbe.errors import TemplateForbiddenError, TemplateSyntaxError
from gbe.templates.lexer import CLOSE, DOT, FIELD, NAME, NUMBER, STRING, TEXT, VARIABLE, Token, line_of, tokens
from gbe.templates.limits import MAX_NESTING
from gbe.templates.nodes import (
    Action,
    Block,
    Break,
    Call,
    Constant,
    Continue,
    Dot,
    Fields,
    If,
    Nil,
    Node,
    Operand,
    Pipeline,
    Range,
    Text,
    Variable,
)

FORBIDDEN: Final = frozenset({"template", "define", "block", "call"})

_KEYWORDS: Final = frozenset({"if", "with", "range", "else", "end", "break", "continue"})
_INTEGER: Final = re.compile(r"[-+]?(?:0[xX][0-9A-Fa-f]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_LONGEST_NUMBER: Final = 64
_MOST_VARIABLES: Final = 100
_MIN_INT, _MAX_INT = -(1 << 63), (1 << 63) - 1


class Parser:
    """Reads one template.

    Args:
        source: the template.
        functions: names that may be called.
    """

    def __init__(self, source: str, functions: Container[str]) -> None:
        self._source = source
        self._tokens = list(tokens(source))
        self._at = 0
        self._functions = functions
        self._names: list[str] = [""]  # "$" is the variable without a name
        self._most = 1
        self._nesting = 0
        self._loops = 0

    def parse(self) -> tuple[Block, int]:
        """The nodes, and how many slots their variables take.

        Raises:
            TemplateSyntaxError: it cannot be read.
            TemplateForbiddenError: it uses what nobody may use.
        """
        nodes, end = self._block()
        if end:
            raise self._error(f"{{{{{end}}}}} without a beginning")
        return nodes, self._most

    # -- blocks

    def _block(self) -> tuple[Block, str]:
        """Nodes up to ``end`` or ``else``, whose word is returned with its action still open; or to the end of it."""
        nodes: list[Node] = []
        while (token := self._next()) is not None:
            if token.kind == TEXT:
                nodes.append(Text(token.value))
                continue
            word = self._keyword()
            if word in ("end", "else"):
                return tuple(nodes), word
            nodes.append(self._node(word))
        return tuple(nodes), ""

    def _node(self, word: str) -> Node:
        match word:
            case "if" | "with" | "range":
                return self._control(word)
            case "break" | "continue":
                self._expect(CLOSE)
                if not self._loops:
                    raise self._error(f"{{{{{word}}}}} outside of {{{{range}}}}")
                return Break() if word == "break" else Continue()
        pipeline = self._pipeline(CLOSE)
        self._expect(CLOSE)
        return Action(pipeline)

    def _control(self, word: str) -> Node:
        """``if``, ``with`` or ``range`` to its ``end``."""
        self._deeper()
        scope = len(self._names)
        branches: list[tuple[Pipeline, Block]] = []
        otherwise: Block = ()
        while True:
            pipeline = self._pipeline(CLOSE, declares=2 if word == "range" else 1)
            self._expect(CLOSE)
            self._loops += word == "range"
            body, end = self._scoped_block()
            self._loops -= word == "range"
            branches.append((pipeline, body))
            follows = self._keyword() if end == "else" else ""
            if not follows:
                break
            if follows != word or word == "range":
                raise self._error(f"{{{{else {follows}}}}} in {{{{{word}}}}}")
        if end == "else":
            self._expect(CLOSE)
            otherwise, end = self._scoped_block()
        if end != "end":
            raise self._error(f"a second {{{{{end}}}}}" if end else f"{{{{{word}}}}} without {{{{end}}}}")
        self._expect(CLOSE)
        del self._names[scope:]
        self._nesting -= 1
        if word == "range":
            return Range(*branches[0], otherwise)
        return If(tuple(branches), otherwise, word == "with")

    def _scoped_block(self) -> tuple[Block, str]:
        scope = len(self._names)
        block = self._block()
        del self._names[scope:]
        return block

    # -- pipelines

    def _pipeline(self, end: str, declares: int = 1) -> Pipeline:
        slots = self._declared(declares)
        commands = [self._command(end)]
        while self._kind() == "|":
            self._next()
            commands.append(self._command(end))
        for command in commands[1:]:
            if isinstance(command[0], Constant | Dot | Nil):
                raise self._error("what follows a | must be a function")
        return Pipeline(tuple(commands), self._declare(slots))

    def _declared(self, most: int) -> list[tuple[str, bool]]:
        """``$x :=``, ``$x =`` or ``$i, $x :=`` at the beginning: names, and whether they are new."""
        names: list[str] = []
        at = self._at
        while self._kind() == VARIABLE:
            names.append(self._tokens[self._at].value)
            self._at += 1
            if self._kind() != ",":
                break
            self._at += 1
        mark = self._kind()
        if not names or mark not in (":=", "="):
            if len(names) > 1:
                raise self._error("variables without := or =")
            self._at = at
            return []
        self._at += 1
        if len(names) > most:
            raise self._error("too many variables")
        return [(name, mark == ":=") for name in names]

    def _declare(self, names: list[tuple[str, bool]]) -> tuple[int, ...]:
        slots: list[int] = []
        for name, is_new in names:
            if is_new:
                if len(self._names) > _MOST_VARIABLES:
                    raise self._error(f"more than {_MOST_VARIABLES} variables")
                self._names.append(name)
                self._most = max(self._most, len(self._names))
                slots.append(len(self._names) - 1)
            else:
                slots.append(self._slot(name))
        return tuple(slots)

    def _slot(self, name: str) -> int:
        for slot in range(len(self._names) - 1, -1, -1):
            if self._names[slot] == name:
                return slot
        raise self._error(f"undefined variable ${name}")

    def _command(self, end: str) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        while self._kind() not in ("|", end):
            if operands and self._at < len(self._tokens) and not self._tokens[self._at].spaced:
                raise self._error("a blank is missing between two values")
            operands.append(self._operand())
        if not operands:
            raise self._error("a value is missing")
        if len(operands) > 1 and not isinstance(operands[0], Call):
            raise self._error("arguments after what is no function")
        if isinstance(operands[0], Nil):
            raise self._error("nil is not a command")
        return tuple(operands)

    def _operand(self) -> Operand:
        operand = self._term()
        names = self._fields()
        if names and isinstance(operand, Constant | Nil | Call | Dot):
            raise self._error("a field of what has none")
        return Fields(operand, names) if names else operand

    def _term(self) -> Operand:
        token = self._next()
        match token:
            case Token(kind=k, value=name) if k == FIELD:
                return Fields(Dot(), (name, *self._fields()))
            case Token(kind=k) if k == DOT:
                return Dot()
            case Token(kind=k, value=name) if k == VARIABLE:
                return Variable(self._slot(name))
            case Token(kind=k, value=text) if k == STRING:
                return Constant(text)
            case Token(kind=k, value=text) if k == NUMBER:
                return Constant(self._number(text))
            case Token(kind="("):
                self._deeper()
                pipeline = self._pipeline(")")
                self._expect(")")
                self._nesting -= 1
                return pipeline
            case Token(kind=k, value=name) if k == NAME:
                return self._named(name)
        raise self._error(f"unexpected {token.value[:20]}" if token else "it ends within an action")

    def _fields(self) -> tuple[str, ...]:
        """``.a.b`` right behind a value."""
        names: list[str] = []
        while self._kind() == FIELD and not self._tokens[self._at].spaced:
            names.append(self._tokens[self._at].value)
            self._at += 1
        return tuple(names)

    def _named(self, name: str) -> Operand:
        match name:
            case "true" | "false":
                return Constant(name == "true")
            case "nil":
                return Nil()
        if name in FORBIDDEN:
            raise TemplateForbiddenError(name)
        if name in _KEYWORDS:
            raise self._error(f"unexpected {name}")
        if name not in self._functions:
            raise self._error(f"function {name[:40]!r} is not defined")
        return Call(name)

    def _number(self, text: str) -> int | float:
        digits = text.replace("_", "")
        if len(digits) <= _LONGEST_NUMBER:
            if _INTEGER.fullmatch(digits):
                plain = digits.lstrip("+-")
                if len(plain) > 1 and plain[0] == "0" and plain[1].isdigit():
                    digits = digits.replace("0", "0o", 1)
                value = int(digits, 0)
                if _MIN_INT <= value <= _MAX_INT:
                    return value
            elif _FLOAT.fullmatch(digits):
                return float(digits)
        raise self._error(f"bad number {text[:40]}")

    # -- tokens

    def _next(self) -> Token | None:
        if self._at >= len(self._tokens):
            return None
        self._at += 1
        return self._tokens[self._at - 1]

    def _kind(self) -> str:
        """Of what comes next; an action that is not closed was an error of the lexer."""
        return self._tokens[self._at].kind if self._at < len(self._tokens) else ""

    def _keyword(self) -> str:
        """The keyword that comes next, taken; or nothing."""
        if self._kind() == NAME and self._tokens[self._at].value in _KEYWORDS:
            self._at += 1
            return self._tokens[self._at - 1].value
        return ""

    def _expect(self, kind: str) -> None:
        token = self._next()
        if token is None or token.kind != kind:
            raise self._error(f"expected {kind}" + (f", found {token.value[:20]}" if token else ""))

    def _deeper(self) -> None:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise self._error(f"blocks and parentheses are nested more than {MAX_NESTING} deep")

    def _error(self, what: str) -> TemplateSyntaxError:
        at = max(0, min(self._at, len(self._tokens)) - 1)
        line = line_of(self._source, self._tokens[at].position) if self._tokens else 1
        return TemplateSyntaxError(f"line {line}: {what}")
