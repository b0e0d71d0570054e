"""nats-py, corrected where it would give up, go deaf, or speak in clear; and what its errors mean."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import SplitResult, urlsplit

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from gbe.transport.nats.errors import described

_BLANKS = " \t\n\r\x0b\x0c"


class RefusedError(Exception):
    """The server is there and does not want us: another try changes nothing."""


class CorrectedClient(Client):
    """nats-py, corrected where it would give up for good, or speak in clear where TLS was asked for."""

    wants_tls = False

    def __init__(self) -> None:
        super().__init__()
        self._at_once: dict[int, Callable[[Msg], None]] = {}

    async def subscribe_at_once(self, subject: str, handler: Callable[[Msg], None]) -> Subscription:
        """A subscription whose messages ``handler`` gets as they are read.

        nats-py puts each into a queue, from which a task takes it: the larger part of what a message costs.
        """
        sid = self._sid + 1  # what the next line makes of it, before it lets anybody else run
        self._at_once[sid] = handler
        try:
            return await self.subscribe(subject, cb=_unheard)
        except BaseException:
            self._at_once.pop(sid, None)
            raise

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        super()._remove_sub(sid, max_msgs)
        self._at_once.pop(sid, None)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        handler = self._at_once.get(sid)
        if handler is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        parsed = await self._process_headers(headers) if headers else None
        try:
            handler(self._build_message(sid, subject, reply, data, parsed))
        except Exception as exc:  # noqa: BLE001  as nats-py does it: raised here, it would end the reading
            await self._error_cb(exc)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self.wants_tls and not info.get("tls_required"):
            # nats-py would go on without encryption and send the credentials
            if not info.get("tls_available"):
                raise nats.errors.Error("TLS is configured, but the server does not offer it")
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)

    async def _process_err(self, err_msg: str) -> None:
        # nats-py ends the client for good on most of these, an expired user or a revoked one for instance. Where the
        # server ends the connection we see that anyway, and reconnect, with the credentials file as it is by then.
        if "stale connection" in err_msg.lower():
            await super()._process_err(err_msg)
        else:
            await self._error_cb(nats.errors.Error(err_msg.strip("'")))

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        with _cancellation_counts():
            return await super()._flush_pending(force_flush)

    async def flush(self, timeout: int = 10) -> None:
        with _cancellation_counts():
            await super().flush(timeout)

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        # nats-py writes a PING at once, ahead of a SUB that waits for its flusher: then the PONG proves nothing
        if self._pending and self._transport is not None:
            pending, self._pending, self._pending_data_size = self._pending, [], 0
            self._transport.writelines(pending)
        await super()._send_ping(future)

    async def _process_pong(self) -> None:
        # nats-py answers also those who have stopped waiting (a flush that timed out or was cancelled), and the error
        # that this raises ends its read loop: the connection would stay deaf until it is found stale
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        # the same as nats-py's, which looks at every character of every name: an eighth of what a reader spends
        found: dict[str, str] = {}
        for line in raw.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            words = name.split()
            if colon and len(words) == 1 and name.isascii():
                found[words[0]] = value.strip(_BLANKS)
        return found

    async def _read_loop(self) -> None:
        await super()._read_loop()
        if self.is_connected and asyncio.current_task() is self._reading_task:  # it stumbled over what it read
            await self._process_op_err(nats.errors.ProtocolError())

    async def _attempt_reconnect(self) -> None:
        # nats-py waits until what is not sent yet has left, and a half-open connection lets nothing leave for minutes
        self.abort()
        await super()._attempt_reconnect()

    async def _connect_to_server(self, s: Any) -> None:
        self.abort()  # what an attempt that failed half-way left open
        await super()._connect_to_server(s)

    @property
    def is_socket_closing(self) -> bool:
        """Whether a write would be lost, or raise (uvloop), although nats-py has yet to notice."""
        writer = getattr(self._transport, "_io_writer", None)
        return writer is None or writer.is_closing()

    @property
    def unsent_bytes(self) -> int:
        """What waits in the socket's buffer."""
        writer = getattr(self._transport, "_io_writer", None)
        return 0 if writer is None else int(writer.transport.get_write_buffer_size())

    def abort(self) -> None:
        """Drop the socket, if there is one, with what waits to be sent."""
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()


async def _unheard(_: Msg) -> None:
    """What nats-py would call."""


@contextmanager
def _cancellation_counts() -> Iterator[None]:
    """Raise ``CancelledError`` where nats-py has swallowed it: whoever has cancelled a task waits until it ends."""
    task = asyncio.current_task()
    before = 0 if task is None else task.cancelling()
    yield
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError


def without_credentials(url: str) -> str:
    """A server's URL without the part that says who we are."""
    parts: SplitResult = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def is_refusal(exc: Exception) -> bool:
    """Whether a server answered that it does not want us, or we do not trust it."""
    if isinstance(exc, OSError):
        return isinstance(exc, ssl.SSLError) and not isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    text = str(exc).lower()
    return "authorization" in text or "authentication" in text or "tls" in text


def plain(exc: Exception) -> str:
    """An error's text without nats-py's own decoration."""
    return described(exc).removeprefix("nats: ").strip("' ")
