"""Dead letters: what could not be handled, with everything needed to look into it and to send it again.

Published as ``{namespace}._deadletter.{domain}`` (system.md section 3), JSON; the payload of the original is base64.
"""

import hashlib
from typing import Final

import msgspec

from gbe.envelope import Envelope
from gbe.schemas.decoding import decoded
from gbe.schemas.fields import Count, Moment, PayloadId, Timestamp, Version
from gbe.schemas.fingerprint import fingerprint

VERSION: Final = 1


class OriginalMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The envelope and payload of the message that was given up."""

    id: PayloadId
    subject: str
    timestamp: Timestamp
    payload: bytes
    traceparent: str | None = None


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One message that a consumer group gave up on.

    Attributes:
        v: schema version.
        ts: when it was given up, unix milliseconds.
        id: the letter's own id, equal for every attempt to write this letter (consumers deduplicate on it).
        reason: why, in words for an operator.
        group: the consumer group that gave up.
        deliveries: how often the message had been delivered to that group.
        original: the message as it was published.
        error_type: the kind of error, such as ``ValueError``; ``None`` if nobody knows (silence has none).
        first_failed_at, last_failed_at: unix milliseconds, as far as the member that gave up knows: earlier deliveries
            may have failed elsewhere.
        fingerprint: equal for alike failures (``gbe.schemas.fingerprint``).
        payload_left_out: bytes of the original's payload, if the engine could not take them into the letter.
        task_type, task_id: the task that has failed. Its parameters are in the state store, not in ``original``.

    Everything from ``error_type`` on came later than version 1's first letters, and may be absent.
    """

    v: Version
    ts: Moment
    id: PayloadId
    reason: str
    group: str
    deliveries: Count
    original: OriginalMessage
    error_type: str | None = None
    first_failed_at: Moment | None = None
    last_failed_at: Moment | None = None
    fingerprint: str | None = None
    payload_left_out: Count | None = None
    task_type: str | None = None
    task_id: str | None = None

    def envelope(self) -> Envelope:
        """The original message, as the transport first read it."""
        return Envelope(
            id=self.original.id,
            subject=self.original.subject,
            timestamp=self.original.timestamp,
            payload=self.original.payload,
            traceparent=self.original.traceparent,
        )

    def storage_key(self) -> str:
        """The idempotency key under which it is published: one failure is stored once.

        A message that is sent again and fails again is another failure: its moment of publication tells.
        """
        text = f"{self.id}.{self.original.timestamp}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def failure_fingerprint(self) -> str:
        """``fingerprint``, also of a letter that was written without one."""
        return self.fingerprint or fingerprint(
            group=self.group, subject=self.original.subject, error_type=self.error_type, reason=self.reason
        )


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(DeadLetter)


def encode(letter: DeadLetter) -> bytes:
    """The letter as JSON."""
    return _encoder.encode(letter)


def decode(payload: bytes) -> DeadLetter:
    """Read a letter back.

    Raises:
        InvalidEnvelopeError: not a dead letter.
    """
    return decoded(_decoder, payload, "a dead letter")
