"""``events.auth.{login|logout|failure}``."""

from gbe.schemas.events.base import Event, Name, Text
from gbe.schemas.fields import Count


class AuthLogin(Event, frozen=True, kw_only=True):
    """``events.auth.login``: somebody came in.

    Attributes:
        actor: who.
        method: how: ``password``, ``token``, ``oidc``.
        client: from where: an address.
    """

    actor: Name
    method: Name | None = None
    client: Name | None = None


class AuthLogout(Event, frozen=True, kw_only=True):
    """``events.auth.logout``: somebody left, or was sent away."""

    actor: Name
    client: Name | None = None
    reason: Text | None = None


class AuthFailure(Event, frozen=True, kw_only=True):
    """``events.auth.failure``: somebody was refused. What was tried as a secret is not in it.

    Attributes:
        reason: why: ``wrong token``.
        target: what was asked for: a path.
        count: refusals that this event stands for; a flood of them is told together.
    """

    reason: Text
    actor: Name | None = None
    method: Name | None = None
    client: Name | None = None
    target: Text | None = None
    count: Count = 1
