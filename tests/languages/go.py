"""The examples of the Go module: built once for all processes of a test run, and run as a user runs them."""

import fcntl
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engines import die_with_parent
from tests.waiting import PATIENCE

MODULE = Path(__file__).parents[2] / "schemas" / "go" / "examples"


def built(shared: Path) -> Path:
    """The folder of the examples, in one that the processes of this test run share; built by the first who asks."""
    go = shutil.which("go")
    assert go is not None
    programs = shared / "go-examples"
    with (shared / "go-examples.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not programs.exists():
            command = [go, "build", "-o", f"{programs}/", "./publish", "./consume"]
            run = subprocess.run(command, cwd=MODULE, capture_output=True, text=True, check=False)
            assert run.returncode == 0, run.stderr[-4000:]
    return programs


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program said, and whether it was content."""

    returncode: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Its output, a document a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def shell(commands: str, folder: Path) -> Ran:
    """Run commands of a page, all of which must succeed; blocks for as long as they compile."""
    said = subprocess.run(
        ["bash", "-euc", commands], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    assert said.returncode == 0, said.stderr[-4000:]
    return Ran(said.returncode, said.stdout, said.stderr)


def run(program: Path, *words: str) -> Ran:
    """Run an example to its end; blocks."""
    process = subprocess.Popen(
        [program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509  one system call, no lock is taken
    )
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"{program.name} runs for longer than {PATIENCE:g} s: {out} {err}") from None
    return Ran(process.returncode, out, err)
