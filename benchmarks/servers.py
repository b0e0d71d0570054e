"""Server processes, started the way a user does, and what they cost."""

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from gbe.transport.embedded import Durability

HOST: Final = "127.0.0.1"
LOG: Final = "server.log"
_CONFIGURATION: Final = """\
listen: {host}:{port}
data_dir: {data_dir}
workers: {workers}
log:
  level: warning
embedded:
  durability: {durability}
notify:
  visitor_request_limit_exempt_hosts: [127.0.0.0/8]
  visitor_subscription_limit: 1000000
  global_topic_limit: 1000000
"""
_START_TIMEOUT: Final = 30.0


class ServerError(Exception):
    """A server did not start, or answered what it should not."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process tree has used: CPU seconds and resident bytes, of Python and of the engine; open descriptors."""

    server_cpu: float
    engine_cpu: float
    server_rss: int
    engine_rss: int
    server_fds: int


class Server:
    """A running server process with its children."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, directory: Path) -> None:
        self.process, self.port = process, port
        self.data_dir, self.log = directory / "data", directory / LOG
        self._psutil = psutil.Process(process.pid)

    def usage(self) -> Usage:
        """Sampled now."""
        server_cpu = engine_cpu = 0.0
        server_rss = engine_rss = fds = 0
        for process in [self._psutil, *self._psutil.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times, rss = process.cpu_times(), process.memory_info().rss
                if "nats-server" in process.name():
                    engine_cpu += times.user + times.system
                    engine_rss += rss
                else:
                    server_cpu += times.user + times.system
                    server_rss += rss
                    fds += process.num_fds()
        return Usage(server_cpu, engine_cpu, server_rss, engine_rss, fds)

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.process.returncode is None

    async def wait_healthy(self, path: str = "/v1/health") -> None:
        """Return at the first 200."""
        deadline = time.monotonic() + _START_TIMEOUT
        while not await asyncio.to_thread(answers, self.port, path):
            if not self.is_running or time.monotonic() > deadline:
                raise ServerError(f"no answer on port {self.port}; its log ends with:\n{self.tail()}")
            await asyncio.sleep(0.01)

    def tail(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-2000:]

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL for the whole tree."""
        tree = self._psutil.children(recursive=True) if self.is_running else []
        if self.is_running:
            self.process.terminate()
        try:
            async with asyncio.timeout(25):
                await self.process.wait()
        except TimeoutError:
            for process in [*tree, self._psutil]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            await self.process.wait()


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


def answers(port: int, path: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with socket.create_connection((HOST, port), timeout=2.0) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n".encode())
            return sock.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


async def spawn(log: Path, *command: str) -> asyncio.subprocess.Process:
    """Start a process of this interpreter, its output in a file."""
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
        )


async def start_gbe(directory: Path, *, durability: Durability, workers: int = 1, extra: str = "") -> Server:
    """``gbe serve`` with a configuration file in ``directory``; does not wait for it."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    configuration = directory / "gbe.yaml"
    configuration.write_text(
        _CONFIGURATION.format(host=HOST, port=port, data_dir=directory / "data", workers=workers, durability=durability)
        + extra
    )
    process = await spawn(directory / LOG, "-m", "gbe.cli.main", "serve", "--config", str(configuration))
    return Server(process, port, directory)


@contextlib.asynccontextmanager
async def gbe_server(
    directory: Path, *, durability: Durability, workers: int = 1, extra: str = ""
) -> AsyncIterator[Server]:
    """``gbe serve``, healthy, with all its workers."""
    server = await start_gbe(directory, durability=durability, workers=workers, extra=extra)
    try:
        await server.wait_healthy()
        await _wait_for_workers(server, workers)
        yield server
    finally:
        await server.stop()


async def _wait_for_workers(server: Server, workers: int) -> None:
    """The kernel spreads connections over all workers: wait until none of many waits for one that still starts."""
    for _ in range(8 * workers if workers > 1 else 0):
        await server.wait_healthy()


@contextlib.asynccontextmanager
async def reference_server(directory: Path, *, workers: int = 1) -> AsyncIterator[Server]:
    """The reference application of ``benchmarks.reference`` on uvicorn."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = (
        "-m", "uvicorn", "benchmarks.reference:app", "--host", HOST, "--port", str(port), "--workers", str(workers),
        "--loop", "uvloop", "--http", "httptools", "--timeout-keep-alive", "75", "--no-access-log",
        "--log-level", "warning", "--lifespan", "off",
    )  # fmt: skip
    server = Server(await spawn(directory / LOG, *command), port, directory)
    try:
        await server.wait_healthy("/")
        await asyncio.sleep(1.0 if workers > 1 else 0.0)
        yield server
    finally:
        await server.stop()
