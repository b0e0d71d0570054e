"""Plain functions of users, called in threads for programs that are ``async``."""

from collections.abc import Callable
from typing import Any


def without_stop(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call it; a future cannot carry ``StopIteration``, so whoever awaits one would never hear of it.

    Raises:
        RuntimeError: the function raised ``StopIteration``; as it would be from a coroutine.
    """
    try:
        return function(*args, **kwargs)
    except StopIteration as exc:
        raise RuntimeError("the function raised StopIteration") from exc
