"""The one file with both vocabularies: what nats-py and the JetStream API say, and what gbe raises."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
import nats.errors

from gbe.errors import (
    StreamConfigError,
    StreamNotFoundError,
    TransportClosedError,
    TransportError,
    TransportUnavailableError,
)

# error codes of the JetStream API (nats-server, server/errors.json)
CONSUMER_NOT_FOUND: Final = 10014
CONSUMER_EXISTS: Final = 10148
STREAM_NOT_FOUND: Final = 10059
STREAM_NAME_IN_USE: Final = 10058
DUPLICATE_IN_BATCH: Final = 10201
DUPLICATE_IN_PROCESS: Final = 10158
NO_MESSAGE_FOUND: Final = 10037
PASSING: Final = frozenset({10005, 10008, 10009})
"""JetStream of the cluster has no leader at this moment, not enough peers that are there, or asked the wrong server:
the next try may succeed."""
STREAM_INVALID_CONFIG: Final = 10052
REPLICAS_NOT_SUPPORTED: Final = 10074
_WRONG_CONFIG: Final = {STREAM_INVALID_CONFIG, REPLICAS_NOT_SUPPORTED}  # the engine calls them its own errors (500)


class ApiErrorBody(msgspec.Struct, frozen=True):
    """The ``error`` member of a JetStream API reply."""

    code: int
    err_code: int = 0
    description: str = ""


class ApiError(Exception):
    """A JetStream API request was refused; stays inside this package."""

    def __init__(self, body: ApiErrorBody) -> None:
        self.code, self.err_code, self.description = body.code, body.err_code, body.description
        super().__init__(f"{body.description} (JetStream error {body.err_code})")


class NotPermittedError(Exception):
    """The account may not publish or subscribe to a subject that we need; stays inside this package."""


class NoRespondersError(Exception):
    """Nobody listens on a request's subject: no stream, no leader, or JetStream still starting. Stays inside."""


def described(exc: Exception) -> str:
    """An error's text, or its name when it has none."""
    return str(exc) or type(exc).__name__


@contextmanager
def translated(what: str, *, configuring: bool = False) -> Iterator[None]:
    """Turn every error of the engine and its client into one of ours; ``what`` names the operation for the text."""
    try:
        yield
    except TransportError:
        raise
    except ApiError as exc:
        if exc.err_code == STREAM_NOT_FOUND:
            raise StreamNotFoundError(what) from exc
        if configuring and (400 <= exc.code < 500 or exc.err_code in _WRONG_CONFIG):
            raise StreamConfigError(f"{what}: the engine refuses: {exc}") from exc
        raise TransportUnavailableError(f"{what}: {exc}") from exc
    except NotPermittedError as exc:
        raise TransportUnavailableError(f"{what}: the server's permissions do not allow it: {exc}") from exc
    except nats.errors.ConnectionClosedError as exc:
        raise TransportClosedError(f"{what}: the connection is closed") from exc
    except (TimeoutError, nats.errors.TimeoutError, NoRespondersError) as exc:
        raise TransportUnavailableError(f"{what}: the engine did not answer in time") from exc
    except (nats.errors.Error, OSError) as exc:
        raise TransportUnavailableError(f"{what}: {described(exc)}") from exc
