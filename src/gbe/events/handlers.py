"""A function as a handler of events: which events it takes, and how each is decoded, by its annotations."""

import asyncio
import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from gbe.errors import ConfigError, InvalidEventError
from gbe.lifecycle.backoff import Backoff
from gbe.plain import without_stop
from gbe.schemas.events.base import Event
from gbe.schemas.events.registry import EventRegistry, EventSchema
from gbe.transport.base import LATEST, ConsumeOptions, Delivery, Start, check_group

_DELIVERY: Final = "delivery"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerOptions:
    """How a handler is called.

    Attributes:
        concurrency: events at a time, in each worker.
        max_deliver: deliveries of one event, then it is a dead letter.
        ack_timeout: seconds after which the events of a worker that died go to another one.
        backoff: pauses between the deliveries of an event whose handler fails.
        start: where a group begins when it is new.
    """

    concurrency: int = 10
    max_deliver: int = 5
    ack_timeout: float = 30.0
    backoff: Backoff = field(default_factory=lambda: Backoff(base=1.0, most=60.0))
    start: Start = LATEST

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ConfigError(f"handler: concurrency is {self.concurrency}; expected at least 1")
        self.consume()

    def consume(self) -> ConsumeOptions:
        """The same for the transport. Raises ``ConfigError``."""
        return ConsumeOptions(
            batch_size=min(100, max(10, self.concurrency)),
            max_inflight=max(100, 2 * self.concurrency),
            ack_timeout=self.ack_timeout,
            max_deliver=self.max_deliver,
            start=self.start,
        )


class EventHandler:
    """One registered function.

    Args:
        pattern: the events that it takes, with or without the namespace.
        group: its consumer group: each event goes to one member.
        function: plain or ``async``; its first parameter is the event. Another one that is annotated as ``Delivery``
            (or named ``delivery``) gets the delivery.
        options: see there.

    Raises:
        ConfigError: a signature, group or annotation that cannot be a handler's.
    """

    def __init__(self, pattern: str, group: str, function: Callable[..., Any], options: HandlerOptions) -> None:
        self.pattern, self.group, self.function, self.options = pattern, check_group(group), function, options
        self.name = getattr(function, "__qualname__", repr(function))
        self.is_async = inspect.iscoroutinefunction(function)
        hints = _hints(self.name, function)
        parameters = list(inspect.signature(function).parameters.values())
        if not parameters:
            raise ConfigError(f"handler {self.name}: expected a parameter for the event")
        self._delivery = _delivery_parameter(self.name, parameters[1:], hints)
        self._candidates = _candidates(hints.get(parameters[0].name, Event))
        self._schemas: dict[str, EventSchema] = {}

    def decode(self, registry: EventRegistry, subject: str, payload: bytes) -> Any:
        """The event of a subject, as the type that the function takes.

        The schema of the subject decides, where the annotation allows it; else the annotation does.

        Raises:
            UnknownEventError, InvalidEventError: it is no such event.
        """
        schema = self._schemas.get(subject)
        if schema is None:
            schema = self._schemas[subject] = self._schema_for(registry, subject)
        return schema.decode(subject, payload)

    def _schema_for(self, registry: EventRegistry, subject: str) -> EventSchema:
        known = registry.schema_of(subject)
        if not self._candidates or _is_one_of(known.type, self._candidates):
            return known
        if len(self._candidates) > 1:
            raise InvalidEventError(subject, "", f"handler {self.name} takes no {known.type.__name__}")
        return EventSchema(subject, self._candidates[0])

    async def __call__(self, event: Any, delivery: Delivery) -> None:
        """Handle an event. A plain function runs in a thread."""
        more = {} if self._delivery is None else {self._delivery: delivery}
        if self.is_async:
            await self.function(event, **more)
        else:
            await asyncio.to_thread(without_stop, self.function, event, **more)


def _hints(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as exc:
        raise ConfigError(f"handler {name}: an annotation cannot be resolved: {exc}") from exc


def _delivery_parameter(name: str, rest: list[inspect.Parameter], hints: dict[str, Any]) -> str | None:
    found: str | None = None
    for parameter in rest:
        if parameter.name == _DELIVERY or hints.get(parameter.name) is Delivery:
            found = parameter.name
        elif parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            raise ConfigError(f"handler {name}: parameter {parameter.name} is neither the event nor the delivery")
    return found


def _candidates(annotation: Any) -> tuple[type[Any], ...]:
    """The types that the annotation names; none for whatever comes."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = typing.get_args(annotation)
    else:
        members = (annotation,)
    return () if Any in members or Event in members or object in members else members


def _is_one_of(kind: type[Any], candidates: tuple[Any, ...]) -> bool:
    return any(kind is one or (inspect.isclass(one) and issubclass(kind, one)) for one in candidates)
