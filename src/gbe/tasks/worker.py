"""A worker: takes signals from queues, claims their tasks, runs them, and keeps their leases.

Per task it writes twice: the claim, which also starts it, and the end. Both are conditional on the attempt, so a
worker that was stopped for longer than its lease changes nothing when it wakes. A signal is acknowledged once the
outcome is published: if the worker dies between the end and that, it comes back, and whoever gets it publishes the
outcome. A task that outlives a renewal of its lease does without; its end sets a deadline for the sweeper instead.
Whatever it writes in one moment
shares round trips: the state store and the transport put them into one pipeline.

A worker outlives its engine. While that is away, running tasks go on, and their ends are written when it is back.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from gbe.errors import InvalidEnvelopeError, StateError, StateUnavailableError, TaskError, TransportError
from gbe.grace import wait_in_grace
from gbe.ids import new_ulid, process_name
from gbe.lifecycle import history, moves
from gbe.lifecycle.names import Priority
from gbe.schemas.tasks import VERSION, TaskProgress, TaskSignal, decode_signal, encode
from gbe.tasks.attempt import Attempt, Ending, holder_of
from gbe.tasks.backend import Backend
from gbe.tasks.config import WorkerConfig
from gbe.tasks.context import TaskContext
from gbe.tasks.functions import Runnable
from gbe.tasks.limits import Limits, Place
from gbe.tasks.observer import NoObserver, TaskObserver
from gbe.tasks.registry import TypeRegistry
from gbe.tasks.runner import Runner
from gbe.tasks.slots import Slots
from gbe.tasks.spans import AttemptSpan, is_tracing
from gbe.tasks.threads import Threads
from gbe.transport.base import EARLIEST, ConsumeOptions, Delivery

logger = logging.getLogger(__name__)

_MOST_DELIVERIES: Final = 1_000_000  # a signal that was returned often is no poison: its task decides
_FEED_PAUSE: Final = 0.5
_SLOT_PATIENCE: Final = 1.0
_MOST_WAIT: Final = 5.0  # for a limit, before it is asked again
_MOST_AHEAD: Final = 128
_ANNOUNCE_PAUSE: Final = 1.0
_LOOK_AT_TYPES: Final = 10.0


class Worker:
    """One worker of one process. ``run`` it once.

    Args:
        backend: the deployment.
        types: with the functions that it is to run.
        functions: the same and what is configured as a call, by type.
        find: what runs a type now, if anything does: asked again when a type changes.
        config: see there.
        observer: is told what happens.
    """

    def __init__(
        self,
        backend: Backend,
        types: TypeRegistry,
        functions: Mapping[str, Runnable],
        config: WorkerConfig | None = None,
        observer: TaskObserver | None = None,
        find: Callable[[str], Runnable | None] | None = None,
    ) -> None:
        self._backend, self._types, self._functions = backend, types, dict(functions)
        self._find = find or self._functions.get
        self.config = config or WorkerConfig()
        self.name = f"{process_name()}-{new_ulid()[-8:]}"
        self._name_bytes = self.name.encode()
        self._observer = observer or NoObserver()
        self._store, self._clock, self._names = backend.store(), backend.clock, backend.names
        self._slots = Slots(self.config.concurrency)
        self._limits = Limits(backend.state, backend.names, backend.clock)
        self._running: dict[str, Attempt] = {}
        self._jobs: set[asyncio.Task[None]] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._feeds: dict[tuple[str, Priority], asyncio.Task[None]] = {}
        self._threads = Threads(self.config.concurrency)
        self._runner = Runner(backend, self.name, self._threads, self._observer, self._publish, lambda: self._patient)
        self._patient = True
        self._feeding = False

    @property
    def types(self) -> list[str]:
        """The names of what it runs."""
        return sorted(self._functions)

    @property
    def running(self) -> list[str]:
        """The keys of the tasks that run here."""
        return list(self._running)

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and nothing waits to be sent."""
        return not self._jobs and not self._background

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event | None = None) -> None:
        """Work until ``stop`` is set; then finish what runs, or hand it back after the grace period.

        Args:
            stop: see there.
            hurry: ends the grace period.

        Raises:
            StateError, TransportError: the engine refuses what a worker needs, at the start.
        """
        names = sorted(self._functions)
        await self._types.announce(names)
        self._types.on_change(self._on_type_change)
        helpers = [
            asyncio.create_task(self._types.follow(), name="gbe.worker.types"),
            asyncio.create_task(self._keep_written(), name="gbe.worker.written"),
            asyncio.create_task(self._keep_leases(), name="gbe.worker.leases"),
            asyncio.create_task(self._send_progress(), name="gbe.worker.progress"),
        ]
        self._feeding = True
        for name in names:
            self._feed(name)
        logger.info("worker started", extra={"worker": self.name, "types": names})
        try:
            await stop.wait()
        finally:
            await self._wind_up(hurry)
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            self._threads.close()
        logger.info("worker stopped", extra={"worker": self.name})

    async def _wind_up(self, hurry: asyncio.Event | None) -> None:
        self._feeding = False
        await self._stop_feeds(list(self._feeds))
        if self._jobs:
            logger.info("worker finishes %d tasks", len(self._jobs), extra={"worker": self.name})
            await wait_in_grace(list(self._jobs), self.config.grace, hurry)
        for attempt in list(self._running.values()):
            attempt.stop(Ending.SHUTDOWN)
        if self._jobs:  # a hand-back that the engine does not take at once is tried again meanwhile
            await asyncio.wait(self._jobs, timeout=max(1.0, self.config.lease))
        self._patient = False
        if self._background:
            await asyncio.wait(self._background, timeout=2.0)

    # -- signals in

    def _on_type_change(self, name: str) -> None:
        function = self._find(name)
        if self._feeding and (function is not None or name in self._functions):
            self._spawn(self._refeed(name, function), self._background)

    async def _refeed(self, name: str, function: Runnable | None) -> None:
        """A type was paused, resumed, set anew, configured or taken out of the configuration."""
        await self._stop_feeds([(name, priority) for priority in Priority])
        is_new = name not in self._functions
        if function is None:
            self._functions.pop(name, None)
            logger.info("task type is no longer run here", extra={"task_type": name})
            return
        self._functions[name] = function
        if is_new:
            logger.info("task type is run from now on", extra={"task_type": name})
            await self._announce(name)
        if self._feeding:
            self._feed(name)

    async def _keep_written(self) -> None:
        """An engine that has lost its data knows no types any more, so that nobody could submit: tell it again."""
        while True:
            await asyncio.sleep(_LOOK_AT_TYPES)
            for name in self.types:
                try:
                    if not await self._types.is_written(name):
                        logger.warning("task type is gone from the store, written again", extra={"task_type": name})
                        await self._types.announce([name])
                except StateError as exc:
                    logger.warning("task type not looked up: %s", exc, extra={"task_type": name})
                    break

    async def _announce(self, name: str) -> None:
        try:
            await self._types.announce([name])
        except StateError as exc:
            logger.warning("task type not written down: %s", exc, extra={"task_type": name})

    def _feed(self, name: str) -> None:
        if self._types.effective(name).paused:
            logger.info("task type is paused", extra={"task_type": name})
            return
        for priority in Priority:
            if (name, priority) not in self._feeds:
                task = asyncio.create_task(self._feed_from(name, priority), name=f"gbe.worker.feed.{name}")
                self._feeds[name, priority] = task

    async def _stop_feeds(self, which: "list[tuple[str, Priority]]") -> None:
        tasks = [self._feeds.pop(key) for key in which if key in self._feeds]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed_from(self, name: str, priority: Priority) -> None:
        """Take signals from one queue, as long as this worker has room."""
        while True:
            try:
                await self._take_signals(name, priority)
            except (TransportError, StateError) as exc:
                logger.warning("queue not read, trying again: %s", exc, extra={"task_type": name})
            except Exception:
                logger.exception("queue not read, trying again", extra={"task_type": name})
            await asyncio.sleep(_FEED_PAUSE)

    async def _take_signals(self, name: str, priority: Priority) -> None:
        settings = self._types.effective(name)
        ahead = 1 if settings.has_limits else min(max(1, self._slots.count // 2), _MOST_AHEAD)
        options = ConsumeOptions(
            batch_size=ahead,
            max_inflight=2 * self._slots.count + ahead + 1,  # running, ended and being published, waiting here
            ack_timeout=self.config.signal_timeout,
            max_deliver=_MOST_DELIVERIES,
            start=EARLIEST,
        )
        while True:
            # a worker that has no room leaves: what it would hold, others can have
            if not await self._slots.acquire(priority):
                continue
            self._slots.release()
            subject = self._names.queue(name, priority)
            async with self._backend.transport.consume(subject, self._names.group(name), options) as deliveries:
                async for delivery in deliveries:
                    if not await self._take(delivery, name, priority):
                        break

    async def _take(self, delivery: Delivery, name: str, priority: Priority) -> bool:
        """Start on a signal; ``False`` if there is no room."""
        places: list[Place] = []
        try:
            signal = decode_signal(delivery.envelope.payload)
        except InvalidEnvelopeError as exc:
            await delivery.dead_letter(f"not a signal: {exc}")
            return True
        try:
            settings = self._types.effective(name)
            if settings.has_limits:
                admitted = await self._admit(delivery, signal, name)
                if admitted is None:
                    return True
                places = admitted
            if not self._slots.take() and not await self._slots.acquire(priority, _SLOT_PATIENCE):
                await self._limits.leave(places)
                await delivery.nak()
                return False
        except BaseException:
            if not delivery.is_settled:
                await delivery.nak()
            raise
        self._spawn(self._handle(delivery, signal, name, places), self._jobs)
        return True

    async def _admit(self, delivery: Delivery, signal: TaskSignal, name: str) -> list[Place] | None:
        """Wait until the limits of a type allow a start; ``None``: its key does not, others may go first."""
        holder = f"{signal.task_id}-{signal.attempt}"
        while True:
            settings = self._types.effective(name)
            admitted = await self._limits.admit(name, settings, signal.key, holder)
            if not isinstance(admitted, float):
                return admitted
            wait = min(admitted, _MOST_WAIT)
            if signal.key is not None and (settings.concurrency_per_key or settings.rate_limit_per_key):
                # many may wait for one key: spread, so that they neither ask all at once nor leave it idle
                pause = wait * random.uniform(1, min(delivery.attempt, 10))  # noqa: S311  no secret
                await delivery.nak(min(pause, _MOST_WAIT))
                await asyncio.sleep(0.01)
                return None
            await asyncio.sleep(wait)
            await delivery.in_progress()

    # -- one task

    async def _handle(self, delivery: Delivery, signal: TaskSignal, name: str, places: list[Place]) -> None:
        try:
            await self._claim_and_run(delivery, signal, name, places)
        except Exception:
            logger.exception("task not run", extra={"task_type": name, "task_id": signal.task_id})
        finally:
            # a plain function whose time is over may go on: until it returns there is no thread for another
            self._threads.when_over(holder_of(signal), self._slots.release)
            if places:
                await self._leave(places)

    async def _claim_and_run(self, delivery: Delivery, signal: TaskSignal, name: str, places: list[Place]) -> None:
        function = self._functions.get(name)
        if function is None:  # taken out of the configuration a moment ago
            await delivery.nak()
            return
        key = self._names.task(name, signal.task_id)
        now = self._clock.now_ms()
        attempt = Attempt(key, name, self._types.effective(name), signal, delivery.envelope.traceparent, now)
        attempt.places = places
        if is_tracing():
            attempt.span = self._span(attempt)
        to_link = attempt.span.traceparent if attempt.span and signal.attempt_trace is None else None
        move = moves.claim(
            signal.attempt,
            worker=self._name_bytes,
            now=now,
            timeout_at=attempt.timeout_at(now, self.config.lease),
            max_retries=attempt.max_retries,
            trace=to_link,
        )
        if signal.job_id is not None:
            trace = attempt.span.traceparent if attempt.span else attempt.traceparent
            move = history.started(move, attempt.number, now=now, worker=self.name, traceparent=trace)
        if not await self._store.settle(key, move, lambda: self._patient):
            await self._signalled_in_vain(delivery, signal, name)
            return
        attempt.held = delivery
        self._running[key] = attempt
        try:
            attempt.context = TaskContext(
                task_id=signal.task_id,
                task_type=name,
                attempt=attempt.number,
                retry_count=signal.retry_count,
                created_at=signal.created_at,
                worker=self.name,
                job_id=signal.job_id,
                key=signal.key,
                report=self._reporter(attempt, function),
            )
            self._observer.started(name, max(0, now - signal.created_at) / 1000)
            await self._runner.run(function, attempt)
        finally:
            del self._running[key]
        await attempt.let_go()

    async def _signalled_in_vain(self, delivery: Delivery, signal: TaskSignal, name: str) -> None:
        """Somebody has the task, or it has ended: the signal has done its part, once the outcome is published."""
        if delivery.attempt > 1 and not await self._ensure_announced(signal, name):
            await delivery.nak(_ANNOUNCE_PAUSE)
            return
        await delivery.ack()

    async def _ensure_announced(self, signal: TaskSignal, name: str) -> bool:
        """A signal that comes back may be the last trace of an attempt whose worker died before it told of its end.

        Returns:
            Whether the outcome is published, or is somebody else's to publish.
        """
        try:
            record = await self._store.get(name, signal.task_id)
        except TaskError:  # it is kept no longer, or it is none
            return True
        except StateError as exc:
            logger.warning("end of a task not looked up: %s", exc, extra={"task_id": signal.task_id})
            return False
        if not record.state.is_terminal or record.attempt != signal.attempt + 1 or record.timeout_at is not None:
            return True
        return await self._backend.announce_end(record)

    def _span(self, attempt: Attempt) -> AttemptSpan:
        attributes = {
            "gbe.task_id": attempt.signal.task_id,
            "gbe.task_type": attempt.task_type,
            "gbe.attempt": attempt.number,
            "gbe.worker": self.name,
        }
        first = attempt.signal.attempt_trace
        return AttemptSpan.start(f"task {attempt.task_type}", attempt.traceparent, first, attributes)

    @staticmethod
    def _reporter(attempt: Attempt, function: Runnable) -> Any:
        if function.is_async:
            return attempt.report
        loop = asyncio.get_running_loop()

        def report(done: int | None, total: int | None, note: str) -> None:
            loop.call_soon_threadsafe(attempt.report, done, total, note)

        return report

    async def _leave(self, places: list[Place]) -> None:
        try:
            await self._limits.leave(places)
        except StateError as exc:
            logger.warning("place of a limit not given back, it ends by itself: %s", exc)

    # -- leases and progress

    async def _keep_leases(self) -> None:
        """Renew what has been running for a while, all in one batch."""
        while True:
            await asyncio.sleep(self.config.renew_every)
            before = asyncio.get_running_loop().time() - 0.9 * self.config.renew_every
            due = [attempt for attempt in self._running.values() if attempt.lease_from <= before and not attempt.ending]
            if due:
                await asyncio.gather(*(self._renew(attempt) for attempt in due))

    async def _renew(self, attempt: Attempt) -> None:
        now, started = self._clock.now_ms(), asyncio.get_running_loop().time()
        had_news = attempt.has_news
        try:
            timeout_at = attempt.timeout_at(now, self.config.lease)
            move = moves.renew(attempt.number, now=now, timeout_at=timeout_at, progress=attempt.progress_fields())
            if await self._store.apply(attempt.key, move):
                attempt.lease_from = started
                await attempt.keep_or_let_go()
                if attempt.places:
                    await self._limits.renew(attempt.places)
            elif self._running.get(attempt.key) is attempt:
                attempt.stop(Ending.LOST)
        except StateUnavailableError as exc:
            attempt.has_news = had_news
            logger.warning("lease not renewed: %s", exc, extra={"task_id": attempt.signal.task_id})
        except Exception:  # one task must not cost the others their leases
            logger.exception("lease not renewed", extra={"task_id": attempt.signal.task_id})

    async def _send_progress(self) -> None:
        while True:
            await asyncio.sleep(self.config.progress_every)
            for attempt in list(self._running.values()):
                if attempt.unsent and attempt.done is not None:
                    attempt.unsent = False
                    self._publish(self._publish_progress(attempt))

    async def _publish_progress(self, attempt: Attempt) -> None:
        now = self._clock.now_ms()
        progress = TaskProgress(
            v=VERSION,
            ts=now,
            id=f"{attempt.signal.task_id}.{attempt.number}.{now}",
            task_id=attempt.signal.task_id,
            task_type=attempt.task_type,
            attempt=attempt.number,
            worker=self.name,
            done=attempt.done or 0,
            total=attempt.total,
            note=attempt.note,
        )
        try:
            await self._backend.transport.publish(self._names.progress(attempt.task_type), encode(progress))
        except TransportError as exc:
            logger.warning("progress not published: %s", exc, extra={"task_id": progress.task_id})

    # -- the background

    def _publish(self, work: Coroutine[Any, Any, None]) -> None:
        self._spawn(work, self._background)

    @staticmethod
    def _spawn(work: Coroutine[Any, Any, None], owner: "set[asyncio.Task[None]]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        owner.add(task)
        task.add_done_callback(owner.discard)
