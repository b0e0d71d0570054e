"""Dead letters: what could not be handled, with everything needed to look into it and to send it again.

Published as ``{namespace}._deadletter.{domain}`` (system.md section 3), JSON; the payload of the original is base64.
"""

import msgspec

from gbe.envelope import Envelope
from gbe.errors import InvalidEnvelopeError


class OriginalMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The envelope and payload of the message that was given up."""

    id: str
    subject: str
    timestamp: int
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
    """

    v: int = 1
    ts: int
    id: str
    reason: str
    group: str
    deliveries: int
    original: OriginalMessage

    def envelope(self) -> Envelope:
        """The original message, as the transport first read it."""
        return Envelope(
            id=self.original.id,
            subject=self.original.subject,
            timestamp=self.original.timestamp,
            payload=self.original.payload,
            traceparent=self.original.traceparent,
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
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError as exc:
        raise InvalidEnvelopeError(f"not a dead letter: {exc}") from exc
