"""Reads batches out of a stream: in order, from a position on."""

from typing import Final

from gbe.transport.base import EARLIEST, AfterPosition, Position, StoredMessage, Transport, UpTo

PAGE: Final = 500
_FIRST_PAGE: Final = 64


async def read_batch(
    transport: Transport,
    subject: str,
    behind: Position | None,
    *,
    most: int,
    most_bytes: int,
    last: Position | None = None,
) -> tuple[list[StoredMessage], bool]:
    """Up to ``most`` messages behind a position, and whether the stream may have more.

    Ends early once there is payload enough for a batch of ``most_bytes``, but not before ``last`` if that is given.
    """
    found: list[StoredMessage] = []
    size, page = 0, min(_FIRST_PAGE, most)
    stop = None if last is None else UpTo(last)
    while len(found) < most:
        start = EARLIEST if behind is None else AfterPosition(behind)
        wanted = min(page, most - len(found))
        messages = await transport.read(subject, start=start, stop=stop, limit=wanted)
        found += messages
        size += sum(len(message.envelope.payload) for message in messages)
        if len(messages) < wanted or not messages:
            return found, False
        behind = messages[-1].position
        if size > most_bytes and last is None:
            break
        page = max(1, min(PAGE, (most_bytes - size) * len(found) // max(size, 1)))  # pages follow the payloads' size
    return found, True
