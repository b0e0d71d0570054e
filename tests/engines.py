"""A nats-server of the tests' own: started, killed, frozen and started again on the same store and port."""

import contextlib
import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Self

BINARY = Path(sys.executable).parent / "nats-server"
_PORTS = range(12_000, 20_000)  # below the ephemeral range: nobody's outgoing connection takes it while we are down


_given: deque[int] = deque()  # ports, the latest last


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: no engine outlives its test run
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it, and pass that on


class NatsProcess:
    """One engine in a folder of its own.

    Args:
        folder: its configuration, log and store.
        sync_interval: ``always`` syncs every store to the disk before it is confirmed.
    """

    def __init__(self, folder: Path, *, sync_interval: str = "2m") -> None:
        self.folder, self.sync_interval = folder, sync_interval
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and return once it serves; the port of the first start is kept."""
        for _ in range(20):
            port = self.port or free_port()
            if self._start_on(port):
                self.port = port
                return
        raise AssertionError(f"nats-server does not start: {(self.folder / 'out').read_text()[-2000:]}")

    def _start_on(self, port: int) -> bool:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "nats.json"
        config.write_text(
            json.dumps(
                {
                    "listen": f"127.0.0.1:{port}",
                    "max_payload": 2 * 1024 * 1024,
                    "jetstream": {
                        "store_dir": str(self.folder / "store"),
                        "max_file_store": 4 * 1024**3,
                        "max_memory_store": 256 * 1024**2,
                        "sync_interval": self.sync_interval,
                    },
                }
            )
        )
        with (self.folder / "out").open("ab") as out:
            self._process = subprocess.Popen(
                [BINARY, "-c", config],
                stdout=out,
                stderr=out,
                env={},
                preexec_fn=die_with_parent,  # noqa: PLW1509  one system call, no lock is taken
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            if _serves_jetstream(port):
                return True
            time.sleep(0.01)
        self.kill()
        return False

    def kill(self) -> None:
        """SIGKILL, as a crash does it; returns when it is gone."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: it is there and does not answer; returns when its last thread stands."""
        self._signal(signal.SIGSTOP)
        while self._process is not None and not _stands(self._process.pid):
            time.sleep(0.001)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)


def _stands(pid: int) -> bool:
    states = [task.read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(state in "Tt" for state in states)


def free_port() -> int:
    """A port that nothing listens on, that no outgoing connection takes meanwhile, and that nobody else was given.

    Who asks for several ports binds them later: so none is given twice, and the processes of a test run have ports of
    their own.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    own = _PORTS[int(worker) % count :: count]
    while True:
        port = random.choice(own)
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.append(port)
        if len(_given) > len(own) // 2:
            _given.popleft()
        return port


def _serves_jetstream(port: int) -> bool:
    """Clients are listened to only after the streams are recovered, so a greeting is enough."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            return b'"jetstream":true' in connection.makefile("rb").readline()
    except OSError:
        return False
