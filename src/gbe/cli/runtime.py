"""Runs coroutines the way our programs do: on uvloop where it installs, with signals as an event."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")

ECHO: Final = 2.0
"""Seconds in which a signal that comes twice is one: a terminal, or systemd, tells children too, and so does their
parent."""
_GC_THRESHOLDS: Final = (5_000, 10, 20)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def stop_on_signals(
    stop: asyncio.Event, signals: tuple[signal.Signals, ...], hurry: asyncio.Event | None = None
) -> None:
    """Set ``stop`` at the first of these signals, and ``hurry`` when the same comes again after ``ECHO`` seconds."""
    loop = asyncio.get_running_loop()
    first: dict[signal.Signals, float] = {}

    def come(number: signal.Signals) -> None:
        stop.set()
        if number not in first:
            first[number] = loop.time()
        elif hurry is not None and loop.time() - first[number] >= ECHO:
            hurry.set()

    for number in signals:
        loop.add_signal_handler(number, come, number)


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Run a coroutine beside a block, which cancels it at its end."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Run something that has no end of its own until ``stop`` is set, then cancel it; raises what it raises."""
    working = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    working.cancel()
    for result in await asyncio.gather(working, stopped, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


def settle() -> None:
    """Call when a server has started: what exists now stays, so the garbage collector need not look at it again.

    Thousands of open streams are live objects too; with the default thresholds a busy server walks over all of them
    several times a second, to find next to nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
