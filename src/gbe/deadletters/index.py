"""The index of dead letters: a record in the state store for each, written by one consumer group.

Whoever is in the group takes its share; a letter is acknowledged once its record is written, so none is missed, and a
letter that is read twice changes nothing the second time.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from gbe.deadletters.names import GROUP, LetterNames
from gbe.deadletters.record import LetterRecord
from gbe.envelope import Envelope
from gbe.errors import DeadLetterError, InvalidEnvelopeError, StateError, StreamNotFoundError, TransportError
from gbe.schemas import deadletter
from gbe.state.base import StateStore
from gbe.transport.base import EARLIEST, ConsumeOptions, Delivery, Transport

logger = logging.getLogger(__name__)

_TRIES: Final = 20
_PAUSE: Final = 1.0
_CONCURRENCY: Final = 10
_POLL: Final = 0.02
# few at a time: a letter may be as large as a message; and never given up: a letter about a letter helps nobody
_OPTIONS: Final = ConsumeOptions(
    start=EARLIEST, batch_size=_CONCURRENCY, max_inflight=2 * _CONCURRENCY, max_deliver=1_000_000
)


class Indexer:
    """Writes the index.

    Args:
        retention: seconds that a letter's stream keeps it; its record ends a little later. ``None`` keeps it.
        on_letter: called with the domain of each failure that is new.
    """

    def __init__(
        self,
        transport: Transport,
        state: StateStore,
        names: LetterNames,
        *,
        retention: float | None = None,
        on_letter: Callable[[str], None] = lambda _domain: None,
    ) -> None:
        self._transport, self._state, self.names = transport, state, names
        self._ttl = None if retention is None else retention + 3600.0
        self._on_letter = on_letter
        self._has_joined = False

    async def run(self) -> None:
        """Index what comes, until cancelled; an engine that goes away is waited for."""
        while True:
            try:
                async with self._transport.consume(self.names.pattern, GROUP, _OPTIONS) as deliveries:
                    await deliveries.run(self._handle, concurrency=_CONCURRENCY)
            except* (TransportError, StateError) as group:
                logger.warning("dead letters are not indexed, trying again: %s", group.exceptions[0])
            await asyncio.sleep(_PAUSE)

    async def catch_up(self, within: float = 10.0) -> bool:
        """Index what is there now, for an answer that leaves nothing out. Whether that was done in time.

        Raises:
            TransportError: the engine does not answer.
        """
        if self._has_joined and await self._is_done():
            return True
        try:
            async with asyncio.timeout(within):
                async with self._transport.consume(self.names.pattern, GROUP, _OPTIONS) as deliveries:
                    self._has_joined = True
                    working = asyncio.create_task(deliveries.run(self._handle, concurrency=_CONCURRENCY))
                    try:
                        while not await self._is_done():  # noqa: ASYNC110  nothing announces that a group is done
                            await asyncio.sleep(_POLL)
                    finally:
                        working.cancel()
                        await asyncio.gather(working, return_exceptions=True)
        except StreamNotFoundError:
            return True  # nothing stores letters, so there are none
        except TimeoutError:
            logger.warning("some dead letters are not indexed yet; they are left out")
            return False
        return True

    async def _is_done(self) -> bool:
        lag = await self._transport.lag(self.names.pattern, GROUP)
        return not lag.pending and not lag.unacknowledged

    async def _handle(self, delivery: Delivery) -> None:
        try:
            await self.enter(delivery.envelope)
        except StateError as exc:
            logger.warning("dead letter not indexed yet: %s", exc)
            await delivery.nak(_PAUSE)

    async def enter(self, envelope: Envelope) -> None:
        """Write the record of one letter. What is no letter is logged and left where it is."""
        domain = envelope.subject.rpartition(".")[2]
        try:
            found = LetterRecord.of(deadletter.decode(envelope.payload), domain, envelope.id)
        except InvalidEnvelopeError as exc:
            logger.warning("not indexed: %s", exc, extra={"subject": envelope.subject, "message_id": envelope.id})
            return
        for _ in range(_TRIES):
            if await self._write(found):
                return
        raise StateError(f"the record of dead letter {found.id} changes too fast")

    async def _write(self, found: LetterRecord) -> bool:
        """One try; whether nothing is left to do."""
        key = self.names.record(found.id)
        fields = await self._state.get(key)
        if fields is None:
            is_written = await self._state.update_if(key, {"status": None}, found.to_fields(), ttl=self._ttl)
        else:
            try:
                known = LetterRecord.from_fields(fields)
            except DeadLetterError as exc:
                logger.warning("record replaced: %s", exc, extra={"key": key})
                await self._state.put(key, found.to_fields(), ttl=self._ttl)
                return True
            if known.knows(found):
                return True
            after = known.after(found).to_fields()
            changes = {name: after.get(name) for name in {*fields, *after}}
            expected = {name: fields.get(name) for name in ("status", "redrives", "letters")}
            is_written = await self._state.update_if(key, expected, changes, ttl=self._ttl)
        if is_written:
            self._on_letter(found.domain)
        return is_written
