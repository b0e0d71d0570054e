"""The end of a program: what runs may finish, for a while, unless somebody is in a hurry."""

import asyncio
from collections.abc import Collection
from typing import TypeVar

T = TypeVar("T")


async def wait_in_grace(
    running: "Collection[asyncio.Task[T]]", seconds: float, hurry: asyncio.Event | None = None
) -> "set[asyncio.Task[T]]":
    """Wait until all have ended, ``seconds`` are over, or ``hurry`` is set.

    Returns:
        What still runs.
    """
    if not running:
        return set()
    pressed = asyncio.create_task((hurry or asyncio.Event()).wait())
    finished = asyncio.create_task(_all(running))
    try:
        await asyncio.wait({pressed, finished}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (pressed, finished):
            task.cancel()
        await asyncio.gather(pressed, finished, return_exceptions=True)
    return {task for task in running if not task.done()}


async def _all(running: "Collection[asyncio.Task[T]]") -> None:
    await asyncio.wait(running)  # cancels none of them if it is cancelled itself
