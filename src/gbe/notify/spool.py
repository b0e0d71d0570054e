"""A file on its way in: in memory while it is small, then on the disk."""

import asyncio
import contextlib
import io
import tempfile
from types import TracebackType
from typing import IO, Final, Self

from gbe.errors import ObjectUnavailableError
from gbe.notify.sniff import HEAD

IN_MEMORY: Final = 256 * 1024


class Spool:
    """Bytes that arrive one after the other; a context manager, and what it holds is gone at its end.

    Attributes:
        size: how many came.
        head: the first of them, to see what they are.
        file: all of them.
    """

    def __init__(self) -> None:
        self.size, self.head = 0, b""
        self.file: IO[bytes] = io.BytesIO()
        self._waiting = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self.file.close()

    async def write(self, part: bytes) -> None:
        """Add bytes. Raises ``ObjectUnavailableError`` when the temporary folder takes no more."""
        if len(self.head) < HEAD:
            self.head += part[: HEAD - len(self.head)]
        self.size += len(part)
        self._waiting += part
        if len(self._waiting) >= IN_MEMORY:
            await asyncio.to_thread(self._to_disk)

    async def end(self) -> None:
        """Everything has come."""
        if isinstance(self.file, io.BytesIO):
            self.file.write(self._waiting)
        elif self._waiting:
            await asyncio.to_thread(self._to_disk)

    def _to_disk(self) -> None:
        try:
            if isinstance(self.file, io.BytesIO):
                self.file = tempfile.TemporaryFile(prefix="gbe-upload-")  # noqa: SIM115 - closed with this object
            self.file.write(self._waiting)
            self.file.flush()
        except OSError as exc:
            raise ObjectUnavailableError(f"the temporary folder (TMPDIR) takes no upload: {exc}") from exc
        self._waiting.clear()
