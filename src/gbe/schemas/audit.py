"""Payload of ``{namespace}.events.audit.change``: who changed what (JSON, with ``v``, ``ts`` and ``id``)."""

from typing import Any, Final

import msgspec

from gbe.errors import InvalidEnvelopeError

VERSION: Final = 1


class AuditChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody has changed something.

    Attributes:
        v, ts, id: version, when (unix ms), and the change's own id: the same for every copy of this event.
        actor: who, such as ``cli:ann`` or ``api``.
        action: what was done, such as ``redrive``.
        target: to what, such as ``deadletter/01K….billing``.
        before, after: what is known of it, as JSON.
    """

    v: int
    ts: int
    id: str
    actor: str
    action: str
    target: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(AuditChange)


def encode(change: AuditChange) -> bytes:
    """The change as JSON."""
    return _encoder.encode(change)


def decode(payload: bytes) -> AuditChange:
    """Read a change; raises ``InvalidEnvelopeError``."""
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidEnvelopeError(f"not an audit change: {exc}") from exc
