"""Names that no other test of the run has: engines are shared, by tests of one process and of several."""

import itertools
import os

_numbers = itertools.count(1)


def unique(prefix: str = "t") -> str:
    """A name that begins with ``prefix``."""
    return f"{prefix}{os.getpid()}-{next(_numbers)}"
