"""The events of a shop: a domain of its own, which gbe.yaml names (see examples/events.py)."""

import gbe


class OrderPlaced(gbe.Event, frozen=True, kw_only=True):
    """Somebody ordered something."""

    number: int
    customer: str
