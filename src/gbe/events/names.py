"""Subjects of events: with the namespace on the wire, with or without it wherever people write them."""

from gbe.errors import UnknownEventError
from gbe.schemas.events.registry import EventRegistry
from gbe.subjects import DEFAULT_NAMESPACE, check_pattern, check_subject


class EventNames:
    """Subjects and patterns of one namespace."""

    def __init__(self, namespace: str, registry: EventRegistry) -> None:
        self.namespace, self._registry = namespace, registry

    def relative(self, subject: str) -> str:
        """A subject or pattern without its namespace.

        ``gbe.`` in front is taken for the namespace too, whatever this deployment's is: code that names it runs
        in every environment.
        """
        first, dot, rest = subject.partition(".")
        if dot and first in (self.namespace, DEFAULT_NAMESPACE) and first not in self._registry.domains:
            return rest
        return subject

    def subject(self, given: str) -> str:
        """The full subject of an event. Raises ``InvalidSubjectError``, ``UnknownEventError``."""
        relative = self.relative(check_subject(given))
        self._registry.schema_of(relative)
        return check_subject(f"{self.namespace}.{relative}")

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
