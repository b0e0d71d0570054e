"""``events.audit.*``: who did what to what. Kept for a week, and in cold storage for a year."""

from typing import Any

from gbe.schemas.events.base import Details, Event, Name, Text


class AuditChange(Event, frozen=True, kw_only=True):
    """``events.audit.change``: something was changed.

    Attributes:
        actor: who: a user, a token's name, a program.
        action: a verb: ``update``, ``cancel``, ``pause``.
        target: what: kind and name, such as ``invoice/17``.
        before, after: its state, any JSON; ``None`` if it does not matter or did not exist.
        via: how: ``api``, ``cli``, ``ui``, ``code``.
        reason: why, in the actor's words.
    """

    actor: Name
    action: Name
    target: Name
    before: Any = None
    after: Any = None
    via: Name | None = None
    reason: Text | None = None


class AuditAccess(Event, frozen=True, kw_only=True):
    """``events.audit.access``: something was looked at that is worth a note."""

    actor: Name
    target: Name
    action: Name = "read"
    via: Name | None = None
    reason: Text | None = None


class AuditRecord(Event, frozen=True, kw_only=True):
    """Every other ``events.audit.*``."""

    actor: Name
    action: Name
    target: Name | None = None
    via: Name | None = None
    details: Details | None = None
