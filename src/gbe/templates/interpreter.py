"""Evaluates parsed templates. Every node costs a step; nothing loops or grows beyond the budget."""

from collections.abc import Iterable, Mapping
from typing import Final

from gbe.errors import TemplateFailedError
from gbe.templates.functions.signature import Function
from gbe.templates.limits import Budget
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
    Node,
    Operand,
    Pipeline,
    Range,
    Text,
    Value,
    Variable,
)
from gbe.templates.values import MISSING, NO_VALUE, is_true, sorted_keys, to_text, type_name

_NONE: Final = object()  # no value came through the pipe


class _BreakLoop(Exception):  # noqa: N818 - a signal, no error
    """``break`` was reached."""


class _NextTurn(Exception):  # noqa: N818
    """``continue`` was reached."""


class Interpreter:
    """One rendering.

    Args:
        functions: what can be called, by name.
        slots: how many variables there are.
        data: what ``.`` and ``$`` are in the beginning.
    """

    def __init__(self, functions: Mapping[str, Function], slots: int, data: Value, budget: Budget) -> None:
        self._functions = functions
        self._variables: list[Value] = [None] * slots
        self._variables[0] = data
        self._data = data
        self._budget = budget
        self._output: list[str] = []

    def run(self, block: Block) -> str:
        """The output. Raises ``TemplateFailedError``, ``TemplateTimeoutError``."""
        self._block(block, self._data)
        return "".join(self._output)

    # -- nodes

    def _block(self, block: Block, dot: Value) -> None:
        for node in block:
            self._node(node, dot)

    def _node(self, node: Node, dot: Value) -> None:
        self._budget.spend()
        match node:
            case Text(text):
                self._write(text)
            case Action(pipeline):
                value = self._pipeline(pipeline, dot)
                if not pipeline.slots:
                    self._write(NO_VALUE if value is None or value is MISSING else to_text(value, self._budget))
            case If():
                self._if(node, dot)
            case Range():
                self._range(node, dot)
            case Break():
                raise _BreakLoop
            case Continue():
                raise _NextTurn

    def _if(self, node: If, dot: Value) -> None:
        for pipeline, body in node.branches:
            value = self._pipeline(pipeline, dot)
            if is_true(value):
                self._block(body, value if node.rebinds else dot)
                return
        self._block(node.otherwise, dot)

    def _range(self, node: Range, dot: Value) -> None:
        value = self._pipeline(Pipeline(node.pipeline.commands), dot)
        slots = node.pipeline.slots
        went_round = False
        for key, item in self._items(value):
            went_round = True
            self._budget.loop()
            if len(slots) == 2:
                self._variables[slots[0]] = key
            if slots:
                self._variables[slots[-1]] = item
            try:
                self._block(node.body, item)
            except _BreakLoop:
                break
            except _NextTurn:
                continue
        if not went_round:
            self._block(node.otherwise, dot)

    def _items(self, value: Value) -> Iterable[tuple[Value, Value]]:
        match value:
            case bool() | float() | str():
                raise TemplateFailedError(f"range cannot iterate over a {type_name(value)}")
            case int():
                return ((number, number) for number in range(value))
            case list():
                self._budget.items(len(value))
                return enumerate(list(value))  # as it is now: a function may change it meanwhile
            case dict():
                return [(key, value[key]) for key in sorted_keys(value, self._budget)]
        return ()

    def _write(self, text: str) -> None:
        self._budget.write(len(text))
        self._output.append(text)

    # -- values

    def _pipeline(self, pipeline: Pipeline, dot: Value) -> Value:
        value: Value = _NONE
        for command in pipeline.commands:
            value = self._command(command, dot, value)
        for slot in pipeline.slots:
            self._variables[slot] = value
        return value

    def _command(self, command: tuple[Operand, ...], dot: Value, piped: Value) -> Value:
        first = command[0]
        if isinstance(first, Call):
            return self._call(first.name, command[1:], dot, piped)
        if piped is not _NONE:
            raise TemplateFailedError("a value cannot be given to what is no function")
        return self._operand(first, dot)

    def _operand(self, operand: Operand, dot: Value) -> Value:
        self._budget.spend()
        match operand:
            case Constant(value):
                return value
            case Dot():
                return dot
            case Variable(slot):
                return self._variables[slot]
            case Fields(of, names):
                return self._fields(self._operand(of, dot), names)
            case Pipeline():
                return self._pipeline(operand, dot)
            case Call(name):
                return self._call(name, (), dot, _NONE)
        return None

    def _fields(self, value: Value, names: tuple[str, ...]) -> Value:
        for name in names:
            if isinstance(value, dict):
                value = value.get(name, MISSING)
            elif value is None:
                raise TemplateFailedError(f"null has no field {name!r}")
            elif value is not MISSING:
                raise TemplateFailedError(f"a {type_name(value)} has no field {name!r}")
        return value

    def _call(self, name: str, operands: tuple[Operand, ...], dot: Value, piped: Value) -> Value:
        self._budget.spend()
        if name in ("and", "or"):
            return self._shortcut(name, operands, dot, piped)
        arguments = [self._operand(operand, dot) for operand in operands]
        if piped is not _NONE:
            arguments.append(piped)
        return self._functions[name].call([None if a is MISSING else a for a in arguments], self._budget)

    def _shortcut(self, name: str, operands: tuple[Operand, ...], dot: Value, piped: Value) -> Value:
        """``and`` and ``or`` look at no more than they must."""
        value: Value = _NONE
        for operand in operands:
            value = self._operand(operand, dot)
            if is_true(value) == (name == "or"):
                return value
        value = value if piped is _NONE else piped
        if value is _NONE:
            raise TemplateFailedError(f"{name}: an argument is missing")
        return value
