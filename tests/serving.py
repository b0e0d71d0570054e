"""``gbe serve`` in a folder of its own, as an operator would start it."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.engines import die_with_parent


@contextmanager
def serving(folder: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """Run it there; gives the file of its log, which says where it listens. It must end well."""
    log_file = folder / "log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gbe.cli.main", "serve"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
        yield log_file
        process.terminate()
        assert process.wait(60) == 0, log_file.read_text()
