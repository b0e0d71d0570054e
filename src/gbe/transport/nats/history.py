"""Reading what is stored, by direct get (ADR-31): the engine's per-subject index makes it independent of how much
other subjects have stored."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, Final

from nats.aio.msg import Msg

from gbe.errors import MessageNotFoundError, TransportUnavailableError
from gbe.ids import ulid_time_ms
from gbe.transport.base import (
    AfterId,
    AfterPosition,
    BeforeTime,
    Edge,
    FromTime,
    Position,
    Start,
    Stop,
    StoredMessage,
    UpTo,
)
from gbe.transport.nats import wire
from gbe.transport.nats.connection import NatsConnection, status_of
from gbe.transport.nats.errors import translated
from gbe.transport.nats.streams import StreamRegistry

PAGE: Final = 1000  # messages in one request; the engine takes no more
PAGE_BYTES: Final = 8 * 1024 * 1024
# An id's own time is its maker's clock, just before the publish. The first window holds nearly every id; the second
# allows for clocks that disagree and for publishes that waited for an engine.
_WINDOWS_MS: Final = ((100, 15_000), (30_000, 60_000))
_LAGGING_REPLICA: Final = (0.01, 0.05, 0.25, 1.0)


class History:
    """The stored messages of a subject."""

    def __init__(self, connection: NatsConnection, streams: StreamRegistry) -> None:
        self._connection = connection
        self._streams = streams

    async def read(self, subject: str, start: Start, stop: Stop | None, limit: int) -> list[StoredMessage]:
        """See ``Transport.read``."""
        stream = await self._streams.of_subject(subject)
        if start is Edge.LATEST:
            page = _before(await self._fetch(stream, {"last_by_subj": subject}), stop)
            return [wire.stored_message(msg.data, msg.headers or {}) for msg in page][:limit]
        begin = await self._begin(subject, start)
        found: list[StoredMessage] = []
        while len(found) < limit:
            size = min(PAGE, limit - len(found))
            page = await self._fetch(stream, {**begin, "next_by_subj": subject, "batch": size, "max_bytes": PAGE_BYTES})
            inside = _before(page, stop)
            found.extend(wire.stored_message(msg.data, msg.headers or {}) for msg in inside)
            if not page or len(inside) < len(page) or _is_last(page):
                break
            begin = {"seq": int((page[-1].headers or {})[wire.SEQUENCE]) + 1}
        return found

    async def between(self, subject: str, after: int, up_to: int) -> list[StoredMessage]:
        """Up to a page of the messages behind sequence ``after`` up to ``up_to``, where something is known to be.

        A replica that answers may lag behind the one that told us, so an empty answer is asked again for a while.
        """
        for pause in (*_LAGGING_REPLICA, None):
            page = await self.read(subject, AfterPosition(Position(after)), UpTo(Position(up_to)), PAGE)
            if page or pause is None:
                return page
            await asyncio.sleep(pause)
        return []

    async def locate(self, subject: str, message_id: str) -> Position | None:
        """See ``Transport.locate``."""
        return await self.locate_in(await self._streams.of_subject(subject), subject, message_id)

    async def locate_in(self, stream: str, pattern: str, message_id: str) -> Position | None:
        """``locate`` over all subjects of a pattern within one stream."""
        try:
            minted = ulid_time_ms(message_id)
        except ValueError:
            return None
        for early, late in _WINDOWS_MS:
            begin: dict[str, Any] = {"start_time": rfc3339(minted - early)}
            while True:
                page = await self._fetch(
                    stream, {**begin, "next_by_subj": pattern, "batch": PAGE, "max_bytes": PAGE_BYTES}
                )
                for msg in page:
                    if (msg.headers or {}).get(wire.ID) == message_id:
                        return Position(int((msg.headers or {})[wire.SEQUENCE]))
                if not page or _is_last(page) or wire.stored_ms(page[-1].headers or {}) > minted + late:
                    break
                begin = {"seq": int((page[-1].headers or {})[wire.SEQUENCE]) + 1}
        return None

    async def at(self, stream: str, sequence: int) -> StoredMessage | None:
        """The message at one place of a stream, or ``None`` if it is gone."""
        page = await self._fetch(stream, {"seq": sequence})
        return wire.stored_message(page[0].data, page[0].headers or {}) if page else None

    async def stored_at(self, stream: str, pattern: str, sequence: int) -> int | None:
        """When the first message of a pattern at or behind ``sequence`` was stored, unix milliseconds."""
        page = await self._fetch(stream, {"seq": sequence, "next_by_subj": pattern})
        return wire.stored_ms(page[0].headers or {}) if page else None

    async def first_sequence_since(self, subject: str, ms: int) -> int | None:
        """The sequence of the first message of a subject stored at or after a moment."""
        stream = await self._streams.of_subject(subject)
        page = await self._fetch(stream, {"start_time": rfc3339(ms), "next_by_subj": subject})
        return int((page[0].headers or {})[wire.SEQUENCE]) if page else None

    async def last_sequence(self, subject: str) -> int:
        """The sequence of a subject's newest message, 0 if it has none."""
        stream = await self._streams.of_subject(subject)
        page = await self._fetch(stream, {"last_by_subj": subject})
        return int((page[0].headers or {})[wire.SEQUENCE]) if page else 0

    async def _begin(self, subject: str, start: Start) -> dict[str, Any]:
        match start:
            case FromTime(ms):
                return {"start_time": rfc3339(ms)}
            case AfterPosition(position):
                return {"seq": position.major + 1}
            case AfterId(message_id):
                located = await self.locate(subject, message_id)
                if located is None:
                    raise MessageNotFoundError(message_id)
                return {"seq": located.major + 1}
            case _:
                return {"seq": 1}

    async def _fetch(self, stream: str, body: dict[str, Any]) -> list[Msg]:
        """One direct get; the messages it found, in stream order."""
        payload = json.dumps(body).encode()
        subject = f"$JS.API.DIRECT.GET.{stream}"
        # a batch ends with a status of its own, a single get is one message or one status
        until = (lambda msg: bool(status_of(msg))) if "batch" in body else (lambda _: True)
        with translated(f"read from stream {stream}"):
            replies = await self._connection.retrying(
                lambda timeout: self._connection.request_many(subject, payload, until=until, timeout=timeout)
            )
        status = status_of(replies[-1])
        if status in {"204", "404"}:
            return replies[:-1]
        if status:
            description = (replies[-1].headers or {}).get("Description", "")
            raise TransportUnavailableError(f"read from stream {stream}: {status} {description}")
        return replies


def _before(page: list[Msg], stop: Stop | None) -> list[Msg]:
    match stop:
        case UpTo(position):
            return [msg for msg in page if int((msg.headers or {})[wire.SEQUENCE]) <= position.major]
        case BeforeTime(ms):
            return [msg for msg in page if wire.stored_ms(msg.headers or {}) < ms]
        case _:
            return page


def _is_last(page: list[Msg]) -> bool:
    return (page[-1].headers or {}).get("Nats-Num-Pending") == "0"


def rfc3339(ms: int) -> str:
    """A moment, unix milliseconds, as the JetStream API takes it."""
    moment = datetime.fromtimestamp(min(max(ms, 0), 253_402_300_799_000) / 1000, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
