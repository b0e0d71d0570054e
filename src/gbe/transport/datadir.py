"""The data directory: who serves it, and how other processes of this machine attach to its engine.

``gbe.lock``     held (flock) by the serving process for its whole life; its content says who that is
``engine.json``  the engine's address and credentials, only for the owner's eyes
``engine/``      everything of the engine itself; see ``gbe.transport.embedded``

The lock is the truth and the files are notes beside it: after a crash they remain, the lock does not.
All functions here do small, blocking file I/O; call them through ``asyncio.to_thread`` from a loop.
The directory must lie on a local file system: flock over NFS is not what it seems, nor is JetStream's store.
"""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from gbe.errors import DataDirectoryLockedError, EngineError, EngineNotRunningError

LOCK_FILE: Final = "gbe.lock"
ATTACH_FILE: Final = "engine.json"

_LOCK_PATIENCE: Final = 0.25  # seconds; a process that looks whether the lock is held holds it for microseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """How to reach the engine that serves a data directory; the content of ``engine.json``.

    ``urls``, ``user`` and ``password`` stay the same when the engine or gbe restarts, unless another program
    took the port; ``server_name``, ``pid`` and ``monitor_url`` are new with every engine process.
    """

    urls: tuple[str, ...]
    user: str
    password: str = field(repr=False)
    server_name: str
    pid: int  # of the engine, not of gbe
    monitor_url: str
    durability: str
    gbe_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a data directory; the content of ``gbe.lock``."""

    pid: int
    started: str  # ISO 8601, UTC
    listen: str  # where it serves, or what it is doing, in the holder's own words

    def __str__(self) -> str:
        place = f", listening on {self.listen}" if self.listen else ""
        return f"process {self.pid} (since {self.started}{place})"


class DataDirectoryLock:
    """The right to serve one data directory, until ``release`` or the end of the process."""

    def __init__(self, data_dir: Path, descriptor: int, listen: str) -> None:
        self.data_dir = data_dir
        self._descriptor = descriptor
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self.describe(listen)

    def describe(self, listen: str) -> None:
        """Say where this process serves, for whoever is refused the lock."""
        content = msgspec.json.encode(Holder(pid=os.getpid(), started=self._started, listen=listen))
        # Write, then cut: a reader in between may see the old tail and give up on it, never an empty file.
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))

    @property
    def held(self) -> bool:
        return self._descriptor >= 0

    def release(self) -> None:
        """Give the directory up. Idempotent."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        # The file stays: unlinking it would let two processes lock two different files of the same name.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
        # Closing alone would unlock too, but not while a child of this moment is between fork and exec.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def create(data_dir: Path) -> None:
    """Create the data directory, mode 0700; one that exists keeps its mode.

    Raises:
        EngineError: it cannot be created, or is not a directory.
    """
    with usable(data_dir):
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)


def lock(data_dir: Path, listen: str = "") -> DataDirectoryLock:
    """Take the directory for this process, creating it if needed.

    The descriptor is not inherited by children, so the lock ends with this process and no later.

    Args:
        listen: what to tell others about this process, e.g. ``127.0.0.1:8080``.

    Raises:
        DataDirectoryLockedError: another process has it; the text says which, since when, and where it serves.
        EngineError: the directory cannot be used.
    """
    create(data_dir)
    with usable(data_dir):
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _acquire(descriptor, data_dir)
        with usable(data_dir):
            return DataDirectoryLock(data_dir, descriptor, listen)
    except BaseException:
        os.close(descriptor)
        raise


def is_served(data_dir: Path) -> bool:
    """Whether a live process holds the directory's lock."""
    try:
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise EngineError(f"cannot look into data directory {data_dir}: {exc.strerror}") from exc
    try:
        return not try_flock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def read_attachment(data_dir: Path) -> Attachment:
    """How to reach the engine that serves this directory now.

    Raises:
        EngineNotRunningError: no live process serves the directory, or it has no engine (yet).
        EngineError: the attach file is open to other users, belongs to one, or is damaged.
    """
    if not is_served(data_dir):
        raise EngineNotRunningError(data_dir)
    attachment = recorded_attachment(data_dir)
    if attachment is None:
        raise EngineNotRunningError(data_dir)
    return attachment


def recorded_attachment(data_dir: Path) -> Attachment | None:
    """What the attach file says, whether or not that engine still lives; ``None`` if there is no file.

    Raises:
        EngineError: the file is open to other users, belongs to one, or is damaged.
    """
    path = data_dir / ATTACH_FILE
    content = read_private(path)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=Attachment)
    except msgspec.MsgspecError as exc:
        raise EngineError(f"{path} is damaged ({exc}); restart the gbe that serves {data_dir}") from exc


def write_attachment(data_dir: Path, attachment: Attachment) -> None:
    """Replace the attach file: readers see the old one or the new one, and after a crash too.

    Raises:
        EngineError: it cannot be written.
    """
    write_private(data_dir / ATTACH_FILE, msgspec.json.format(msgspec.json.encode(attachment), indent=2))


def remove_attachment(data_dir: Path) -> None:
    """Take the attach file away; it is no error if there is none."""
    with usable(data_dir):
        (data_dir / ATTACH_FILE).unlink(missing_ok=True)


def read_private(path: Path) -> bytes | None:
    """The content of a file with secrets, or ``None`` if there is no such file.

    Raises:
        EngineError: others may read or write the file, it is not ours, or it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as exc:
        hint = " (it belongs to another user)" if exc.errno == errno.EACCES else ""
        raise EngineError(f"cannot read {path}: {exc.strerror}{hint}") from exc
    with os.fdopen(descriptor, "rb") as file:
        # Of the open file, not of the name: the name may point elsewhere by the next call.
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode & 0o077:
            raise EngineError(
                f"{path} holds credentials and is open to other users (mode {mode:04o}); run: chmod 600 {path}"
            )
        return file.read()


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only the owner can read: whole or not at all, and on disk when this returns.

    Raises:
        EngineError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with usable(path.parent):
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)


def try_flock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock of an open file if that is possible at once."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def usable(directory: Path) -> Iterator[None]:
    """Turn the operating system's refusals into an ``EngineError`` that names the directory."""
    try:
        yield
    except OSError as exc:
        raise EngineError(f"cannot use directory {directory}: {exc.strerror or exc}") from exc


def _acquire(descriptor: int, data_dir: Path) -> None:
    deadline = time.monotonic() + _LOCK_PATIENCE
    while not try_flock(descriptor):
        if time.monotonic() > deadline:
            raise DataDirectoryLockedError(data_dir, _read_holder(descriptor))
        time.sleep(0.01)


def _read_holder(descriptor: int) -> str:
    content = os.pread(descriptor, 4096, 0)
    try:
        return str(msgspec.json.decode(content, type=Holder))
    except msgspec.MsgspecError:
        return "another process"  # which has not written its name yet


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
