"""What a template consists of once it is parsed. Variables are numbered slots: where a name leads is known by then."""

from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = object
"""``None``, ``bool``, ``int``, ``float``, ``str``, ``list`` or ``dict`` with text keys."""


@dataclass(frozen=True, slots=True)
class Dot:
    """``.``"""


@dataclass(frozen=True, slots=True)
class Nil:
    """``nil``"""


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal."""

    value: Value


@dataclass(frozen=True, slots=True)
class Variable:
    """``$name``, by its slot."""

    slot: int


@dataclass(frozen=True, slots=True)
class Call:
    """The name of a function; its arguments are the rest of the command."""

    name: str


@dataclass(frozen=True, slots=True)
class Fields:
    """``X.a.b``."""

    of: "Operand"
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands, each given the value of the one before as its last argument.

    Attributes:
        commands: each an operand and its arguments.
        slots: variables that get the value; two only for ``range``.
    """

    commands: tuple[tuple["Operand", ...], ...]
    slots: tuple[int, ...] = ()


Operand: TypeAlias = Dot | Nil | Constant | Variable | Call | Fields | Pipeline


@dataclass(frozen=True, slots=True)
class Text:
    """What stands outside of actions."""

    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """A pipeline whose value is printed, unless variables get it."""

    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class If:
    """``if`` and, with ``rebinds``, ``with``; each branch a condition and what follows it."""

    branches: "tuple[tuple[Pipeline, Block], ...]"
    otherwise: "Block"
    rebinds: bool


@dataclass(frozen=True, slots=True)
class Range:
    """``range``."""

    pipeline: Pipeline
    body: "Block"
    otherwise: "Block"


@dataclass(frozen=True, slots=True)
class Break:
    """``break``"""


@dataclass(frozen=True, slots=True)
class Continue:
    """``continue``"""


Node: TypeAlias = Text | Action | If | Range | Break | Continue
Block: TypeAlias = tuple[Node, ...]
