"""gbe worker and gbe sweeper as processes, in the way of users."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.engines import die_with_parent

ROOT = Path(__file__).parents[2]


class GbeProcess:
    """One ``gbe …`` process on an engine.

    Args:
        words: of the command line.
        url: of the engine.
        namespace: of the deployment, which is the name of its state store too.
        quick: short leases, so that a test need not wait for long ones.
        settings: further variables of its environment.
    """

    def __init__(
        self,
        words: list[str],
        url: str,
        namespace: str,
        log: Path,
        *,
        quick: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "GBE_TRANSPORT": url,
            "GBE_NAMESPACE": namespace,
            "GBE_STATE_BUCKET": namespace,
            "GBE_DATA_DIR": str(log.parent),
        }
        if quick:
            environment |= {
                "GBE_WORKER_LEASE": "2s",
                "GBE_WORKER_RENEW_EVERY": "250ms",
                "GBE_WORKER_SIGNAL_TIMEOUT": "1s",
                "GBE_SWEEPER_INTERVAL": "100ms",
                "GBE_SWEEPER_TERM": "1s",
                "GBE_ORCHESTRATOR_INTERVAL": "200ms",
                "GBE_ORCHESTRATOR_PATIENCE": "1s",
            }
        environment |= settings or {}
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gbe.cli.main", *words],
                cwd=ROOT,
                env=environment,
                stdout=out,
                stderr=out,
                preexec_fn=die_with_parent,  # noqa: PLW1509  one system call, no lock is taken
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """A signal; ``SIGSTOP`` and ``SIGCONT`` too."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, as a crash does it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self._process.terminate()
        return self._process.wait(60)
