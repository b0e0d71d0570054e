"""A function as a task type: its parameters and its result are checked and serialised by its annotations."""

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from gbe.errors import ConfigError, InvalidTaskError
from gbe.lifecycle.types import TaskType, check_type_name
from gbe.schemas.documents import FAULTS
from gbe.schemas.violations import violation
from gbe.tasks.context import TaskContext

_encoder: Final = msgspec.json.Encoder()


class Runnable(Protocol):
    """What a worker runs: a registered function, or a call that is configured (``gbe.tasks.calls``)."""

    name: str
    is_async: bool
    takes_context: bool

    @property
    def function(self) -> Callable[..., Any]:
        """Called with the context, if it takes one, and the parameters by name."""
        ...

    def decode_params(self, params: bytes) -> dict[str, Any]:
        """The arguments. Raises ``InvalidTaskError``."""
        ...

    def encode_result(self, result: object) -> bytes:
        """The result as JSON. Raises ``TypeError`` or ``ValueError``."""
        ...


class TaskFunction:
    """One registered function.

    Args:
        name: of the task type.
        function: plain or ``async``; a first parameter annotated as ``TaskContext`` (or named ``ctx``) gets the
            context.
        settings: of the type, as written in the decorator.

    Raises:
        ConfigError: a signature that cannot be a task's, a setting that cannot be.
    """

    def __init__(self, name: str, function: Callable[..., Any], settings: Mapping[str, object]) -> None:
        self.name, self.function = check_type_name(name), function
        self.defaults = TaskType().changed(settings, source=f"task {name}")
        self.is_async = inspect.iscoroutinefunction(function)
        parameters, hints = _parameters(name, function)
        self.takes_context = bool(parameters) and _is_context(parameters[0], hints)
        fields = [_field(parameter, hints) for parameter in parameters[self.takes_context :]]
        try:
            self.params = msgspec.defstruct(f"{name} parameters", fields, kw_only=True, forbid_unknown_fields=True)
            self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(self.params)
            result = hints.get("return", Any)
            self._result_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Any if result is None else result)
        except TypeError as exc:
            raise ConfigError(f"task {name}: a type that JSON cannot carry: {exc}") from exc

    def encode_params(self, given: Mapping[str, object]) -> bytes:
        """The parameters of a call as JSON, checked as the worker will check them.

        Raises:
            InvalidTaskError: one is missing, unknown, or of another type; it names the field.
        """
        try:
            encoded = _encoder.encode(given)
        except (TypeError, ValueError, OverflowError, RecursionError) as exc:
            raise InvalidTaskError(f"task {self.name}", "", f"a parameter cannot be serialised: {exc}") from exc
        self.decode_params(encoded)
        return encoded

    def decode_params(self, params: bytes) -> dict[str, Any]:
        """The arguments of a call. Raises ``InvalidTaskError`` as ``encode_params`` does."""
        try:
            decoded = self._decoder.decode(params)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise _explained(self.name, str(exc)) from None
        return {name: getattr(decoded, name) for name in self.params.__struct_fields__}

    def encode_result(self, result: object) -> bytes:
        """The result as JSON. Raises ``TypeError`` or ``ValueError`` for what JSON cannot carry."""
        return _encoder.encode(result)

    def decode_result(self, result: bytes) -> Any:
        """The result as the function's annotation has it."""
        try:
            return self._result_decoder.decode(result)
        except FAULTS as exc:
            raise InvalidTaskError(f"task {self.name}", "result", str(exc)) from None

    def schema(self) -> bytes:
        """JSON Schema of the parameters, for those who submit without the code."""
        try:
            return _encoder.encode(msgspec.json.schema(self.params))
        except TypeError:  # a custom type: only the worker can check it
            return b"{}"


def _parameters(name: str, function: Callable[..., Any]) -> tuple[list[inspect.Parameter], dict[str, Any]]:
    parameters = list(inspect.signature(function).parameters.values())
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ConfigError(f"task {name}: parameter {parameter.name} must be a named one")
    try:
        return parameters, typing.get_type_hints(function, include_extras=True)
    except NameError as exc:
        raise ConfigError(f"task {name}: an annotation cannot be resolved: {exc}") from exc


def _is_context(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> bool:
    return parameter.name == "ctx" or hints.get(parameter.name) is TaskContext


def _field(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Any:
    kind = hints.get(parameter.name, Any)
    if parameter.default is parameter.empty:
        return (parameter.name, kind)
    default = parameter.default
    if isinstance(default, list | dict | set | bytearray):
        return (parameter.name, kind, msgspec.field(default_factory=default.copy))
    return (parameter.name, kind, default)


def _explained(name: str, text: str) -> InvalidTaskError:
    """msgspec's words as field and reason."""
    return InvalidTaskError(f"task {name}", *violation(text, unknown="no such parameter"))
