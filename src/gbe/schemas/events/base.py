"""What every event carries, and the words that events share."""

import time
from typing import Annotated, Any

import msgspec

from gbe.ids import new_ulid
from gbe.schemas.fields import Moment, PayloadId, Version

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
"""Who or what: an actor, a target, a component."""

Text = Annotated[str, msgspec.Meta(max_length=8192)]
"""Words for people."""

Details = dict[str, Any]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event, as which it is a valid one already; domains add fields, with defaults where they may be absent.

    Attributes:
        v: version of the schema, 1 or more; a domain whose version rises gives it another default.
        ts: when it happened, unix milliseconds.
        id: of the event itself; consumers and archives deduplicate on it.
    """

    v: Version = 1
    ts: Moment = msgspec.field(default_factory=_now_ms)
    id: PayloadId = msgspec.field(default_factory=new_ulid)
