"""One way to read a payload: whatever the bytes are, it ends in a value or in the one documented error."""

from typing import TypeVar

import msgspec

from gbe.errors import InvalidEnvelopeError
from gbe.schemas.documents import FAULTS, check_document
from gbe.schemas.violations import violation

T = TypeVar("T")


def decoded(decoder: "msgspec.json.Decoder[T]", payload: bytes, what: str) -> T:
    """Read a payload.

    Args:
        what: what it should be, for the error: ``a task signal``.

    Raises:
        InvalidEnvelopeError: it is none; the text names the field.
    """
    try:
        check_document(payload)
        return decoder.decode(payload)
    except FAULTS as exc:
        path, reason = violation(str(exc))
        at = f"{path}: " if path else ""
        raise InvalidEnvelopeError(f"not {what}: {at}{reason}") from exc
