"""Filling a server's topics faster than HTTP could: through a transport of our own on its engine."""

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gbe.notify.hub import topic_subject
from gbe.notify.ids import mint_with_ulid
from gbe.schemas.notify import MESSAGE, SCHEMA_VERSION, Notification, encode
from gbe.transport.base import Transport
from gbe.transport.nats.config import NatsConfig
from gbe.transport.open import embedded_endpoint, open_nats

TEXT: Final = "m" * 128
_IN_FLIGHT: Final = 512
_DAY: Final = 86_400


async def open_transport(data_dir: Path) -> Transport:
    """A transport on the engine of a running server."""
    return await open_nats(NatsConfig(**embedded_endpoint(data_dir)))  # type: ignore[arg-type]


async def fill(transport: Transport, topics: Sequence[str], messages: int, now_ms: int) -> None:
    """Publish notifications as the server stores them, over the topics in turn."""
    subjects = itertools.cycle([topic_subject("gbe", topic) for topic in topics])
    left = messages

    async def work() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            message_id, ulid = mint_with_ulid(now_ms)
            notification = Notification(
                v=SCHEMA_VERSION,
                ts=now_ms,
                id=message_id,
                time=now_ms // 1000,
                event=MESSAGE,
                expires=now_ms // 1000 + _DAY,
                message=TEXT,
            )
            await transport.publish(next(subjects), encode(notification), id=ulid)

    async with asyncio.TaskGroup() as group:
        for _ in range(_IN_FLIGHT):
            group.create_task(work())
