"""The directory in which the processes of one server count together: metrics, and what visitors have used.

It is named in the environment before anything that counts is imported: the metrics library looks there once.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def shared_directory() -> Iterator[Path]:
    """Make the directory, private to this user, and remove it at the end."""
    directory = Path(tempfile.mkdtemp(prefix="gbe-workers-"))
    # what cleans temporary files up spares a directory that is locked (tmpfiles.d)
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        os.environ[METRICS_VARIABLE] = str(directory)
        yield directory
    finally:
        os.close(handle)
        shutil.rmtree(directory, ignore_errors=True)
