"""Whoever runs a command: what they change is an audit event."""

import getpass
from typing import Any, Final

from gbe.events.publisher import EventPublisher
from gbe.transport.base import Transport

_LONGEST: Final = 256


def operator_name() -> str:
    """``cli:`` and the name of the user, as far as the machine knows one."""
    try:
        return f"cli:{getpass.getuser()}"[:_LONGEST]
    except (OSError, KeyError):  # a user without a name
        return "cli"


class Operator:
    """Tells of what was changed on the command line. An engine that cannot take it is logged: the change is made."""

    def __init__(self, transport: Transport, namespace: str) -> None:
        self._events = EventPublisher(transport, namespace).lenient()
        self._name = operator_name()

    async def did(self, action: str, target: str, *, after: Any = None) -> None:
        """Something was changed; see ``AuditChange``."""
        await self._events.audit.change(actor=self._name, action=action, target=target, after=after, via="cli")
