"""A method for each event that gbe defines: ``events.audit.change(actor="ann", …)``. All return the message's id."""

from typing import Any, Protocol

from gbe.errors import InvalidSubjectError
from gbe.schemas.events.api import ApiError, ApiRequest
from gbe.schemas.events.audit import AuditAccess, AuditChange, AuditRecord
from gbe.schemas.events.auth import AuthFailure, AuthLogin, AuthLogout
from gbe.schemas.events.base import Details
from gbe.schemas.events.lifecycle import Lifecycle
from gbe.schemas.events.system import SystemDeploy, SystemFault, SystemHealth, SystemRecord
from gbe.subjects import is_token


class Publish(Protocol):
    """``EventPublisher.publish``."""

    async def __call__(self, subject: str, event: object) -> str: ...


class EventMethods:
    """``audit``, ``auth``, ``api``, ``system`` and ``lifecycle``, over whatever publishes."""

    def __init__(self, publish: Publish) -> None:
        self.audit, self.auth, self.api = Audit(publish), Auth(publish), Api(publish)
        self.system, self.lifecycle = System(publish), Lifecycles(publish)


class _Domain:
    def __init__(self, publish: Publish) -> None:
        self._publish = publish


def _token(name: str) -> str:
    if not is_token(name):
        raise InvalidSubjectError(name, "expected letters, digits, _ and -")
    return name


class Audit(_Domain):
    """``events.audit.*``."""

    async def change(
        self,
        *,
        actor: str,
        action: str,
        target: str,
        before: Any = None,
        after: Any = None,
        via: str | None = None,
        reason: str | None = None,
    ) -> str:
        """Something was changed; see ``AuditChange``."""
        event = AuditChange(
            actor=actor, action=action, target=target, before=before, after=after, via=via, reason=reason
        )
        return await self._publish("events.audit.change", event)

    async def access(
        self, *, actor: str, target: str, action: str = "read", via: str | None = None, reason: str | None = None
    ) -> str:
        """Something was looked at; see ``AuditAccess``."""
        event = AuditAccess(actor=actor, target=target, action=action, via=via, reason=reason)
        return await self._publish("events.audit.access", event)

    async def record(
        self,
        kind: str,
        *,
        actor: str,
        action: str,
        target: str | None = None,
        via: str | None = None,
        details: Details | None = None,
    ) -> str:
        """Any other kind, as ``events.audit.{kind}``; see ``AuditRecord``."""
        event = AuditRecord(actor=actor, action=action, target=target, via=via, details=details)
        return await self._publish(f"events.audit.{_token(kind)}", event)


class Auth(_Domain):
    """``events.auth.*``."""

    async def login(self, *, actor: str, method: str | None = None, client: str | None = None) -> str:
        """Somebody came in."""
        return await self._publish("events.auth.login", AuthLogin(actor=actor, method=method, client=client))

    async def logout(self, *, actor: str, client: str | None = None, reason: str | None = None) -> str:
        """Somebody left, or was sent away."""
        return await self._publish("events.auth.logout", AuthLogout(actor=actor, client=client, reason=reason))

    async def failure(
        self,
        *,
        reason: str,
        actor: str | None = None,
        method: str | None = None,
        client: str | None = None,
        target: str | None = None,
        count: int = 1,
    ) -> str:
        """Somebody was refused; see ``AuthFailure``."""
        event = AuthFailure(reason=reason, actor=actor, method=method, client=client, target=target, count=count)
        return await self._publish("events.auth.failure", event)


class Api(_Domain):
    """``events.api.*``."""

    async def request(self, *, method: str, path: str, status: int, **more: Any) -> str:
        """A request was answered; ``more`` as in ``ApiRequest``."""
        return await self._publish("events.api.request", ApiRequest(method=method, path=path, status=status, **more))

    async def error(self, *, method: str, path: str, error: str, **more: Any) -> str:
        """A request failed; ``more`` as in ``ApiError``."""
        return await self._publish("events.api.error", ApiError(method=method, path=path, error=error, **more))


class System(_Domain):
    """``events.system.*``."""

    async def health(
        self, *, component: str, status: str, message: str | None = None, details: Details | None = None
    ) -> str:
        """How a component is: ``ok``, ``degraded`` or ``down``."""
        event = SystemHealth(component=component, status=status, message=message, details=details)  # type: ignore[arg-type] # checked by the schema
        return await self._publish("events.system.health", event)

    async def deploy(self, *, service: str, version: str, **more: Any) -> str:
        """A version went somewhere; ``more`` as in ``SystemDeploy``."""
        return await self._publish("events.system.deploy", SystemDeploy(service=service, version=version, **more))

    async def error(self, *, source: str, error: str, details: Details | None = None) -> str:
        """Something that an operator should know of."""
        return await self._publish("events.system.error", SystemFault(source=source, error=error, details=details))

    async def record(
        self, kind: str, *, source: str, message: str | None = None, details: Details | None = None
    ) -> str:
        """Any other kind, as ``events.system.{kind}``."""
        event = SystemRecord(source=source, message=message, details=details)
        return await self._publish(f"events.system.{_token(kind)}", event)


class Lifecycles(_Domain):
    """``events.lifecycle.{component}.*``."""

    async def started(self, component: str, *, instance: str, **more: Any) -> str:
        """It runs; ``more`` as in ``Lifecycle``."""
        return await self._say(component, "started", Lifecycle(instance=instance, **more))

    async def stopped(self, component: str, *, instance: str, **more: Any) -> str:
        """It ends."""
        return await self._say(component, "stopped", Lifecycle(instance=instance, **more))

    async def heartbeat(self, component: str, *, instance: str, **more: Any) -> str:
        """It lives."""
        return await self._say(component, "heartbeat", Lifecycle(instance=instance, **more))

    async def degraded(self, component: str, *, instance: str, **more: Any) -> str:
        """It does not do what it should."""
        return await self._say(component, "degraded", Lifecycle(instance=instance, **more))

    async def _say(self, component: str, what: str, event: Lifecycle) -> str:
        return await self._publish(f"events.lifecycle.{_token(component)}.{what}", event)
