"""The examples of the Rust crate: built once for all processes of a test run, and run as a user runs them."""

import fcntl
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

from tests.engines import die_with_parent

CRATE = Path(__file__).parents[2] / "schemas" / "rust"


def has_toolchain() -> bool:
    """Whether cargo runs: rustup leaves one that knows no toolchain."""
    cargo = shutil.which("cargo")
    return cargo is not None and subprocess.run([cargo, "--version"], capture_output=True, check=False).returncode == 0


def built() -> Path:
    """The folder of the examples, built if they are not; the skip reason is the caller's."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", CRATE / "target"))
    target.mkdir(parents=True, exist_ok=True)
    cargo = shutil.which("cargo")
    assert cargo is not None
    with (target / ".tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = subprocess.run(
            # as scripts/test-rust builds them, so that nothing is built twice
            [cargo, "build", "--quiet", "--locked", "--examples"],
            cwd=CRATE,
            env=os.environ | {"CARGO_TARGET_DIR": str(target)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 0, run.stderr[-4000:]
    return target / "debug" / "examples"


class Example:
    """One example that runs; its output is in a file."""

    def __init__(self, program: Path, words: list[str], log: Path) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [program, *words],
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,  # noqa: PLW1509  one system call, no lock is taken
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def says(self, words: str) -> bool:
        """Whether it has said so; fails with all that it said if it has ended instead."""
        ended = self.process.poll() is not None
        text = self.log.read_text()
        assert words in text or not ended, f"it ended with {self.process.returncode}: {text}"
        return words in text

    def freeze(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)
