"""``events.system.*``: health, deployments, and what operators should know; reports of gbe's own are in
``gbe.schemas.system``."""

from typing import Literal

from gbe.schemas.events.base import Details, Event, Name, Text


class SystemHealth(Event, frozen=True, kw_only=True):
    """``events.system.health``: how a component is."""

    component: Name
    status: Literal["ok", "degraded", "down"]
    message: Text | None = None
    details: Details | None = None


class SystemDeploy(Event, frozen=True, kw_only=True):
    """``events.system.deploy``: a version went somewhere."""

    service: Name
    version: Name
    environment: Name | None = None
    actor: Name | None = None
    status: Literal["started", "succeeded", "failed", "rolled_back"] = "succeeded"
    details: Details | None = None


class SystemFault(Event, frozen=True, kw_only=True):
    """``events.system.error``: something that an operator should know of.

    Attributes:
        source: who noticed: ``sweeper``, ``archiver``, a service.
        error: what is wrong, in words.
        task_type, task_id: the task that it is about, if it is.
    """

    source: Name
    error: Text
    task_type: Name | None = None
    task_id: Name | None = None
    details: Details | None = None


class SystemRecord(Event, frozen=True, kw_only=True):
    """Every other ``events.system.*``; each source has fields of its own beside these."""

    source: Name | None = None
    message: Text | None = None
    details: Details | None = None
