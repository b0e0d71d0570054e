"""Publishing: what is published to one subject while a batch of it is on its way makes the next batch.

A batch is one script: it stores all its messages or none, and remembers their ids, so that a batch whose answer was
lost is sent again and stored once. A subject has one batch on its way at a time, which keeps the order. The batches of
different subjects share their writes and round trips (``gbe.redis.link``).
"""

import asyncio
import logging
from collections import deque
from typing import Final

from gbe.envelope import Envelope
from gbe.errors import (
    PublishOutcomeUnknownError,
    TransportClosedError,
    TransportError,
    TransportUnavailableError,
)
from gbe.redis.call import Call
from gbe.redis.client import RedisClient
from gbe.redis.protocol import Argument
from gbe.transport.redis import keys
from gbe.transport.redis.activity import Activity, Marking
from gbe.transport.redis.errors import translated
from gbe.transport.redis.limits import Limits, Stored
from gbe.transport.redis.scripts import PUBLISH
from gbe.transport.redis.streams import Stream

logger = logging.getLogger(__name__)

MAX_BATCH_MESSAGES: Final = 100
"""Several batches out of what is published at once: the server stores one while the next is made ready."""
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
_TICK: Final = 0.1  # how often deadlines are looked at
_ID_WINDOW: Final = 2.0  # publish timeouts for which an id is remembered at least: a repetition may come so late


class Publication:
    """One message on its way."""

    __slots__ = ("deadline", "envelope", "future", "records", "sent", "stream")

    def __init__(self, envelope: Envelope, stream: Stream, records: list[bytes], deadline: float) -> None:
        self.envelope, self.stream, self.records, self.deadline = envelope, stream, records, deadline
        self.sent = False
        self.future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def give_up(self) -> None:
        """The deadline has passed."""
        subject = self.envelope.subject
        if self.sent:
            self.fail(PublishOutcomeUnknownError(subject, self.envelope.id))
        else:
            self.fail(TransportUnavailableError(f"publish on {subject}: no connection to the engine"))

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def succeed(self, id: str) -> None:
        if not self.future.done():
            self.future.set_result(id)


class _Lane:
    """The messages to one subject."""

    __slots__ = ("task", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Publication] = deque()
        self.task: asyncio.Task[None] | None = None

    def take(self) -> list[Publication]:
        """The next batch: of one stream configuration, bounded in messages and bytes."""
        batch: list[Publication] = []
        size = 0
        while self.waiting and len(batch) < MAX_BATCH_MESSAGES:
            following = self.waiting[0]
            size += len(following.envelope.payload)
            if batch and (size > MAX_BATCH_BYTES or following.stream is not batch[0].stream):
                break
            self.waiting.popleft()
            if not following.future.done():
                batch.append(following)
        return batch


class Publisher:
    """Sends publications and resolves their futures; see the module's docstring."""

    def __init__(self, client: RedisClient, activity: Activity, limits: Limits) -> None:
        self._client, self._activity, self._limits = client, activity, limits
        self._config = client.config
        self._lanes: dict[str, _Lane] = {}
        self._open: set[Publication] = set()
        self._queued_bytes = 0
        self._space = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._clockwork = self._loop.create_task(self._watch_deadlines(), name="gbe.redis.publisher")
        self._closed = False

    async def publish(self, publication: Publication) -> str:
        """Store a message; its id, or that of the message that was published with the same key before."""
        if self._closed:
            raise TransportClosedError("the transport is closed")
        size = len(publication.envelope.payload)
        while self._queued_bytes > self._config.max_queued_bytes:
            await self._wait_for_space(publication)
        self._queued_bytes += size
        self._open.add(publication)
        subject = publication.envelope.subject
        lane = self._lanes.get(subject)
        if lane is None:
            lane = self._lanes[subject] = _Lane()
        lane.waiting.append(publication)
        if lane.task is None:
            lane.task = self._loop.create_task(self._run(subject, lane))
        try:
            return await publication.future
        finally:
            self._open.discard(publication)
            self._queued_bytes -= size
            if self._queued_bytes <= self._config.max_queued_bytes:
                self._space.set()

    async def close(self) -> None:
        """Wait for what is on its way, each message until its own deadline."""
        self._closed = True
        while self._open:
            await asyncio.wait([publication.future for publication in self._open])
            await asyncio.sleep(0)
        self._clockwork.cancel()
        await asyncio.gather(self._clockwork, *self._tasks(), return_exceptions=True)

    def _tasks(self) -> list["asyncio.Task[None]"]:
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        for task in tasks:
            task.cancel()
        return tasks

    async def _wait_for_space(self, publication: Publication) -> None:
        self._space.clear()
        try:
            async with asyncio.timeout_at(publication.deadline):
                await self._space.wait()
        except TimeoutError as exc:
            raise TransportUnavailableError(
                f"publish on {publication.envelope.subject}: too much waits for the engine already"
            ) from exc
        if self._closed:
            raise TransportClosedError("the transport is closed")

    async def _watch_deadlines(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            now = self._loop.time()
            for publication in [publication for publication in self._open if publication.deadline <= now]:
                publication.give_up()

    # -- one subject

    async def _run(self, subject: str, lane: _Lane) -> None:
        """Batch after batch, until nothing waits any more."""
        names = keys.keys_of(subject)
        try:
            batch = self._begin(names, lane)
            while batch is not None:
                results = await self._stored(names, batch)
                # the next one is off before anybody hears of this one: the server works while the callers go on
                following = self._begin(names, lane)
                if results is not None and not self._is_settled(subject, batch):
                    results = await self._settled(names, batch, results)
                if results is not None:
                    batch.succeed(results)
                batch = following
        finally:
            lane.task = None
            if lane.waiting and not self._closed:
                lane.task = self._loop.create_task(self._run(subject, lane))
            elif self._lanes.get(subject) is lane:
                del self._lanes[subject]

    def _begin(self, names: keys.SubjectKeys, lane: _Lane) -> "_Batch | None":
        """Send what waits, as far as it makes one batch."""
        publications = lane.take()
        if not publications:
            return None
        stream = publications[0].stream
        script_keys: list[bytes] = [names.stream]
        arguments: list[Argument] = [
            stream.window_ms,
            max(stream.window_ms, round(_ID_WINDOW * self._config.publish_timeout * 1000)),
            stream.expire_ms,
            stream.age_ms,
            int(stream.is_limited),
            names.mark,
        ]
        for publication in publications:
            envelope, records = publication.envelope, publication.records
            script_keys += records
            arguments += (
                len(records) - 1,
                envelope.id,
                envelope.timestamp,
                envelope.traceparent or "",
                envelope.payload,
            )
            publication.sent = True
        marking = self._activity.mark(stream, names.subject)
        call = self._client.begin(PUBLISH, script_keys, arguments, names.slot, self._config.wait_replicas)
        return _Batch(publications, stream, marking, call)

    async def _stored(self, names: keys.SubjectKeys, batch: "_Batch") -> list[bytes] | None:
        """What the script says to a batch, or ``None`` if it could not be stored: then its callers were told."""
        try:
            with translated(f"publish on {names.subject}"):
                # deadlines are looked at elsewhere, and cheaper, for each message
                found: list[bytes] = await batch.call.result(batch.deadline, timed=False)
                return found
        except TransportError as exc:
            batch.fail(exc)
            return None
        except asyncio.CancelledError:
            batch.fail(TransportClosedError("the transport is closed"))
            raise

    def _is_settled(self, subject: str, batch: "_Batch") -> bool:
        """Whether nothing has to be waited for any more: the usual case on a subject in use."""
        return batch.marking is None and not batch.stream.is_limited and self._activity.is_valid(subject)

    async def _settled(self, names: keys.SubjectKeys, batch: "_Batch", results: list[bytes]) -> list[bytes] | None:
        """The same once the subject is marked, and the stream's limits have had their say."""
        try:
            with translated(f"publish on {names.subject}"):
                await self._activity.ensure_marked(batch.stream, names.subject, batch.marking, batch.deadline)
                if batch.stream.is_limited:
                    await self._limits.account(batch.stream, batch.entries(results))
        except TransportError:
            for publication in batch.publications:
                publication.give_up()  # stored, but not so that everybody would find it
            return None
        return results


class _Batch:
    """Messages on their way together."""

    __slots__ = ("call", "deadline", "marking", "publications", "stream")

    def __init__(self, publications: list[Publication], stream: Stream, marking: Marking | None, call: Call) -> None:
        self.publications, self.stream, self.marking, self.call = publications, stream, marking, call
        self.deadline = max(publication.deadline for publication in publications)

    def entries(self, results: list[bytes]) -> list[Stored]:
        """What was stored just now, for the ledger."""
        return [
            Stored(publication.envelope.subject, result.decode(), len(publication.envelope.payload))
            for publication, result in zip(self.publications, results, strict=True)
            if result and result[:1] != b":"
        ]

    def succeed(self, results: list[bytes]) -> None:
        """Tell the callers, each with the id under which its message is stored."""
        for publication, result in zip(self.publications, results, strict=True):
            publication.succeed(result[1:].decode() if result[:1] == b":" else publication.envelope.id)

    def fail(self, error: TransportError) -> None:
        """Tell the callers that the batch could not be stored, or that nobody knows."""
        maybe_done = self.call.maybe_done and not isinstance(error, TransportClosedError)
        for publication in self.publications:
            publication.sent = maybe_done
            if maybe_done:
                publication.give_up()
            else:
                publication.fail(error)
