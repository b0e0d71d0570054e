"""What a function takes, checked before it is called, and what it makes, charged after."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from gbe.errors import TemplateFailedError
from gbe.templates.limits import Budget
from gbe.templates.nodes import Value
from gbe.templates.values import type_name

_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "s": (str,),
    "i": (int,),
    "b": (bool,),
    "l": (list,),
    "m": (dict,),
    "a": (object,),
}
_NAMES: Final = {"s": "a string", "i": "an integer", "b": "a boolean", "l": "a list", "m": "a map"}


@dataclass(frozen=True, slots=True)
class Function:
    """One function.

    Attributes:
        name: in templates.
        takes: a letter for each argument: ``s`` string, ``i`` integer, ``b`` boolean, ``l`` list, ``m`` map, ``a``
            anything. A last one in capitals may be there any number of times. A letter after ``?`` may be left out.
        body: gets the arguments, and the budget first if ``charges``.
        charges: whether it charges for what it makes itself, before it makes it.
    """

    name: str
    takes: str
    body: Callable[..., Any]
    charges: bool = False

    def call(self, arguments: list[Value], budget: Budget) -> Value:
        """Call it. Raises ``TemplateFailedError``, ``TemplateTimeoutError``."""
        self._check(arguments)
        for argument in arguments:
            if isinstance(argument, str):
                budget.look_at(len(argument))
            elif isinstance(argument, list | dict):
                budget.look_at(8 * len(argument))
        try:
            result: Value = self.body(budget, *arguments) if self.charges else self.body(*arguments)
        except (ArithmeticError, ValueError) as exc:
            raise TemplateFailedError(f"{self.name}: {exc}") from exc
        if not self.charges:
            _charge(result, budget)
        return result

    def _check(self, arguments: list[Value]) -> None:
        required, _, optional = self.takes.partition("?")
        kinds = required + optional
        repeats = kinds[-1:].isupper()
        least = len(required) - (repeats and not optional)
        if len(arguments) < least or (len(arguments) > len(kinds) and not repeats):
            raise TemplateFailedError(f"{self.name}: {len(arguments)} arguments; expected {_counted(least, kinds)}")
        for number, argument in enumerate(arguments):
            kind = kinds[min(number, len(kinds) - 1)].lower()
            accepted = isinstance(argument, _KINDS[kind]) and not (kind == "i" and isinstance(argument, bool))
            if not accepted:
                expected = _NAMES[kind]
                raise TemplateFailedError(f"{self.name}: expected {expected}, found {type_name(argument)}")


def _counted(least: int, kinds: str) -> str:
    if kinds[-1:].isupper():
        return f"at least {least}"
    return str(least) if least == len(kinds) else f"{least} to {len(kinds)}"


def _charge(result: Value, budget: Budget) -> None:
    if isinstance(result, str):
        budget.string(len(result))
    elif isinstance(result, list | dict):
        budget.items(len(result))
        size = sum(len(item) for item in result if isinstance(item, str))
        budget.look_at(size)
