"""What one rendering may cost: steps, time, output, and memory that its values take.

Whoever writes a template is a stranger, so every loop counts, every value that is made is charged before it is made
where that can be known, and every walk through values has a depth.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gbe.errors import TemplateFailedError, TemplateTimeoutError

MAX_SOURCE_BYTES: Final = 32 * 1024
MAX_NESTING: Final = 40
"""Blocks and parentheses within one another; also bounds the stack of the interpreter."""
MAX_DEPTH: Final = 60
"""Of values within values, when they are printed or compared."""
MAX_WIDTH: Final = 1000
"""``printf`` takes widths and precisions below this."""

_LOOK_EVERY: Final = 64
_BYTES_PER_STEP: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one rendering."""

    steps: int = 60_000
    """Nodes evaluated; work on long values counts as more."""
    seconds: float = 0.1
    """Of the thread's processor time."""
    output: int = 1024 * 1024
    """Characters of output."""
    loops: int = 10_000
    """Turns of all loops together."""
    string: int = 100_000
    """Characters of any string that a function makes."""
    allocated: int = 4 * 1024 * 1024
    """Characters of all values made, whether or not they are still in use; an item of a list counts for eight."""


class Budget:
    """What is left of the limits. Every ``spend`` and ``allocate`` may end the rendering."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.thread_time) -> None:
        self._limits, self._clock = limits, clock
        self._deadline = clock() + limits.seconds
        self._steps = limits.steps
        self._look_at = self._steps - _LOOK_EVERY
        self._output = limits.output
        self._loops = limits.loops
        self._allocated = limits.allocated

    def spend(self, steps: int = 1) -> None:
        """Work is about to be done. Raises ``TemplateTimeoutError``."""
        self._steps -= steps
        if self._steps >= self._look_at:
            return
        self._look_at = self._steps - _LOOK_EVERY
        if self._steps < 0:
            raise TemplateTimeoutError(f"it takes more than {self._limits.steps} steps")
        if self._clock() > self._deadline:
            raise TemplateTimeoutError(f"it takes longer than {self._limits.seconds * 1000:g} ms")

    def look_at(self, size: int) -> None:
        """So many characters are about to be read. Raises ``TemplateTimeoutError``."""
        if size >= _BYTES_PER_STEP:
            self.spend(size // _BYTES_PER_STEP)

    def loop(self) -> None:
        """One more turn of a loop. Raises ``TemplateFailedError``, ``TemplateTimeoutError``."""
        self._loops -= 1
        if self._loops < 0:
            raise TemplateFailedError(f"its loops take more than {self._limits.loops} turns")
        self.spend()

    def write(self, count: int) -> None:
        """So many characters are about to be output. Raises ``TemplateFailedError``."""
        self._output -= count
        if self._output < 0:
            raise TemplateFailedError(f"its output is over {self._limits.output} characters")

    def string(self, count: int) -> None:
        """A string of so many characters is about to be made. Raises ``TemplateFailedError``."""
        if count > self._limits.string:
            raise TemplateFailedError(f"a string is over {self._limits.string} characters")
        self._allocate(count)

    def part(self, size: int) -> None:
        """A string grows to so many characters, which ``string`` charges in the end. Raises ``TemplateFailedError``."""
        if size > self._limits.string:
            self.string(size)
        self.spend()

    def items(self, count: int) -> None:
        """A list or a dictionary of so many items is about to be made. Raises ``TemplateFailedError``."""
        if count > self._limits.loops:
            raise TemplateFailedError(f"a list is over {self._limits.loops} items")
        self._allocate(8 * count)

    def _allocate(self, size: int) -> None:
        self._allocated -= size + 8
        if self._allocated < 0:
            raise TemplateFailedError("it makes too many or too large values")
        self.spend(1 + size // _BYTES_PER_STEP)
