"""One connection to NATS: replies, requests, writes that leave once a loop tick, and news of reconnects."""

import asyncio
import itertools
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from gbe.errors import TransportClosedError, TransportUnavailableError
from gbe.transport.nats.config import NatsConfig
from gbe.transport.nats.errors import ApiError, ApiErrorBody, NoRespondersError, described, translated

logger = logging.getLogger(__name__)

T = TypeVar("T")

ReplyHandler = Callable[[Msg], None]
_API: Final = "$JS.API."
_CLOSE_TIMEOUT: Final = 5.0


class _ApiReply(msgspec.Struct):
    error: ApiErrorBody | None = None


_error_decoder = msgspec.json.Decoder(_ApiReply)


def status_of(msg: Msg) -> str:
    """The status line of a message that the server itself wrote (``404``, ``408``, …), or an empty string."""
    headers = msg.headers
    return headers.get("Status", "") if headers and not msg.data else ""


class NatsConnection:
    """A nats-py client with what the rest of this package needs around it.

    Replies of every request arrive on one subscription and are handed to the handler that waits for them, so that a
    request costs a table entry and not a subscription.
    """

    def __init__(self, config: NatsConfig) -> None:
        self.config = config
        self._client = Client()
        self._inbox = ""
        self._handlers: dict[str, ReplyHandler] = {}
        self._tokens = itertools.count(1)
        self._outgoing: list[bytes] = []
        self._reconnect_listeners: dict[int, Callable[[], None]] = {}
        self._listener_ids = itertools.count()
        self._closing = False

    @property
    def is_connected(self) -> bool:
        """Whether the server can be written to at this moment."""
        return self._client.is_connected

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called, or the server refused us for good."""
        return self._closing or self._client.is_closed

    async def open(self) -> None:
        """Connect.

        Raises:
            TransportUnavailableError: no server answered within ``connect_timeout``, or it refused the credentials.
        """
        config = self.config
        first_error: list[Exception] = []

        async def on_error(exc: Exception) -> None:
            first_error.append(exc)
            del first_error[1:]
            if self._closing or isinstance(exc, nats.errors.UnexpectedEOF):
                return
            logger.warning("nats: %s", described(exc))

        async def on_disconnect() -> None:
            if self._closing:
                return
            logger.warning("nats: connection lost, reconnecting")
            if config.locate is not None:
                with suppress(Exception):  # the engine may be restarting; its old address is the best guess
                    self._client.set_server_pool(list(config.locate()))

        async def on_reconnect() -> None:
            logger.info("nats: connected again", extra={"server": self.server_name})
            for listener in list(self._reconnect_listeners.values()):
                listener()

        options: dict[str, Any] = {
            "servers": list(config.urls),
            "name": config.name,
            "user": config.user,
            "password": config.password,
            "token": config.token,
            "user_credentials": str(config.credentials_file) if config.credentials_file else None,
            "tls": config.ssl_context(),
            "connect_timeout": 2,
            "reconnect_time_wait": config.reconnect_wait,
            "max_reconnect_attempts": -1,
            "ping_interval": config.ping_interval,
            "max_outstanding_pings": 2,
            "drain_timeout": _CLOSE_TIMEOUT,
            "error_cb": on_error,
            "disconnected_cb": on_disconnect,
            "reconnected_cb": on_reconnect,
        }
        try:
            async with asyncio.timeout(config.connect_timeout):
                await self._client.connect(**options)
        except (TimeoutError, nats.errors.Error, OSError) as exc:
            await self._abandon()
            reason = first_error[0] if first_error else exc
            servers = ", ".join(url.rpartition("@")[2].removeprefix("nats://") for url in config.urls)
            raise TransportUnavailableError(f"no NATS server at {servers}: {described(reason)}") from exc
        self._inbox = self._client.new_inbox() + "."
        await self._client.subscribe(f"{self._inbox}*", cb=self._on_reply)

    async def _abandon(self) -> None:
        self._closing = True
        with suppress(Exception):
            await self._client.close()

    async def close(self) -> None:
        """Send what is queued, then close. Safe to repeat."""
        if self._closing:
            return
        if self._client.is_connected:
            self._write_out()
            with suppress(nats.errors.Error, TimeoutError, OSError):
                await self._client.flush(timeout=2)
        await self._abandon()
        self._handlers.clear()

    @property
    def server_name(self) -> str:
        """Which server of the cluster we are connected to."""
        url = self._client.connected_url
        return url.netloc.rpartition("@")[2] if url else ""

    @property
    def server_version(self) -> tuple[int, int, int]:
        """Major, minor and patch of the connected server."""
        version = self._client.connected_server_version
        return version.major, version.minor, version.patch

    @property
    def server_max_payload(self) -> int:
        """Bytes the server takes in one message, headers included."""
        return self._client.max_payload

    def on_reconnect(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` after each reconnect, subscriptions restored. Returns the function that stops this."""
        key = next(self._listener_ids)
        self._reconnect_listeners[key] = listener
        return lambda: self._reconnect_listeners.pop(key, None) and None

    def new_inbox(self) -> str:
        """A subject prefix that nobody else uses, for a subscription of one's own."""
        return self._client.new_inbox()

    # -- writing

    def write(self, data: bytes) -> None:
        """Queue protocol bytes; what one loop tick queues leaves in one write. Dropped while disconnected: whoever
        needs an answer waits for it with a deadline and sends again.

        This goes past nats-py's own queue to its socket: a publish through ``Client.publish`` validates, copies and
        wakes a flusher for each message, which costs as much again as everything else we do.
        """
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._write_out)
        self._outgoing.append(data)

    def _write_out(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        socket = self._client._transport  # noqa: SLF001
        if outgoing and socket is not None and self._client.is_connected:
            socket.write(b"".join(outgoing))

    # -- replies and requests

    def expect(self, handler: ReplyHandler) -> str:
        """Register a handler and return the reply subject whose messages it gets, until ``forget``."""
        token = str(next(self._tokens))
        self._handlers[token] = handler
        return self._inbox + token

    def forget(self, reply: str) -> None:
        """Stop handing over the messages of this reply subject."""
        self._handlers.pop(reply[len(self._inbox) :], None)

    async def _on_reply(self, msg: Msg) -> None:
        handler = self._handlers.get(msg.subject[len(self._inbox) :])
        if handler is not None:
            handler(msg)

    async def request(self, subject: str, payload: bytes = b"", *, timeout: float | None = None) -> Msg:
        """One request, one reply.

        Raises:
            NoRespondersError: nobody listens there (kept inside this package).
            TimeoutError: no answer in time.
            TransportClosedError: the connection is closed.
        """
        replies = await self.request_many(subject, payload, until=lambda _: True, timeout=timeout)
        return replies[0]

    async def request_many(
        self, subject: str, payload: bytes, *, until: Callable[[Msg], bool], timeout: float | None = None
    ) -> list[Msg]:
        """One request, several replies: all up to and with the first for which ``until`` is true."""
        if self.is_closed:
            raise TransportClosedError("the transport is closed")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        replies: list[Msg] = []

        def on_reply(msg: Msg) -> None:
            replies.append(msg)
            if not done.done() and (status_of(msg) == "503" or until(msg)):
                done.set_result(None)

        reply = self.expect(on_reply)
        try:
            async with asyncio.timeout(self.config.request_timeout if timeout is None else timeout):
                await self._client.publish(subject, payload, reply=reply)
                await done
        finally:
            self.forget(reply)
        if status_of(replies[-1]) == "503":
            raise NoRespondersError(subject)
        return replies

    async def api(self, endpoint: str, body: Mapping[str, object] | None = None) -> bytes:
        """One request to the JetStream API; sent again while the server does not answer, until the deadline.

        Raises:
            ApiError: the API refused (kept inside this package).
            TransportUnavailableError: no answer before ``request_timeout`` was over.
        """
        payload = json.dumps(body).encode() if body else b""
        data = (await self.retrying(lambda timeout: self.request(_API + endpoint, payload, timeout=timeout))).data
        error = _error_decoder.decode(data).error
        if error is not None:
            raise ApiError(error)
        return data

    async def retrying(self, attempt: Callable[[float], Awaitable[T]]) -> T:
        """Repeat an idempotent request until it is answered or ``request_timeout`` is over.

        A reply that a lost connection swallowed never comes, so an attempt gets a part of the time only.
        """
        deadline = time.monotonic() + self.config.request_timeout
        while True:
            left = deadline - time.monotonic()
            try:
                return await attempt(min(left, self.config.retry_after))
            except (TimeoutError, nats.errors.OutboundBufferLimitError, NoRespondersError):
                if time.monotonic() + 0.05 >= deadline:
                    raise
                await asyncio.sleep(0.05)

    async def flush(self) -> None:
        """Return once the server has processed everything written before."""
        with translated("flush"):
            self._write_out()
            # a PING that went down with its connection is never answered: try again on the next one
            await self.retrying(lambda timeout: self._client.flush(timeout=max(1, round(timeout))))

    async def subscribe(self, subject: str, handler: Callable[[Msg], Awaitable[None]]) -> Subscription:
        """A core subscription that survives reconnects; it stands on the server when this returns."""
        with translated(f"subscribe to {subject}"):
            subscription = await self._client.subscribe(subject, cb=handler)
        await self.flush()
        return subscription

    async def unsubscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Give subscriptions up; never raises."""
        for subscription in subscriptions:
            with suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()
