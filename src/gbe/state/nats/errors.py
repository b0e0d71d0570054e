"""What the NATS connection raises, in the state store's words."""

from collections.abc import Iterator
from contextlib import contextmanager

from gbe.errors import (
    StateClosedError,
    StateError,
    StateUnavailableError,
    StreamConfigError,
    StreamNotFoundError,
    TransportClosedError,
    TransportUnavailableError,
)
from gbe.transport.nats.errors import translated


class LostReplyError(Exception):
    """The connection went down while a reply was under way; stays inside this package."""


@contextmanager
def as_state(what: str) -> Iterator[None]:
    """Turn every error of the engine and its client into one of ours; ``what`` names the operation for the text."""
    try:
        with translated(what, configuring=True):
            yield
    except TransportClosedError as exc:
        raise StateClosedError(str(exc)) from exc
    except StreamNotFoundError as exc:
        raise StateUnavailableError(f"{what}: the bucket is gone from the engine") from exc
    except StreamConfigError as exc:
        raise StateError(str(exc)) from exc
    except TransportUnavailableError as exc:
        raise StateUnavailableError(str(exc)) from exc
