"""``events.lifecycle.{component}.{started|stopped|heartbeat|degraded}``: the component is in the subject."""

from gbe.schemas.events.base import Details, Event, Name, Text
from gbe.schemas.fields import Count


class Lifecycle(Event, frozen=True, kw_only=True):
    """A component came, went, lives, or does not do what it should.

    Attributes:
        instance: which one of its kind: host and process.
        version: of its program.
        message: why, for ``stopped`` and ``degraded``.
        uptime_ms: how long it has been running.
    """

    instance: Name
    version: Name | None = None
    message: Text | None = None
    uptime_ms: Count | None = None
    details: Details | None = None
