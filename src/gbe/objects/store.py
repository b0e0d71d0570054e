"""``ObjectStore``: bytes under names, on a local folder, an S3-compatible server, or in memory.

A small interface over obstore. Its blocking calls run in threads of our own: the asynchronous ones complete on a
thread that may outlive the interpreter, and then abort the whole process at its exit (seen in one of four short-lived
processes with obstore 0.12.1; PyO3/pyo3-async-runtimes#40). A blocking call leaves nothing behind.
"""

import asyncio
import contextlib
import datetime as dt
import fcntl
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore import exceptions
from obstore.store import LocalStore, MemoryStore, S3Store

from gbe.errors import (
    ObjectError,
    ObjectNotFoundError,
    ObjectStoreRefusedError,
    ObjectTooLargeError,
    ObjectUnavailableError,
)
from gbe.ids import new_ulid
from gbe.objects.config import ObjectsConfig
from gbe.objects.names import check_name

logger = logging.getLogger(__name__)

T = TypeVar("T")

_THREADS: Final = 16  # requests under way at a time; S3 takes tens of milliseconds for each
_PAGE: Final = 1000
_RETRIES: Final = 4
_PART: Final = 5 * 1024 * 1024  # the smallest that S3 takes
_CHUNK: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object of a listing: its name, its size in bytes, and when it was written, unix milliseconds."""

    name: str
    size: int
    modified_ms: int


class ObjectStore:
    """Holds objects: written whole, read whole, never changed in place.

    Open it with ``await ObjectStore.open(config)``, use it as ``async with``. Every method that talks to the store
    raises ``ObjectUnavailableError`` when it does not answer, ``ObjectStoreRefusedError`` when it does not want us, and
    ``InvalidObjectNameError`` for a name that cannot be one, before anything is sent.
    """

    def __init__(self, config: ObjectsConfig) -> None:
        self.config = config
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="gbe-objects")
        self._folder = config.folder if config.kind == "local" else None
        self._is_closed = False
        self._store: Any = None

    @classmethod
    async def open(cls, config: ObjectsConfig, *, writes: bool = True) -> Self:
        """Open the store, make its folder if need be, and try it: a small object is written, read and deleted.

        Args:
            config: where it is.
            writes: ``False`` for somebody who only reads, and may be allowed no more: nothing is made or tried.

        Raises:
            ObjectStoreRefusedError: the folder cannot be written, there is no such bucket, the credentials are wrong.
            ObjectUnavailableError: no answer.
        """
        store = cls(config)
        try:
            if not writes:
                store._check_is_there()
            store._store = await store._run("open", "", lambda: _open(config))
            if writes:
                await store._try_out()
        except BaseException:
            await store.close()
            raise
        return store

    def _check_is_there(self) -> None:
        if self.config.kind == "local" and not self.config.folder.is_dir():
            raise ObjectStoreRefusedError(f"{self._where}: there is no such folder")

    async def _try_out(self) -> None:
        name = f"probe/{new_ulid()}"
        await self.put(name, b"gbe")
        if await self.get(name) != b"gbe":
            raise ObjectStoreRefusedError(f"{self._where}: what was written is not what is read")
        await self.delete(name)

    @property
    def _where(self) -> str:
        config = self.config
        return f"object store {config.url}" + (f" at {config.endpoint}" if config.endpoint else "")

    # -- one object

    async def put(self, name: str, data: bytes) -> None:
        """Store an object; once this returns it is durable. One of the same name is replaced in one step.

        Raises:
            ObjectTooLargeError: over ``config.max_object_size``; nothing was written.
            ObjectUnavailableError: it may have been written; repeating it is safe.
        """
        self._check_size(data)
        await self._run("put", check_name(name), lambda: self._put(name, data, "overwrite"))

    async def create(self, name: str, data: bytes) -> bool:
        """Store an object unless one of that name exists. Returns whether it was stored.

        Raises:
            ObjectTooLargeError, ObjectUnavailableError: as for ``put``. After the latter, a ``False`` may be about our
                own first attempt: compare what is there.
        """
        self._check_size(data)
        try:
            await self._run("create", check_name(name), lambda: self._put(name, data, "create"))
        except _ExistsError:
            return False
        return True

    async def get_version(self, name: str) -> tuple[bytes, str]:
        """As ``get``, and which version of the object it is, for ``replace``."""
        return await self._run("get", check_name(name), lambda: self._get_version(name))

    async def replace(self, name: str, data: bytes, version: str | None) -> bool:
        """Store an object in place of one version of it, or, with ``None``, if there is none. Returns whether it was.

        Raises:
            ObjectTooLargeError, ObjectUnavailableError: as for ``put``. As for ``create``, a ``False`` may be about our
                own first attempt.
        """
        self._check_size(data)
        try:
            await self._run("replace", check_name(name), lambda: self._replace(name, data, version))
        except _ExistsError:
            return False
        return True

    def _replace(self, name: str, data: bytes, version: str | None) -> None:
        if version is None:
            self._put(name, data, "create")
        elif self._folder is None:
            self._put(name, data, {"e_tag": version})
        else:
            with _alone(self._folder / name):
                if obstore.head(self._store, name)["e_tag"] != version:
                    raise _ExistsError
                self._put(name, data, "overwrite")

    def _check_size(self, data: bytes) -> None:
        if len(data) > self.config.max_object_size:
            raise ObjectTooLargeError(len(data), self.config.max_object_size)

    def _put(self, name: str, data: bytes, mode: Any) -> None:
        for attempt in range(3):
            try:
                obstore.put(self._store, name, data, mode=mode, use_multipart=False)
                break
            except FileNotFoundError:
                # a folder that became empty was removed between our making it and our using it
                if self._folder is None or attempt == 2:
                    raise
        if self._folder is not None:
            _sync(self._folder, name)

    async def get(self, name: str) -> bytes:
        """The object's bytes.

        Raises:
            ObjectNotFoundError: there is none of that name.
            ObjectTooLargeError: somebody wrote one that is over ``config.max_object_size``.
        """
        return await self._run("get", check_name(name), lambda: self._get(name))

    async def put_file(self, name: str, file: IO[bytes]) -> None:
        """As ``put``, for what is too large for memory: ``file`` is read from its beginning, part by part.

        How large it may be is its caller's affair.

        Raises:
            ObjectUnavailableError: it may have been written; repeating it is safe.
        """
        await self._run("put", check_name(name), lambda: self._put_file(name, file))

    def _put_file(self, name: str, file: IO[bytes]) -> None:
        file.seek(0)
        obstore.put(self._store, name, file, chunk_size=_PART, max_concurrency=2)
        if self._folder is not None:
            _sync(self._folder, name)

    async def chunks(self, name: str) -> AsyncIterator[bytes]:
        """The object's bytes, part by part, as they are asked for.

        Raises:
            ObjectNotFoundError: there is none of that name.
            ObjectUnavailableError: also in the middle.
        """
        parts = await self._run(
            "get", check_name(name), lambda: iter(obstore.get(self._store, name).stream(min_chunk_size=_CHUNK))
        )
        while (part := await self._run("get", name, lambda: next(parts, None))) is not None:
            yield bytes(part)

    def _get(self, name: str) -> bytes:
        return self._get_version(name)[0]

    def _get_version(self, name: str) -> tuple[bytes, str]:
        result = obstore.get(self._store, name)
        if result.meta["size"] > self.config.max_object_size:
            raise ObjectTooLargeError(result.meta["size"], self.config.max_object_size)
        return bytes(result.bytes()), result.meta["e_tag"] or ""

    async def delete(self, name: str) -> None:
        """Remove an object; no error if it is not there."""
        with contextlib.suppress(ObjectNotFoundError):
            await self._run("delete", check_name(name), lambda: obstore.delete(self._store, name))

    # -- many objects

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Every object whose name begins with ``prefix/``, page by page.

        Objects that are written or removed meanwhile may or may not be among them.
        """
        check_name(prefix)
        pages = await self._run("list", prefix, lambda: iter(obstore.list(self._store, prefix, chunk_size=_PAGE)))
        while page := await self._run("list", prefix, lambda: next(pages, None)):
            for meta in page:
                modified_ms = round(meta["last_modified"].timestamp() * 1000)
                yield ObjectInfo(meta["path"], meta["size"], modified_ms)

    async def folders(self, prefix: str) -> Sequence[str]:
        """The names of the folders directly below ``prefix/``, without a closing slash, in order."""
        found = await self._run("list", check_name(prefix), lambda: obstore.list_with_delimiter(self._store, prefix))
        return sorted(found["common_prefixes"])

    async def prune(self, prefix: str, before: int) -> int:
        """Remove the objects below ``prefix`` written before a moment, unix milliseconds; returns how many."""
        removed = 0
        async for found in self.list(prefix):
            if found.modified_ms < before:
                await self.delete(found.name)
                removed += 1
        return removed

    # -- life

    async def ping(self) -> float:
        """A round trip to the store, in seconds."""
        started = time.perf_counter()
        with contextlib.suppress(ObjectNotFoundError):
            await self.get("probe/ping")
        return time.perf_counter() - started

    async def close(self) -> None:
        """Wait for what is under way. Safe to repeat; later calls raise ``ObjectError``."""
        self._is_closed = True
        await asyncio.to_thread(self._threads.shutdown)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, what: str, name: str, call: Callable[[], T]) -> T:
        if self._is_closed:
            raise ObjectError("the object store is closed")

        def translating() -> T:
            with self._translated(what, name):
                return call()

        return await asyncio.get_running_loop().run_in_executor(self._threads, translating)

    @contextlib.contextmanager
    def _translated(self, what: str, name: str) -> Iterator[None]:
        """Turn obstore's errors into ours: the one place with both vocabularies."""
        try:
            yield
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            raise _ExistsError from None
        except (FileNotFoundError, exceptions.NotFoundError) as exc:
            if "NoSuchBucket" in str(exc):
                raise ObjectStoreRefusedError(f"{self._where}: there is no such bucket") from exc
            if what in ("get", "delete"):
                raise ObjectNotFoundError(name) from None
            if what == "replace":  # its version is gone with it
                raise _ExistsError from None
            raise ObjectStoreRefusedError(f"{self._where}: {what}: {_plain(exc)}") from exc
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, PermissionError) as exc:
            raise ObjectStoreRefusedError(f"{self._where}: access is denied: {_plain(exc)}") from exc
        except (exceptions.BaseError, OSError, ValueError) as exc:
            text = _plain(exc)
            if "NoSuchBucket" in str(exc):
                raise ObjectStoreRefusedError(f"{self._where}: there is no such bucket") from exc
            if getattr(exc, "errno", None) in _REFUSALS or any(f"os error {number})" in text for number in _REFUSALS):
                raise ObjectStoreRefusedError(f"{self._where}: {what}: {text}") from exc
            raise ObjectUnavailableError(f"{self._where}: {what}: {text}") from exc


class _ExistsError(Exception):
    """There is an object of that name, or another version of it; stays inside this file."""


_REFUSALS: Final = (1, 13, 17, 20, 21, 30)
"""EPERM, EACCES, EEXIST (a file where a folder should be), ENOTDIR, EISDIR, EROFS: another try changes nothing."""


def _plain(exc: Exception) -> str:
    """The first line of an error; what follows are the internals of the library."""
    lines = str(exc).strip().splitlines()
    return lines[0][:400] if lines else type(exc).__name__


def _open(config: ObjectsConfig) -> Any:
    match config.kind:
        case "memory":
            return MemoryStore()
        case "local":
            config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return LocalStore(prefix=config.folder.resolve(), automatic_cleanup=True)
        case "s3":
            return _open_s3(config)


def _open_s3(config: ObjectsConfig) -> S3Store:
    parts = urlsplit(config.url)
    options: dict[str, Any] = {"region": config.region, "checksum_algorithm": "SHA256"}
    for key in ("endpoint", "access_key_id", "secret_access_key", "session_token"):
        value = getattr(config, key)
        if value is not None:
            options[key] = value
    timeout = dt.timedelta(seconds=config.timeout)
    client: dict[str, Any] = {"timeout": timeout, "connect_timeout": min(timeout, dt.timedelta(seconds=5))}
    if config.endpoint is not None and config.endpoint.startswith("http://"):
        client["allow_http"] = True
    if config.ca_file is not None:
        client["root_certificate"] = config.ca_file.read_bytes()
    return S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        client_options=client,  # type: ignore[arg-type]
        retry_config={"max_retries": _RETRIES, "retry_timeout": timeout},
        **options,
    )


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time, as far as the file system has locks, replaces files of a folder."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have none for folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync(folder: Path, name: str) -> None:
    """Bring a new file, and the folders that lead to it, to the disk: a record may be about to refer to it."""
    path = folder / name
    for part in (path, *path.parents):
        with contextlib.suppress(FileNotFoundError):  # deleted already
            descriptor = os.open(part, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        if part == folder:
            return
