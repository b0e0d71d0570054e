"""Tells the deployment that a program has started, and that it stops: ``events.lifecycle.{component}.*``."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import gbe
from gbe.events.publisher import EventPublisher
from gbe.ids import process_name
from gbe.schemas.events.lifecycle import Lifecycle
from gbe.transport.base import Transport

_PATIENCE: Final = 2.0
"""Seconds: an engine that is away delays neither the start nor the end."""
_LONGEST: Final = 1000


@asynccontextmanager
async def announced(
    transport: Transport, namespace: str, component: str, details: Mapping[str, object] | None = None
) -> AsyncIterator[None]:
    """Publish ``started``, and ``stopped`` when the block ends, with the error if one ended it.

    Nothing depends on these events: what cannot be published is logged.

    Args:
        transport: open until the block has ended.
        component: a token: ``serve``, ``worker``, ``sweeper``.
        details: what it does, for people.
    """
    events = EventPublisher(transport, namespace).lenient()
    began = time.monotonic()
    instance = process_name()

    async def say(what: str, message: str | None = None, uptime_ms: int | None = None) -> None:
        event = Lifecycle(
            instance=instance,
            version=gbe.__version__,
            message=message,
            uptime_ms=uptime_ms,
            details=dict(details) if details else None,
        )
        await events.publish(f"events.lifecycle.{component}.{what}", event, timeout=_PATIENCE)

    await say("started")
    message: str | None = None
    try:
        yield
    except Exception as exc:
        message = f"{type(exc).__name__}: {exc}"[:_LONGEST]
        raise
    finally:
        await say("stopped", message, round((time.monotonic() - began) * 1000))
