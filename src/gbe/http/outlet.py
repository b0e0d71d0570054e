"""Where a stream writes: straight to its connection, past the ASGI messages that would frame every byte anew."""

from typing import Final, Protocol

OUTLET: Final = "gbe.outlet"
"""Key in the ASGI scope under which our protocols put themselves."""


class Outlet(Protocol):
    """A connection as a stream sees it. Frames are complete: chunked encoding or WebSocket framing included."""

    @property
    def is_stalled(self) -> bool:
        """Whether more is buffered than the client has taken lately: wait before pushing more."""
        ...

    def push(self, frames: bytes) -> None:
        """Write; never waits, and does nothing on a connection that is closing."""
        ...

    async def drained(self) -> None:
        """Return when the connection is not stalled, or lost."""
        ...

    def abort(self) -> None:
        """Drop the connection and what is buffered: the only way to end a stream whose client does not read."""
        ...
