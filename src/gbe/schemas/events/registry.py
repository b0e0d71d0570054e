"""Which schema the events of a subject have: gbe's own, and those that users add."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from gbe.errors import ConfigError, InvalidEventError, InvalidSubjectError, UnknownEventError
from gbe.schemas.archive import ArchiveReport
from gbe.schemas.documents import FAULTS, check_document
from gbe.schemas.events import api, audit, auth, lifecycle, system
from gbe.schemas.events.base import Event
from gbe.schemas.fields import Head
from gbe.schemas.system import SweepReport
from gbe.schemas.violations import violation
from gbe.subjects import check_pattern, is_literal, matches

RESERVED: Final = frozenset({"tasks", "jobs", "notify", "_deadletter"})
"""Domains whose messages are no events: nobody registers, publishes or reads them as such."""

BUILT_IN: Final[Mapping[str, type[Any]]] = {
    "events.system.health": system.SystemHealth,
    "events.system.deploy": system.SystemDeploy,
    "events.system.error": system.SystemFault,
    "events.system.sweep": SweepReport,
    "events.system.archive": ArchiveReport,
    "events.system.*": system.SystemRecord,
    "events.api.request": api.ApiRequest,
    "events.api.error": api.ApiError,
    "events.auth.login": auth.AuthLogin,
    "events.auth.logout": auth.AuthLogout,
    "events.auth.failure": auth.AuthFailure,
    "events.audit.change": audit.AuditChange,
    "events.audit.access": audit.AuditAccess,
    "events.audit.*": audit.AuditRecord,
    "events.lifecycle.*.started": lifecycle.Lifecycle,
    "events.lifecycle.*.stopped": lifecycle.Lifecycle,
    "events.lifecycle.*.heartbeat": lifecycle.Lifecycle,
    "events.lifecycle.*.degraded": lifecycle.Lifecycle,
}
"""By pattern, without the namespace; of several that cover a subject the most exact one counts."""

_MOST_CACHED: Final = 4096


# what every event must have, whatever its own type says about defaults
_heads: Final = msgspec.json.Decoder(Head)


class EventSchema:
    """The type of the events of a pattern.

    Args:
        pattern: subjects without the namespace.
        kind: what msgspec decodes: a ``gbe.Event``, another ``msgspec.Struct``, a dataclass, a ``TypedDict``.

    Raises:
        ConfigError: a pattern that is none or belongs to another domain, a type that JSON cannot carry.
    """

    def __init__(self, pattern: str, kind: type[Any]) -> None:
        try:
            self.pattern, self.type = check_pattern(pattern), kind
        except InvalidSubjectError as exc:
            raise ConfigError(f"event {pattern[:80]!r}: {exc.reason}") from None
        domain = pattern.partition(".")[0]
        if domain in RESERVED or not is_literal(domain):
            raise ConfigError(f"event {pattern}: expected a domain of events in front, not {domain}")
        try:
            self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)
        except TypeError as exc:
            raise ConfigError(f"event {pattern}: {kind!r} is no type of a JSON document: {exc}") from exc
        self._has_head = _has_head(kind)

    def check(self, subject: str, payload: bytes) -> None:
        """Whether what was encoded of this type's own value is an event. Raises ``InvalidEventError``.

        Of a ``gbe.Event`` the type itself knows what every event must have, and none of it was left out.
        """
        if not self._has_head:
            self.decode(subject, payload)
            return
        try:
            check_document(payload)
            self._decoder.decode(payload)
        except FAULTS as exc:
            raise InvalidEventError(subject, *violation(str(exc))) from None

    def decode(self, subject: str, payload: bytes) -> Any:
        """The event. Raises ``InvalidEventError`` that names the field."""
        try:
            check_document(payload)
            _heads.decode(payload)
            return self._decoder.decode(payload)
        except FAULTS as exc:
            raise InvalidEventError(subject, *violation(str(exc))) from None


class EventRegistry:
    """All schemas that this program knows."""

    def __init__(self, schemas: Mapping[str, type[Any]] = BUILT_IN) -> None:
        self._schemas: dict[str, EventSchema] = {}
        self._found: dict[str, EventSchema] = {}
        self.domains: frozenset[str] = frozenset()
        """The first tokens of all patterns; another object whenever a schema was added."""
        for pattern, kind in schemas.items():
            self.register(pattern, kind)

    def register(self, pattern: str, kind: type[Any]) -> None:
        """Add a schema, or replace the one of the same pattern. Raises ``ConfigError``."""
        self._schemas[pattern] = EventSchema(pattern, kind)
        self._found.clear()
        self.domains = frozenset(pattern.partition(".")[0] for pattern in self._schemas)

    def __iter__(self) -> Iterator[EventSchema]:
        return iter(self._schemas.values())

    def schema_of(self, subject: str) -> EventSchema:
        """The schema of a subject without the namespace. Raises ``UnknownEventError``."""
        found = self._found.get(subject)
        if found is None:
            covering = [schema for schema in self._schemas.values() if matches(schema.pattern, subject)]
            if not covering:
                raise UnknownEventError(subject)
            found = max(covering, key=lambda schema: _exactness(schema.pattern))
            if len(self._found) < _MOST_CACHED:
                self._found[subject] = found
        return found

    def decode(self, subject: str, payload: bytes) -> Any:
        """The event of a subject without the namespace. Raises ``UnknownEventError``, ``InvalidEventError``."""
        return self.schema_of(subject).decode(subject, payload)


def _has_head(kind: type[Any]) -> bool:
    """Whether a type is a ``gbe.Event`` that has not given ``v``, ``ts`` or ``id`` another type."""
    if Event not in getattr(kind, "__mro__", ()):
        return False
    parts = kind.__mro__[: kind.__mro__.index(Event)]
    return not any(inspect.get_annotations(part).keys() & {"v", "ts", "id"} for part in parts)


def _exactness(pattern: str) -> tuple[int, ...]:
    """Larger for what says more: a token more than ``*``, ``*`` more than ``>``, further left first."""
    ranks = {">": 0, "*": 1}
    return tuple(ranks.get(token, 2) for token in pattern.split("."))
