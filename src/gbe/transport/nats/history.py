"""Reading what is stored, by direct get (ADR-31): the engine's per-subject index makes it independent of how much
other subjects have stored."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from nats.aio.msg import Msg

from gbe.envelope import Envelope
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
from gbe.transport.nats.errors import NO_MESSAGE_FOUND, ApiError, translated
from gbe.transport.nats.streams import StreamRegistry

PAGE: Final = 1000  # messages in one request; the engine takes no more
PAGE_BYTES: Final = 8 * 1024 * 1024
# An id's own time is its maker's clock, just before the publish. The first window holds nearly every id; the second
# allows for clocks that disagree and for publishes that waited for an engine.
_WINDOWS_MS: Final = ((100, 15_000), (30_000, 60_000))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_000  # the end of the year 9999
_LAGGING_REPLICA: Final = 0.02  # pause before a replica that lags is asked again
_LEADER_PATIENCE: Final = 2.0  # how long a reader waits for a leader before it takes a replica's word


class _Place(msgspec.Struct):
    seq: int


class _Gotten(msgspec.Struct):
    message: _Place


@dataclass(frozen=True, slots=True)
class Anchor:
    """A stored message to start behind: its stream, its place there, and its time (unix ms) for other streams."""

    stream: str
    sequence: int
    stored_ms: int

    def start_in(self, stream: str) -> AfterPosition | FromTime:
        """Where to start in a stream: sequences of different streams do not compare."""
        return AfterPosition(Position(self.sequence)) if stream == self.stream else FromTime(self.stored_ms)


class History:
    """The stored messages of a subject."""

    def __init__(self, connection: NatsConnection, streams: StreamRegistry) -> None:
        self._connection = connection
        self._streams = streams

    async def read(self, subject: str, start: Start, stop: Stop | None, limit: int) -> list[StoredMessage]:
        """See ``Transport.read``."""
        stream = await self._streams.of_subject(subject)
        if start is Edge.LATEST:
            page = _before(await self._newest(stream, subject), stop)
            return [wire.stored_message(msg.data, msg.headers or {}) for msg in page][:limit]
        begin: dict[str, Any] | None = await self._begin(subject, start)
        found: list[StoredMessage] = []
        while begin is not None and len(found) < limit:
            page, begin = await self._page(stream, subject, begin, min(PAGE, limit - len(found)))
            inside = _before(page, stop)
            found.extend(wire.stored_message(msg.data, msg.headers or {}) for msg in inside)
            if len(inside) < len(page):
                break
        return found

    async def _newest(self, stream: str, subject: str) -> list[Msg]:
        deadline = time.monotonic() + self._connection.config.request_timeout
        while self._connection.is_clustered:
            newest = await self._ask_leader(stream, {"last_by_subj": subject}, must=False)
            if not newest:
                break
            page = await self._fetch(stream, {"seq": newest, "next_by_subj": subject})
            if page:
                return page
            if time.monotonic() > deadline:
                raise _lagging(stream)
            await asyncio.sleep(_LAGGING_REPLICA)
        return await self._fetch(stream, {"last_by_subj": subject})

    async def _page(
        self, stream: str, pattern: str, begin: dict[str, Any], size: int = PAGE, *, must: bool = False
    ) -> tuple[list[Msg], dict[str, Any] | None]:
        """One page of a pattern, and where to go on, or ``None`` if there is no more.

        Any replica of a cluster answers, and it may lag. So where one sees the end, the leader is asked too: whatever
        was confirmed before this call is found. While a stream has no leader, ``must`` waits for the next one, else
        the replica's word is taken.
        """
        deadline = time.monotonic() + self._connection.config.request_timeout
        while True:
            body = {**begin, "next_by_subj": pattern, "batch": size, "max_bytes": PAGE_BYTES}
            page = await self._fetch(stream, body)
            if page:
                begin = {"seq": int((page[-1].headers or {})[wire.SEQUENCE]) + 1}
                if not _is_last(page):
                    return page, begin
            if not self._connection.is_clustered:
                return page, None
            if not await self._ask_leader(stream, {**begin, "next_by_subj": pattern}, must=must):
                return page, None
            if page:
                return page, begin
            if time.monotonic() > deadline:
                raise _lagging(stream)
            await asyncio.sleep(_LAGGING_REPLICA)

    async def _ask_leader(self, stream: str, body: dict[str, Any], *, must: bool) -> int:
        """The sequence of the message that a get finds on the stream's leader, 0 if there is none."""
        patience = self._connection.config.request_timeout if must else _LEADER_PATIENCE
        try:
            with translated(f"read from stream {stream}"):
                async with asyncio.timeout(patience):
                    data = await self._connection.api(f"STREAM.MSG.GET.{stream}", {**body, "no_hdr": True})
        except TransportUnavailableError as exc:
            if isinstance(exc.__cause__, ApiError) and exc.__cause__.err_code == NO_MESSAGE_FOUND:
                return 0
            if must:
                raise
            return 0
        return msgspec.json.decode(data, type=_Gotten).message.seq

    async def page(self, subject: str, after: int) -> tuple[list[StoredMessage], bool]:
        """One page (``PAGE`` messages, ``PAGE_BYTES``) behind a sequence, and whether the subject has more."""
        stream = await self._streams.of_subject(subject)
        found, go_on = await self._page(stream, subject, {"seq": after + 1}, must=True)
        return [wire.stored_message(msg.data, msg.headers or {}) for msg in found], go_on is not None

    async def page_of(
        self, stream: str, pattern: str, begin: dict[str, Any], size: int
    ) -> tuple[list[Msg], dict[str, Any] | None]:
        """One page of a pattern in a stream, and where to go on, or ``None`` if there is no more."""
        return await self._page(stream, pattern, begin, size)

    async def waiting(self, stream: str, subject: str, limit: int) -> list[Envelope]:
        """See ``Transport.waiting``: the longest waiting first."""
        found: list[Envelope] = []
        begin: dict[str, Any] | None = {"seq": 1}
        size = 0
        while begin is not None and len(found) < limit and size < 2 * PAGE_BYTES:
            page, begin = await self._page(stream, wire.scheduled(subject, "*"), begin, min(PAGE, limit - len(found)))
            for msg in page:
                headers = msg.headers or {}
                if wire.SCHEDULE not in headers:  # a marker of somebody who withdraws
                    continue
                place = int(headers[wire.SEQUENCE])
                size += len(msg.data)
                found.append(wire.envelope_of(subject, msg.data, headers, place, wire.stored_ms(headers)))
        return found

    async def locate(self, subject: str, message_id: str) -> Position | None:
        """See ``Transport.locate``."""
        found = await self._find(await self._streams.of_subject(subject), subject, message_id)
        return None if found is None else Position(int((found.headers or {})[wire.SEQUENCE]))

    async def anchor(self, patterns: Sequence[str], message_id: str) -> Anchor:
        """Where the message with this id lies among everything that the patterns cover.

        Raises:
            MessageNotFoundError: nowhere there.
            StreamNotFoundError, TransportUnavailableError: as everywhere.
        """
        for pattern in patterns:
            for stream in await self._streams.required(pattern):
                found = await self._find(stream, pattern, message_id)
                if found is not None:
                    headers = found.headers or {}
                    return Anchor(stream, int(headers[wire.SEQUENCE]), wire.stored_ms(headers))
        raise MessageNotFoundError(message_id)

    async def _find(self, stream: str, pattern: str, message_id: str) -> Msg | None:
        """The message with this id among those of a pattern within one stream."""
        try:
            minted = ulid_time_ms(message_id)
        except ValueError:
            return None
        for early, late in _WINDOWS_MS:
            begin: dict[str, Any] | None = {"start_time": rfc3339(minted - early)}
            while begin is not None:
                page, begin = await self._page(stream, pattern, begin)
                for msg in page:
                    if (msg.headers or {}).get(wire.ID) == message_id:
                        return msg
                if page and wire.stored_ms(page[-1].headers or {}) > minted + late:
                    break
        return None

    async def at(self, stream: str, sequence: int) -> StoredMessage | None:
        """The message at one place of a stream, or ``None`` if it is gone."""
        page = await self._fetch(stream, {"seq": sequence})
        return wire.stored_message(page[0].data, page[0].headers or {}) if page else None

    async def stored_at(self, stream: str, pattern: str, sequence: int) -> int | None:
        """When the first message of a pattern at or behind ``sequence`` was stored, unix milliseconds."""
        page = await self._fetch(stream, {"seq": sequence, "next_by_subj": pattern})
        return wire.stored_ms(page[0].headers or {}) if page else None

    async def first_sequence(self, stream: str, subject: str) -> int | None:
        """The sequence of a subject's oldest message, ``None`` if it has none."""
        body = {"seq": 1, "next_by_subj": subject}
        if self._connection.is_clustered:
            return await self._ask_leader(stream, body, must=True) or None
        page = await self._fetch(stream, body)
        return int((page[0].headers or {})[wire.SEQUENCE]) if page else None

    async def first_sequence_since(self, subject: str, ms: int) -> int | None:
        """The sequence of the first message of a subject stored at or after a moment."""
        stream = await self._streams.of_subject(subject)
        body = {"start_time": rfc3339(ms), "next_by_subj": subject}
        if self._connection.is_clustered:
            return await self._ask_leader(stream, body, must=True) or None
        page = await self._fetch(stream, body)
        return int((page[0].headers or {})[wire.SEQUENCE]) if page else None

    async def last_sequence(self, subject: str) -> int:
        """The sequence of a subject's newest message, 0 if it has none."""
        stream = await self._streams.of_subject(subject)
        if self._connection.is_clustered:
            return await self._ask_leader(stream, {"last_by_subj": subject}, must=True)
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


def _lagging(stream: str) -> TransportUnavailableError:
    return TransportUnavailableError(f"read from stream {stream}: its replicas lag behind")


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
    # in integers: a float of seconds is off by a millisecond now and then
    moment = _EPOCH + timedelta(milliseconds=min(max(ms, 0), _LAST_MS))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def deliver_policy(start: Start) -> dict[str, object]:
    """Where a consumer begins, as its configuration says it; by an id it cannot."""
    match start:
        case Edge.EARLIEST:
            return {"deliver_policy": "all"}
        case FromTime(ms):
            return {"deliver_policy": "by_start_time", "opt_start_time": rfc3339(ms)}
        case AfterPosition(position):
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": position.major + 1}
        case _:
            return {"deliver_policy": "new"}
