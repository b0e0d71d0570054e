"""Who wants to know what an archiver does: metrics, in our programs."""

from typing import Protocol


class Observer(Protocol):
    """Told as it happens."""

    def archived(self, domain: str, messages: int, payload_bytes: int) -> None:
        """A batch is confirmed."""
        ...

    def failed(self, domain: str) -> None:
        """A batch could not be written."""
        ...

    def waiting(self, messages: int, oldest_seconds: float) -> None:
        """So much was handed out and is not archived yet."""
        ...


class NobodyWatches:
    """An observer that does nothing."""

    def archived(self, domain: str, messages: int, payload_bytes: int) -> None:
        """Nothing."""

    def failed(self, domain: str) -> None:
        """Nothing."""

    def waiting(self, messages: int, oldest_seconds: float) -> None:
        """Nothing."""
