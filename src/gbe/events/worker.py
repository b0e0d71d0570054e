"""Runs the handlers of a program: each in its consumer group, with retries, until it is stopped.

What does not validate is a dead letter at once, since no repetition will mend it. What a handler fails at comes back
after a pause, and is a dead letter after its last delivery. Either way the next event is handled meanwhile.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Final, Protocol

from gbe.errors import EventError, TransportError
from gbe.events.handlers import EventHandler
from gbe.events.names import EventNames
from gbe.grace import wait_in_grace
from gbe.schemas.events.registry import EventRegistry
from gbe.transport.base import Consumption, Delivery, Transport

logger = logging.getLogger(__name__)

_RETRY_PAUSE: Final = 1.0
_BEATS: Final = 3  # signs of life within one ack timeout


class EventObserver(Protocol):
    """Is told what became of each delivery."""

    def handled(self, group: str, outcome: str, seconds: float) -> None:
        """``outcome`` is ``ok``, ``failed``, ``dead`` or ``invalid``."""
        ...


class _NoObserver:
    def handled(self, group: str, outcome: str, seconds: float) -> None:
        """Nobody asked."""


class EventWorker:
    """All handlers of one program. ``run`` it once.

    Args:
        grace: seconds that handlers may go on when it stops, before their events are returned.
    """

    def __init__(
        self,
        transport: Transport,
        namespace: str,
        registry: EventRegistry,
        handlers: Sequence[EventHandler],
        *,
        grace: float = 30.0,
        observer: EventObserver | None = None,
    ) -> None:
        self._transport, self._registry = transport, registry
        self._names = EventNames(namespace, registry)
        self._observer = observer or _NoObserver()
        self._runs = [_Run(self, handler, self._names.pattern(handler.pattern)) for handler in handlers]
        self._grace, self._hurry = grace, asyncio.Event()

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event | None = None) -> None:
        """Handle events until ``stop`` is set; then finish what is under way, or return it after the grace period.

        Args:
            stop: see there.
            hurry: ends the grace period.

        Raises:
            TransportError: the engine refuses what a handler needs, at the start.
        """
        self._hurry = hurry or self._hurry
        async with asyncio.TaskGroup() as group:
            for run in self._runs:
                group.create_task(run.work(stop), name=f"gbe.handler.{run.handler.group}")

    async def settle(self, handler: EventHandler, delivery: Delivery) -> None:
        """Decode an event, hand it to its handler, and end the delivery."""
        began = asyncio.get_running_loop().time()
        envelope = delivery.envelope
        outcome = "ok"
        try:
            subject = self._names.relative(envelope.subject)
            event = handler.decode(self._registry, subject, envelope.payload)
        except EventError as exc:
            outcome = "invalid"
            logger.warning("event refused: %s", exc, extra=_context(handler, delivery))
            await _end(delivery, handler, str(exc))
        else:
            outcome = await self._handle(handler, event, delivery)
        self._observer.handled(handler.group, outcome, asyncio.get_running_loop().time() - began)

    async def _handle(self, handler: EventHandler, event: object, delivery: Delivery) -> str:
        try:
            await handler(event, delivery)
        except asyncio.CancelledError:
            if not delivery.is_settled:
                await _answer(delivery.nak(), handler, delivery)
            raise
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - whatever a handler raises is this event's failure alone
            return await _failed(handler, delivery, exc)
        if not delivery.is_settled:
            await _answer(delivery.ack(), handler, delivery)
        return "ok"

    async def follow(self, handler: EventHandler, pattern: str, stop: asyncio.Event) -> None:
        """One membership of a group, until ``stop``."""
        consumption = self._transport.consume(pattern, handler.group, handler.options.consume())
        async with consumption as deliveries:
            member = _Member(self, handler, self._grace, self._hurry)
            await member.run(deliveries, stop)


class _Run:
    def __init__(self, worker: EventWorker, handler: EventHandler, pattern: str) -> None:
        self._worker, self.handler, self._pattern = worker, handler, pattern

    async def work(self, stop: asyncio.Event) -> None:
        """Stay in the group; an engine that goes away later is waited for."""
        joined = False
        while not stop.is_set():
            try:
                await self._worker.follow(self.handler, self._pattern, stop)
                joined = True
            except TransportError as exc:
                if not joined:
                    raise
                logger.warning("handler waits for the engine: %s", exc, extra={"group": self.handler.group})
                await asyncio.sleep(_RETRY_PAUSE)


class _Member:
    """The deliveries that one handler holds."""

    def __init__(self, worker: EventWorker, handler: EventHandler, grace: float, hurry: asyncio.Event) -> None:
        self._worker, self._handler, self._grace, self._hurry = worker, handler, grace, hurry
        self._slots = asyncio.Semaphore(handler.options.concurrency)
        self._held: dict[asyncio.Task[None], Delivery] = {}

    async def run(self, deliveries: Consumption, stop: asyncio.Event) -> None:
        taking = asyncio.create_task(self._take(deliveries))
        stopped = asyncio.create_task(stop.wait())
        beating = asyncio.create_task(self._beat())
        try:
            await asyncio.wait({taking, stopped}, return_when=asyncio.FIRST_COMPLETED)
            taking_failed = taking.exception() if taking.done() and not taking.cancelled() else None
        finally:
            taking.cancel()
            stopped.cancel()
            await asyncio.gather(taking, stopped, return_exceptions=True)
            await self._wind_up()
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
        if taking_failed is not None:
            raise taking_failed

    async def _take(self, deliveries: Consumption) -> None:
        await self._slots.acquire()
        async for delivery in deliveries:
            task = asyncio.create_task(self._worker.settle(self._handler, delivery))
            self._held[task] = delivery
            task.add_done_callback(self._done)
            await self._slots.acquire()

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._held[task]
        self._slots.release()
        if not task.cancelled() and (exc := task.exception()) is not None:
            logger.error("event not settled, it will come back", exc_info=exc)

    async def _beat(self) -> None:
        """Tell the engine that long handlers still work."""
        pause = self._handler.options.ack_timeout / _BEATS
        while True:
            before = list(self._held.items())
            await asyncio.sleep(pause)
            for task, delivery in before:
                if not task.done() and not delivery.is_settled:
                    await _answer(delivery.in_progress(), self._handler, delivery)

    async def _wind_up(self) -> None:
        if not self._held:
            return
        late = await wait_in_grace(list(self._held), self._grace, self._hurry)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)


async def _failed(handler: EventHandler, delivery: Delivery, exc: BaseException) -> str:
    if delivery.is_settled:
        logger.error("handler failed after it ended its delivery", exc_info=exc, extra=_context(handler, delivery))
        return "failed"
    reason = f"{type(exc).__name__}: {exc}"
    if delivery.attempt >= handler.options.max_deliver:
        logger.error("event given up", exc_info=exc, extra=_context(handler, delivery))
        await _end(delivery, handler, reason)
        return "dead"
    pause = handler.options.backoff.delay(delivery.attempt)
    logger.warning("handler failed, again in %.1f s: %s", pause, reason, extra=_context(handler, delivery))
    await _answer(delivery.nak(pause), handler, delivery)
    return "failed"


async def _end(delivery: Delivery, handler: EventHandler, reason: str) -> None:
    await _answer(delivery.dead_letter(reason), handler, delivery)


async def _answer(answering: Awaitable[None], handler: EventHandler, delivery: Delivery) -> None:
    """Tell the engine; one that cannot take it is logged, since the message comes back by itself."""
    try:
        await answering
    except TransportError as exc:
        logger.warning("delivery not answered, it may come back: %s", exc, extra=_context(handler, delivery))


def _context(handler: EventHandler, delivery: Delivery) -> dict[str, object]:
    envelope = delivery.envelope
    return {
        "group": handler.group,
        "handler": handler.name,
        "message_id": envelope.id,
        "subject": envelope.subject,
        "attempt": delivery.attempt,
    }
