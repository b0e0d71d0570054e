"""A program whose worker is killed between the end of a task and the publication of its outcome."""

import os
import signal
from typing import Any

from tests.tasks.program import app

from gbe.tasks.backend import Backend

__all__ = ["app"]


async def _die(*_: Any) -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    return False


Backend.publish_end = _die  # type: ignore[method-assign]
