"""The streams of this process, of every kind: what they share, and a way to end them all."""

from typing import Protocol

from gbe import metrics
from gbe.http.keepalive import Keepalive


class OpenStream(Protocol):
    """A stream as whoever stops the server sees it."""

    def end(self) -> None:
        """Finish properly, soon."""
        ...


class OpenStreams:
    """All streams that are open."""

    def __init__(self, keepalive: Keepalive) -> None:
        self.keepalive = keepalive
        self._streams: set[OpenStream] = set()

    def __len__(self) -> int:
        return len(self._streams)

    def count(self, kind: type[object]) -> int:
        """How many of one kind are open."""
        return sum(isinstance(stream, kind) for stream in self._streams)

    def add(self, stream: OpenStream) -> None:
        self._streams.add(stream)
        metrics.subscribers.set(len(self._streams))

    def discard(self, stream: OpenStream) -> None:
        self._streams.discard(stream)
        metrics.subscribers.set(len(self._streams))

    def end_all(self) -> None:
        """End every stream properly: clients see the end and connect again elsewhere or later."""
        for stream in list(self._streams):
            stream.end()
