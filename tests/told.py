"""What messages that are still stored have told; for tests and for the long runs of ``chaos``."""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

from gbe.schemas.tasks import decode_outcome
from gbe.transport.base import EARLIEST, AfterPosition, Start, StoredMessage, Transport

T = TypeVar("T")


async def stored(transport: Transport, subject: str) -> AsyncIterator[StoredMessage]:
    """Every message of a subject that is still there."""
    start: Start = EARLIEST
    while page := await transport.read(subject, start=start):
        for message in page:
            yield message
        position = page[-1].position
        if position is None:
            return
        start = AfterPosition(position)


async def ends_told(transport: Transport, subjects: Iterable[str], read: Callable[[bytes], T]) -> set[T]:
    """What messages say; one that is published again says the same, and counts once."""
    return {read(message.envelope.payload) for subject in subjects async for message in stored(transport, subject)}


def end_of_task(payload: bytes) -> tuple[str, str]:
    """The task that an outcome is about, and the outcome's id."""
    outcome = decode_outcome(payload)
    return outcome.task_id, outcome.id
