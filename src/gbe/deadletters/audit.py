"""Audit events of what operators do with dead letters: each is published before the record says that it is done."""

import hashlib
from typing import Any

import msgspec

from gbe.clock import Clock, SystemClock
from gbe.deadletters.names import LetterNames
from gbe.deadletters.record import LetterRecord
from gbe.ids import encode_ulid
from gbe.schemas.events.audit import AuditChange
from gbe.transport.base import Transport


class Audit:
    """Tells of redrives and discards on ``{namespace}.events.audit.change``."""

    def __init__(self, transport: Transport, names: LetterNames, clock: Clock | None = None) -> None:
        self._transport, self._names, self._clock = transport, names, clock or SystemClock()

    async def redriven(self, begun: LetterRecord, sent_as: str, actor: str) -> None:
        """One redrive. Told twice after a crash, with the same id: whoever reads it counts it once.

        Raises:
            TransportError: not told.
        """
        after = {"redrives": begun.redrives, "target": begun.target, "sent_as": sent_as}
        await self._publish(begun, "redrive", begun.redrives, actor, {"redrives": begun.redrives - 1}, after)

    async def discarded(self, record: LetterRecord, actor: str) -> None:
        """One letter given up for good. Raises ``TransportError``."""
        after = {"status": "discarded"}
        await self._publish(record, "discard", record.failures, actor, {"status": record.status.value}, after)

    async def _publish(
        self,
        record: LetterRecord,
        action: str,
        number: int,
        actor: str,
        before: dict[str, Any],
        after: dict[str, Any],
    ) -> None:
        digest = hashlib.blake2b(f"{record.id} {action} {number}".encode(), digest_size=16).digest()
        about = {"subject": record.subject, "group": record.group, "fingerprint": record.fingerprint}
        change = AuditChange(
            ts=self._clock.now_ms(),
            id=encode_ulid(int.from_bytes(digest[:6]), int.from_bytes(digest[6:])),
            actor=actor,
            action=action,
            target=f"deadletter/{record.id}",
            before=before,
            after={**after, **about},
        )
        payload = msgspec.json.encode(change)
        await self._transport.publish(self._names.audit, payload, idempotency_key=f"audit {change.id}")
