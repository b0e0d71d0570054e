"""The archive's object store as a file system that DuckDB reads through: a file is fetched when a query needs it."""

import asyncio
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from fsspec import AbstractFileSystem

from gbe.errors import GbeError
from gbe.objects.store import ObjectInfo, ObjectStore

PROTOCOL: Final = "gbearchive"
_PATIENCE: Final = 300.0


class ArchiveFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec is not typed
    """Reads the objects that were listed, and nothing else. Called from DuckDB's threads.

    Args:
        objects: open, on ``loop``.
        listed: what may be read, by name.
    """

    protocol = PROTOCOL
    cachable = False

    def __init__(self, objects: ObjectStore, listed: Mapping[str, ObjectInfo], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._objects, self._listed, self._loop = objects, listed, loop
        self._own: dict[str, bytes] = {}
        self.error: GbeError | None = None

    def add(self, name: str, data: bytes) -> None:
        """Have a file that the object store has not."""
        self._own[name] = data

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Size and kind of a file. Raises ``FileNotFoundError``."""
        name = _name(path)
        if not self.exists(path):
            raise FileNotFoundError(path)
        size = len(self._own[name]) if name in self._own else self._listed[name].size
        return {"name": name, "size": size, "type": "file"}

    def exists(self, path: str, **_: Any) -> bool:
        """Whether it was listed."""
        name = _name(path)
        return name in self._listed or name in self._own

    def modified(self, path: str) -> datetime:
        """When it was written."""
        listed = self._listed.get(_name(path))
        return datetime.fromtimestamp(0 if listed is None else listed.modified_ms / 1000, UTC)

    def glob(self, path: str, **_: Any) -> list[str]:
        """A file by its own name: patterns are not asked for."""
        return [path] if self.exists(path) else []

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        name = _name(path)
        if mode != "rb" or not self.exists(path):
            raise PermissionError(path)
        if name in self._own:
            return io.BytesIO(self._own[name])
        try:
            data = asyncio.run_coroutine_threadsafe(self._objects.get(name), self._loop).result(_PATIENCE)
        except GbeError as exc:
            self.error = exc  # DuckDB would tell of it in its own words
            raise OSError(str(exc)) from exc
        return io.BytesIO(data)


def _name(path: str) -> str:
    return path.removeprefix(f"{PROTOCOL}://")
