"""Takes over what changes in the ``tasks:`` section of the configuration file while a program runs.

The file is looked at twice a second, and read once it has not changed between two looks: who writes it may be at it.
SIGHUP has it read at once. A file that cannot be used changes nothing; the log says why.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from gbe.config import Settings, read_tasks
from gbe.errors import ConfigError

logger = logging.getLogger(__name__)

_POLL: Final = 0.5

Signature = tuple[int, int, int]
"""Of a file: when it was changed, its size, and which file it is; a link that points elsewhere is another one."""


async def follow_file(settings: Settings, stop: asyncio.Event) -> None:
    """Keep ``settings.tasks`` as the file has it, until cancelled.

    Args:
        settings: with the file that was read, or that may be there later.
        stop: is set if SIGHUP says that our terminal is gone.
    """
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, on_hangup(asked.set, stop.set))
    seen: Signature | None = None
    taken: Signature | None = None
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL):
                await asked.wait()
        before, seen = seen, _signature(settings)
        if asked.is_set() or (seen is not None and seen == before and seen != taken):
            asked.clear()
            taken = seen
            _take_over(settings)


def on_hangup(reload: Callable[[], None], stop: Callable[[], None]) -> Callable[[], None]:
    """What SIGHUP means: our terminal was closed, or, to a program without one, that the file is to be read again."""
    had_terminal = sys.stdin is not None and sys.stdin.isatty()

    def hang_up() -> None:
        if had_terminal and not sys.stdin.isatty():
            stop()
        else:
            reload()

    return hang_up


def _signature(settings: Settings) -> Signature | None:
    try:
        found = settings.file.stat()
    except OSError:  # not there, or between the old file and the new one
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _take_over(settings: Settings) -> None:
    try:
        changed = settings.tasks.replace(read_tasks(settings.file))
    except ConfigError as exc:
        logger.error("configuration refused, the old task types stay: %s", exc)  # noqa: TRY400  the text says it all
        return
    if changed:
        logger.info("task types changed by the configuration: %s", ", ".join(sorted(changed)))
