"""Waiting for something to become true, instead of sleeping and hoping."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds that anything may take on a machine that others use too. Only a failing test waits so long."""


CLOCKS_DIFFER = 0.02
"""Seconds by which two clocks of a machine may disagree about one duration: one counts whole milliseconds, the other is
being corrected. What must not happen *earlier* than a time is measured with that much of patience."""


async def eventually(
    condition: Callable[[], T | Awaitable[T]], description: str, *, within: float = PATIENCE, interval: float = 0.01
) -> T:
    """Ask until the answer is true and return it; fail with ``description`` if that takes too long."""
    deadline = time.monotonic() + within
    while True:
        answer = condition()
        value: T = await answer if inspect.isawaitable(answer) else answer  # type: ignore[assignment]
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {description} (last answer: {value!r})")
        await asyncio.sleep(interval)


async def first(source: AsyncIterator[T], *, within: float = PATIENCE) -> T:
    """The next item of a delivery or message stream; fails if none comes."""
    return (await take(source, 1, within=within))[0]


async def take(source: AsyncIterator[T], count: int, *, within: float = PATIENCE) -> list[T]:
    """The next ``count`` items; fails if fewer come."""
    items: list[T] = []
    try:
        async with asyncio.timeout(within):
            while len(items) < count:
                items.append(await anext(source))
    except TimeoutError:
        raise AssertionError(f"{len(items)} of {count} items came within {within:g} s: {items[-3:]!r}") from None
    return items


async def next_millisecond() -> int:
    """Unix milliseconds of a moment that is later than everything before this call, and earlier than all after it."""
    before = time.time_ns() // 1_000_000
    while (now := time.time_ns() // 1_000_000) <= before + 1:  # noqa: ASYNC110  nothing announces a millisecond
        await asyncio.sleep(0.0005)
    return now
