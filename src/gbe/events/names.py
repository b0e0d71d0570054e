"""Subjects of events: with the namespace on the wire, with or without it wherever people write them."""

from typing import Final, NamedTuple

from gbe.errors import UnknownEventError
from gbe.schemas.events.registry import EventRegistry, EventSchema
from gbe.subjects import DEFAULT_NAMESPACE, check_pattern, check_subject

_MOST_KNOWN: Final = 4096


class EventName(NamedTuple):
    """The subject of an event: in full, without the namespace, and the schema that covers it."""

    subject: str
    relative: str
    schema: EventSchema


class EventNames:
    """Subjects and patterns of one namespace."""

    def __init__(self, namespace: str, registry: EventRegistry) -> None:
        self.namespace, self._registry = namespace, registry
        self._domains = registry.domains
        self._known: dict[str, EventName] = {}

    def relative(self, subject: str) -> str:
        """A subject or pattern without its namespace.

        ``gbe.`` in front is taken for the namespace too, whatever this deployment's is: code that names it runs
        in every environment.
        """
        first, dot, rest = subject.partition(".")
        if dot and first in (self.namespace, DEFAULT_NAMESPACE) and first not in self._registry.domains:
            return rest
        return subject

    def of(self, given: str) -> "EventName":
        """What a subject of an event stands for. Raises ``InvalidSubjectError``, ``UnknownEventError``."""
        if self._domains is not self._registry.domains:  # schemas were added meanwhile
            self._domains = self._registry.domains
            self._known.clear()
        found = self._known.get(given)
        if found is None:
            relative = self.relative(check_subject(given))
            schema = self._registry.schema_of(relative)
            found = EventName(check_subject(f"{self.namespace}.{relative}"), relative, schema)
            if len(self._known) < _MOST_KNOWN:
                self._known[given] = found
        return found

    def subject(self, given: str) -> str:
        """The full subject of an event. Raises ``InvalidSubjectError``, ``UnknownEventError``."""
        return self.of(given).subject

    def pattern(self, given: str) -> str:
        """The full pattern of events to read or to handle.

        Raises:
            InvalidSubjectError: no pattern.
            UnknownEventError: its domain has no events: notifications and tasks are not read here.
        """
        relative = self.relative(check_pattern(given))
        if relative.partition(".")[0] not in self._registry.domains:
            raise UnknownEventError(relative)
        return check_pattern(f"{self.namespace}.{relative}")
