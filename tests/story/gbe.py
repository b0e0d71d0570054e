"""``gbe serve`` as a user starts it: a process of its own in an empty folder."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import psutil
from tests.engines import free_port

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that anything may take on a machine that others use too. Only a failing test waits so long."""
COMMAND = Path(sys.executable).with_name("gbe")


def eventually(condition: Callable[[], T], description: str, *, within: float = PATIENCE) -> T:
    """Ask until the answer is true and return it; fail with ``description`` if that takes too long."""
    deadline = time.monotonic() + within
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {description} (last answer: {answer!r})")
        time.sleep(0.02)
    return answer


def lives(process: psutil.Process) -> bool:
    """Whether a process still runs."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A ``gbe`` command that ends by itself."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env=_environment(folder, environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _environment(folder: Path, more: dict[str, str]) -> dict[str, str]:
    """No settings of whoever runs the tests; temporary files where the test can see them."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GBE_")}
    return own | {"TMPDIR": str(folder), "NO_COLOR": "1", "COLUMNS": "200"} | more


class Gbe:
    """One ``gbe serve``. Leaving the block kills whatever is left of it."""

    def __init__(self, folder: Path, *arguments: str, port: int | None = None, **environment: str) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._output = folder / f"output-{time.monotonic_ns()}"
        self._seen: dict[int, psutil.Process] = {}
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [COMMAND, "serve", "--listen", f"127.0.0.1:{self.port}", *arguments],
                cwd=folder,
                env=_environment(folder, environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.process = psutil.Process(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill_tree()

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text()

    def tree(self) -> list[psutil.Process]:
        """The process and everything it started, as far as it lives or was seen alive."""
        with suppress(psutil.NoSuchProcess):
            for process in (self.process, *self.process.children(recursive=True)):
                self._seen[process.pid] = process
        return [process for process in self._seen.values() if lives(process)]

    def engine(self) -> psutil.Process:
        """Its nats-server."""
        (engine,) = [process for process in self.tree() if process.name() == "nats-server"]
        return engine

    def workers(self) -> list[psutil.Process]:
        """Its worker processes."""
        found = []
        for process in self.tree():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if "spawn_main" in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def ready(self) -> Self:
        """Wait for the first 200 on ``/v1/health``."""
        eventually(self._is_healthy, "the server is healthy")
        self.tree()
        return self

    def _is_healthy(self) -> bool:
        assert self._process.poll() is None, f"gbe ended with {self._process.returncode}:\n{self.output}"
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/v1/health", trust_env=False, timeout=5).status_code == 200
        return False

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self.tree()
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE)

    def kill_tree(self) -> None:
        """SIGKILL for every process, as a power failure would end them."""
        for process in self.tree():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for process in self._seen.values():
            eventually(lambda p=process: not lives(p), "a killed process is gone")  # type: ignore[misc]
        self._process.wait(PATIENCE)

    # -- what a user does with it

    def publish(self, topic: str, text: str) -> dict[str, Any]:
        """``curl -d TEXT URL/TOPIC``."""
        response = httpx.post(f"{self.url}/{topic}", content=text, trust_env=False, timeout=PATIENCE)
        assert response.status_code == 200, response.text
        message: dict[str, Any] = response.json()
        return message

    def poll(self, topic: str) -> list[dict[str, Any]]:
        """``curl -s URL/TOPIC/json?poll=1``."""
        response = httpx.get(f"{self.url}/{topic}/json?poll=1", trust_env=False, timeout=PATIENCE)
        assert response.status_code == 200, response.text
        return [json.loads(line) for line in response.text.splitlines()]


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The messages of a ``/json`` stream."""
    for line in lines:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "message":
            yield event
