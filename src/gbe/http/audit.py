"""What operators do over HTTP is an audit event."""

from typing import Any

from starlette.requests import Request

from gbe.events.publisher import EventPublisher


class Auditor:
    """Tells of what was changed. An engine that cannot take it is logged: the change is made."""

    def __init__(self, events: EventPublisher) -> None:
        self._events = events.lenient()

    async def did(self, request: Request, action: str, target: str, *, after: Any = None) -> None:
        """Something was changed by a request; see ``AuditChange``."""
        actor = "token" if "authorization" in request.headers else "local"
        await self._events.audit.change(actor=actor, action=action, target=target[:256], after=after, via="api")
