"""Requests of every kind, for as long as one wants: ``python -m chaos.fuzz [--minutes 10]``.

Starts ``gbe serve`` on memory and sends what ``tests/ntfy/fuzzing.py`` makes up, family by family. It fails (exit 1) if

- an answer is a fault of the server, or is none, or is not what it says it is; the request is shown, made smaller,
- a request takes longer than a second, three times out of three,
- the server's memory grows by more than 64 MiB after the first third of the run; what is published meanwhile is kept
  for a minute only.
"""

import argparse
import os
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Final

import psutil
from hypothesis import HealthCheck, Verbosity, given, settings
from hypothesis.strategies import SearchStrategy
from tests.engines import free_port
from tests.ntfy.fuzzing import BASE_URL, FAMILIES, Request, send
from tests.ntfy.server import Raw, eventually
from tests.serving import serving

ROUND: Final = 300
"""Examples of one family before the next has its turn."""
SLOWEST: Final = 1.0
PATIENCE: Final = 10.0
GROWTH: Final = 64 * 1024 * 1024
_SETTINGS: Final = settings(
    max_examples=ROUND, deadline=None, database=None, suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet
)
_CONFIGURATION: Final = f"""\
listen: 127.0.0.1:{{port}}
transport: memory
log:
  level: error
notify:
  base_url: {BASE_URL}
  auth: true
  auth_default_access: read-write
  behind_proxy: true
  cache_duration: 60s
  attachment_expiry_duration: 60s
  visitor_request_limit_burst: 1000000000
  visitor_message_daily_limit: 1000000000
  visitor_topic_creation_limit_burst: 1000000000
  visitor_attachment_daily_bandwidth_limit: 1000g
"""


class Fuzzing:
    """One run against the server on a port."""

    def __init__(self, port: int, server: psutil.Process) -> None:
        self._port, self._server = port, server
        self.sent, self.slowest = 0, 0.0

    def connect(self) -> Raw:
        """A connection that does not wait for ever."""
        return Raw(socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE))

    def round(self, family: SearchStrategy[Request]) -> None:
        """Send some requests of a family. Raises ``AssertionError`` and whatever a missing answer is."""

        @given(family)
        @_SETTINGS
        def attempt(request: Request) -> None:
            took = send(self.connect, request)[1]
            self.sent += 1
            self.slowest = max(self.slowest, took)
            if took > SLOWEST:  # of a busy machine, or of this request?
                assert min(send(self.connect, request)[1] for _ in range(3)) <= SLOWEST, request

        attempt()

    def memory(self) -> int:
        """Resident bytes of the server and its children."""
        return sum(process.memory_info().rss for process in (self._server, *self._server.children(recursive=True)))


def run(fuzzing: Fuzzing, seconds: float) -> str:
    """What is wrong; an empty text if nothing is."""
    began = time.monotonic()
    warm = 0
    while (passed := time.monotonic() - began) < seconds:
        if not warm and passed > seconds / 3:
            warm = fuzzing.memory()
        for name, family in FAMILIES.items():
            try:
                fuzzing.round(family)
            except (AssertionError, OSError, ValueError):
                return f"{name}: {traceback.format_exc()}"
    grown = fuzzing.memory() - warm
    print(f"{fuzzing.sent} requests, the slowest took {fuzzing.slowest:.2f} s, memory grew by {grown / 2**20:.0f} MiB")
    return f"memory grew by {grown} bytes" if grown > GROWTH else ""


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes: float = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="gbe-fuzz-") as name:
        folder, port = Path(name), free_port()
        (folder / "gbe.yaml").write_text(_CONFIGURATION.format(port=port))
        with serving(folder, os.environ) as log:
            me = psutil.Process()
            fuzzing = Fuzzing(port, eventually(me.children, "the server runs")[0])
            eventually(lambda: _answers(fuzzing), "the server answers")
            wrong = run(fuzzing, minutes * 60)
        errors = log.read_text()
    if "Traceback" in errors:
        wrong = f"{wrong}\nthe server's log:\n{errors[-5000:]}"
    print(wrong or "nothing is wrong")
    return 1 if wrong else 0


def _answers(fuzzing: Fuzzing) -> bool:
    try:
        return send(fuzzing.connect, Request("GET", "/v1/health"))[0].status == 200
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
