"""Subjects and keys of schedules, and which names are accepted."""

from typing import Final

from gbe.errors import InvalidScheduleError
from gbe.subjects import is_token

MAX_NAME: Final = 64
FIRE_AT: Final = "fire_at"
"""The index of the state store in which schedules are that will be due."""


class ScheduleNames:
    """The names of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.prefix = f"{namespace}.state.schedules"
        self.lease = f"{namespace}.state.leases.scheduler"
        self.errors = f"{namespace}.events.system.error"

    def record(self, name: str) -> str:
        """The key of a schedule's record."""
        return f"{self.prefix}.{name}"

    def name_of(self, key: str) -> str | None:
        """The name in a record's key; ``None`` if it is no schedule's."""
        start = f"{self.prefix}."
        return key[len(start) :] if key.startswith(start) else None

    def pattern(self, event: str) -> str:
        """The subjects of an event trigger: its pattern in the namespace, which may be written too."""
        return event if event.startswith(f"{self.namespace}.") else f"{self.namespace}.{event}"

    def group(self, name: str) -> str:
        """The consumer group of an event trigger."""
        return f"schedule-{name}"


def check_name(name: str) -> str:
    """Return ``name`` if it can name a schedule; raise ``InvalidScheduleError`` otherwise."""
    if not is_token(name) or len(name) > MAX_NAME:
        raise InvalidScheduleError(name, "name", f"expected at most {MAX_NAME} letters, digits, _ and -")
    return name
