"""The sink: where batches go. One interface; every sink passes ``tests/conformance/sink``."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from gbe.archive.batch import Batch


class Sink(ABC):
    """Keeps batches for good. Use it as ``async with``.

    What the archiver promises: the batches of one subject are written one at a time and in stream order, and a batch
    whose writing failed is written again with the same messages, possibly by another process, until it succeeds. So it
    may come again although it was stored.
    """

    @abstractmethod
    async def write(self, batch: Batch, mark: bytes) -> bytes:
        """Store a batch; when this returns it is durable, and was compared with what was to be written.

        Writing the same batch again, with the same ``mark``, changes nothing and returns the same.

        Args:
            batch: to be stored.
            mark: what the write of the subject's previous batch returned; ``b""`` for the first one. The archiver keeps
                it, at most 2 KiB, together with the confirmed position. A sink that needs none returns ``b""``.

        Returns:
            The next mark.

        Raises:
            SinkUnavailableError: the batch may have been stored; write it again later.
            SinkRefusedError: the same, and it will not get better until an operator does something: wrong
                credentials, a missing bucket or table, a full disk. The text says what.
            SinkConflictError: in the batch's place lies something else. Nothing was overwritten.
        """

    @abstractmethod
    async def ping(self) -> float:
        """A round trip to the sink, in seconds; raises ``SinkError`` if it is not there."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections. Safe to repeat."""

    @property
    @abstractmethod
    def where(self) -> str:
        """Where it is, for people: no secrets."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
