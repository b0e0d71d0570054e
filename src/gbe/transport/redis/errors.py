"""The one file with both vocabularies: what the Redis client raises, and what gbe raises."""

from collections.abc import Iterator
from contextlib import contextmanager

from gbe.errors import (
    TransportClosedError,
    TransportError,
    TransportFullError,
    TransportUnavailableError,
    UnsupportedEngineError,
)
from gbe.redis.errors import (
    RedisClosedError,
    RedisFailedError,
    RedisFullError,
    RedisRefusedError,
    code_of,
)
from gbe.redis.protocol import ReplyError


@contextmanager
def translated(what: str, *, opening: bool = False) -> Iterator[None]:
    """Turn every error of the engine and its client into one of ours; ``what`` names the operation for the text."""
    try:
        yield
    except TransportError:
        raise
    except RedisClosedError as exc:
        raise TransportClosedError(f"{what}: the transport is closed") from exc
    except RedisRefusedError as exc:
        if opening:
            raise UnsupportedEngineError(str(exc)) from exc
        raise TransportUnavailableError(f"{what}: {exc}") from exc
    except RedisFullError as exc:
        raise TransportFullError(f"{what}: no room in Redis, or its disk cannot be written: {exc}") from exc
    except (RedisFailedError, ReplyError) as exc:
        raise TransportUnavailableError(f"{what}: {exc}") from exc


def is_missing_group(error: ReplyError) -> bool:
    """Whether a stream or its consumer group is not there."""
    return code_of(error) == "NOGROUP"
