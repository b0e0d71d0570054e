"""Delayed messages: they wait beside their subject's stream, and whichever process comes by when they are due moves
them, in one script, by the server's clock: never early, never twice."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Final

from gbe.envelope import Envelope
from gbe.errors import PublishOutcomeUnknownError
from gbe.redis.client import RedisClient
from gbe.redis.errors import RedisClosedError, RedisFailedError
from gbe.redis.protocol import Argument, ReplyError
from gbe.transport.redis import keys
from gbe.transport.redis.activity import Activity
from gbe.transport.redis.limits import Limits, Stored
from gbe.transport.redis.scripts import (
    DELAY,
    DELAYS_DUE,
    DELIVER_DUE,
    PLAN_DELAY,
    REPLAN_DELAY,
    SHOW_DELAYED,
    WITHDRAW,
)
from gbe.transport.redis.streams import Stream, StreamRegistry

logger = logging.getLogger(__name__)

_BUCKETS: Final = 4
_LOOK_EVERY: Final = 0.5
_LOOK_AHEAD_MS: Final = 1_000
_MOST_SUBJECTS: Final = 200
_MOST_MESSAGES: Final = 100  # moved in one script
_MOST_BYTES: Final = 16 * 1024 * 1024  # shown by one script


class Delays:
    """Stores delayed messages, and delivers those of everybody."""

    def __init__(self, client: RedisClient, streams: StreamRegistry, activity: Activity, limits: Limits) -> None:
        self._client, self._streams, self._activity, self._limits = client, streams, activity, limits
        self._planned: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Start to deliver."""
        self._spawn(self._look_forever())

    async def close(self) -> None:
        """Stop; others go on."""
        for timer in self._planned.values():
            timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def add(
        self, stream: Stream, envelope: Envelope, due: int, idempotency_key: str | None, timeout: float
    ) -> str:
        """Store a message that is due later (unix ms); its id, or that of its first copy.

        Raises as the client does, and ``PublishOutcomeUnknownError``.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        names = keys.keys_of(envelope.subject)
        records = names.dedup_records(envelope.id, idempotency_key)
        kept = max(stream.window_ms, due - self._client.now_ms() + stream.window_ms)
        replicas, is_stored = self._client.config.wait_replicas, False
        arguments: list[Argument] = [
            envelope.id,
            due,
            envelope.timestamp,
            envelope.traceparent or "",
            envelope.payload,
            kept,
        ]
        call = self._client.begin(DELAY, [names.delayed, names.later, *records], arguments, names.slot, replicas)
        try:
            first: bytes = await call.result(deadline)
            is_stored = True
            # also for a repetition: the first attempt may have ended between the two
            plan = self._index(envelope.subject)
            left = deadline - loop.time()
            await self._client.run(PLAN_DELAY, plan, [envelope.subject, due], timeout=left, replicas=replicas)
        except (RedisFailedError, ReplyError) as exc:
            if (is_stored or call.maybe_done) and not isinstance(exc, RedisClosedError):
                raise PublishOutcomeUnknownError(envelope.subject, envelope.id) from exc
            raise
        if due - self._client.now_ms() <= _LOOK_AHEAD_MS:
            self._plan(envelope.subject, due)
        return first.decode() or envelope.id

    async def waiting(self, subject: str, limit: int) -> list[Envelope]:
        """See ``Transport.waiting``: the soonest first."""
        names = keys.keys_of(subject)
        flat = await self._client.run(SHOW_DELAYED, [names.delayed, names.later], [limit, _MOST_BYTES])
        return [
            Envelope(id.decode(), subject, int(timestamp), payload, trace.decode() or None)
            for id, timestamp, trace, payload in zip(*(flat[part::4] for part in range(4)), strict=True)
        ]

    async def withdraw(self, subject: str, message_id: str) -> bool:
        """See ``Transport.withdraw``."""
        names = keys.keys_of(subject)
        taken: int = await self._client.run(WITHDRAW, [names.delayed, names.later], [message_id])
        return taken > 0

    def _index(self, subject: str) -> tuple[bytes, bytes]:
        bucket = keys.keys_of(subject).bucket % _BUCKETS
        return keys.delays_index(bucket), keys.delays_versions(bucket)

    def _plan(self, subject: str, due: float) -> None:
        """Deliver what a subject has at a moment of the server's clock."""
        pause = max(0.0, (due - self._client.now_ms()) / 1000) + 0.002
        timer = self._planned.get(subject)
        loop = asyncio.get_running_loop()
        if timer is not None:
            if timer.when() <= loop.time() + pause:
                return
            timer.cancel()
        self._planned[subject] = loop.call_later(pause, self._fire, subject)

    def _fire(self, subject: str) -> None:
        self._planned.pop(subject, None)
        self._spawn(self._deliver(subject))

    async def _look_forever(self) -> None:
        while True:
            try:
                await asyncio.gather(*(self._look(bucket) for bucket in range(_BUCKETS)))
            except Exception as exc:  # noqa: BLE001  what is due stays due
                logger.debug("delayed messages not looked for: %s", exc)
            await asyncio.sleep(_LOOK_EVERY)

    async def _look(self, bucket: int) -> None:
        _, flat = await self._client.run(DELAYS_DUE, [keys.delays_index(bucket)], [_LOOK_AHEAD_MS, _MOST_SUBJECTS])
        for subject, due in zip(flat[::2], flat[1::2], strict=True):
            self._plan(subject.decode(), float(due))

    async def _deliver(self, subject: str) -> None:
        """Move what is due, mark the subject, and put its next time into the index."""
        try:
            names, index = keys.keys_of(subject), self._index(subject)
            stream = await self._streams.of_subject(subject)
            while True:
                version = await self._client.call("HGET", index[1], subject)
                marking = self._activity.mark(stream, subject)
                flat, following, moved = await self._client.run(
                    DELIVER_DUE,
                    [names.stream, names.delayed, names.later],
                    [_MOST_MESSAGES, stream.expire_ms, names.mark],
                )
                if flat:
                    patience = asyncio.get_running_loop().time() + self._client.config.request_timeout
                    await self._activity.ensure_marked(stream, subject, marking, patience)
                if flat and stream.is_limited:
                    stored = [
                        Stored(subject, entry_id.decode(), int(size))
                        for entry_id, size in zip(flat[::2], flat[1::2], strict=True)
                    ]
                    await self._limits.account(stream, stored)
                if moved < _MOST_MESSAGES:
                    break
            if version is not None:
                await self._client.run(REPLAN_DELAY, index, [subject, version, following])
            if following:
                due = float(following)
                if due - self._client.now_ms() <= _LOOK_AHEAD_MS:
                    self._plan(subject, due)
        except Exception as exc:  # noqa: BLE001  the next look finds it again
            logger.warning("delayed messages of %s not delivered yet: %s", subject, exc)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
