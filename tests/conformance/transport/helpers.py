"""What the tests of this folder share: options, workers, and questions that are asked again and again."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from tests.waiting import eventually

from gbe.schemas import deadletter
from gbe.schemas.deadletter import DeadLetter
from gbe.transport.base import EARLIEST, ConsumeOptions, Handler, StoredMessage, Transport

BEGIN = ConsumeOptions(start=EARLIEST)


@asynccontextmanager
async def working(
    transport: Transport,
    pattern: str,
    group: str,
    handler: Handler,
    options: ConsumeOptions = BEGIN,
    *,
    concurrency: int = 1,
) -> AsyncIterator[None]:
    """A member of the group that handles messages until the block ends."""
    async with transport.consume(pattern, group, options) as deliveries:
        task = asyncio.create_task(deliveries.run(handler, concurrency=concurrency))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def settled(transport: Transport, pattern: str, group: str) -> None:
    """Wait until the group is done with everything."""

    async def is_done() -> bool:
        lag = await transport.lag(pattern, group)
        return (lag.pending, lag.unacknowledged, lag.oldest_age) == (0, 0, None)

    await eventually(is_done, "nothing pending and nothing unacknowledged", interval=0.03)


async def letters(transport: Transport, subject: str, count: int) -> list[DeadLetter]:
    """Wait for as many dead letters and read them."""

    async def enough() -> list[StoredMessage]:
        found = await transport.read(subject)
        return found if len(found) >= count else []

    found = await eventually(enough, f"{count} dead letters")
    assert len(found) == count
    return [deadletter.decode(message.envelope.payload) for message in found]


def payloads(messages: Iterable[StoredMessage]) -> list[bytes]:
    """What messages carry, in order."""
    return [message.envelope.payload for message in messages]


async def publish_all(transport: Transport, subject: str, count: int, *, first: int = 0) -> list[str]:
    """Publish ``count`` numbered messages one after the other; their ids."""
    return [await transport.publish(subject, b"%d" % number) for number in range(first, first + count)]
