"""The one file with both vocabularies: what the Redis client raises, and what the state store raises."""

from collections.abc import Iterator
from contextlib import contextmanager

from gbe.errors import StateClosedError, StateError, StateFullError, StateUnavailableError, UnsupportedEngineError
from gbe.redis.errors import (
    RedisClosedError,
    RedisFailedError,
    RedisFullError,
    RedisRefusedError,
    RedisUnavailableError,
)
from gbe.redis.protocol import ReplyError


@contextmanager
def as_state(what: str, *, opening: bool = False) -> Iterator[None]:
    """Turn every error of the engine and its client into one of ours; ``what`` names the operation for the text."""
    try:
        yield
    except RedisClosedError as exc:
        raise StateClosedError(f"{what}: the state store is closed") from exc
    except RedisRefusedError as exc:
        raise (UnsupportedEngineError if opening else StateUnavailableError)(f"{what}: {exc}") from exc
    except RedisFullError as exc:
        text = f"{what}: no room in Redis, or its disk cannot be written: {exc}; nothing was written"
        raise StateFullError(text) from exc
    except RedisUnavailableError as exc:
        known = "it may have happened: read before trying again" if exc.maybe_done else "nothing was written"
        raise StateUnavailableError(f"{what}: {exc}; {known}") from exc
    except ReplyError as exc:
        raise StateError(f"{what}: Redis refuses: {exc}") from exc
    except RedisFailedError as exc:
        raise StateUnavailableError(f"{what}: {exc}") from exc
