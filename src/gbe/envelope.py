"""The envelope: what the transport reads and writes around an opaque payload (system.md section 3)."""

import re
from typing import Final

import msgspec

from gbe.errors import InvalidEnvelopeError

# W3C Trace Context, section 3.2.2: version, trace id, parent id, flags; all-zero ids are invalid, version ff too.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z",
)


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """One message as the transport knows it.

    Attributes:
        id: a ULID, 26 characters.
        subject: where it was published.
        timestamp: when it was published, unix milliseconds.
        payload: opaque bytes.
        traceparent: W3C trace context, or ``None``.
    """

    id: str
    subject: str
    timestamp: int
    payload: bytes
    traceparent: str | None = None


def is_traceparent(text: str) -> bool:
    """Whether ``text`` is a ``traceparent`` of the W3C Trace Context recommendation."""
    return _TRACEPARENT.match(text) is not None


def check_traceparent(text: str) -> str:
    """Return ``text`` if it is a ``traceparent``; raise ``InvalidEnvelopeError`` otherwise."""
    if not is_traceparent(text):
        raise InvalidEnvelopeError(f"not a W3C traceparent: {text[:80]!r}")
    return text
