"""The kinds of fields that payloads share, with their bounds: those of ``schemas/json``, in every language.

Integers stay below 2**63, so that signed 64 bits hold them everywhere.
"""

from typing import Annotated, Final

import msgspec

MAX_VERSION: Final = (1 << 32) - 1
MAX_MOMENT: Final = (1 << 48) - 1
MAX_TIMESTAMP: Final = 10**16 - 1
MAX_INTEGER: Final = (1 << 63) - 1

Version = Annotated[int, msgspec.Meta(ge=1, le=MAX_VERSION)]
"""Version of a schema: ``v`` of every payload."""

Moment = Annotated[int, msgspec.Meta(ge=0, le=MAX_MOMENT)]
"""Unix milliseconds: 48 bits, as in a ULID."""

Timestamp = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIMESTAMP)]
"""Of an envelope, unix milliseconds: whatever a publisher said in at most 16 digits."""

Seconds = Annotated[int, msgspec.Meta(ge=0, le=MAX_MOMENT)]
"""Unix seconds."""

PayloadId = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
"""``id`` of every payload: consumers and archives deduplicate on it."""

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]
"""How many, or how long in the unit that the field names."""

Ulid = Annotated[str, msgspec.Meta(min_length=26, max_length=26, pattern="^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
"""A ULID in capitals: ids of tasks, jobs and messages."""

TypeName = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern="^[A-Za-z0-9_-]+$")]
"""Of a task type or a job type."""

Subject = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern="^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$")]
"""A subject, without wildcards."""


class Head(msgspec.Struct, frozen=True):
    """What every payload has, whatever else is in it (``schemas/json/payload.json``)."""

    v: Version
    ts: Moment
    id: PayloadId
