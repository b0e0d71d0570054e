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
        self.fetched = 0
        self.error: GbeError | None = None

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Size and kind of a file. Raises ``FileNotFoundError``."""
        name = _name(path)
        if name not in self._listed:
            raise FileNotFoundError(path)
        return {"name": name, "size": self._listed[name].size, "type": "file"}

    def exists(self, path: str, **_: Any) -> bool:
        """Whether it was listed."""
        return _name(path) in self._listed

    def modified(self, path: str) -> datetime:
        """When it was written."""
        return datetime.fromtimestamp(self._listed[_name(path)].modified_ms / 1000, UTC)

    def glob(self, path: str, **_: Any) -> list[str]:
        """A file by its own name: patterns are not asked for."""
        return [path] if self.exists(path) else []

    def _open(self, path: str, mode: str = "rb", **_: Any) -> io.BytesIO:
        name = _name(path)
        if mode != "rb" or name not in self._listed:
            raise PermissionError(path)
        try:
            data = asyncio.run_coroutine_threadsafe(self._objects.get(name), self._loop).result(_PATIENCE)
        except GbeError as exc:
            self.error = exc  # DuckDB would tell of it in its own words
            raise OSError(str(exc)) from exc
        self.fetched += 1
        return io.BytesIO(data)


def _name(path: str) -> str:
    return path.removeprefix(f"{PROTOCOL}://")
