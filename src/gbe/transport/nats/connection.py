"""One connection to NATS: replies, requests, writes that leave once a loop tick, and news of reconnects."""

import asyncio
import itertools
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec
import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from gbe.errors import TransportClosedError, TransportError, TransportUnavailableError
from gbe.transport.nats.client import CorrectedClient, RefusedError, is_refusal, plain, without_credentials
from gbe.transport.nats.complaints import Complaints
from gbe.transport.nats.config import NatsConfig
from gbe.transport.nats.errors import (
    PASSING,
    ApiError,
    ApiErrorBody,
    NoRespondersError,
    translated,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

ReplyHandler = Callable[[Msg], None]
_API: Final = "$JS.API."
_CLOSE_TIMEOUT: Final = 5.0
_RETIRE_TIMEOUT: Final = 2.0
_RETIRED_FOR: Final = 1.0
_LEADER_ELECTED: Final = "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED"


class _ApiReply(msgspec.Struct):
    error: ApiErrorBody | None = None


_error_decoder = msgspec.json.Decoder(_ApiReply)


def status_of(msg: Msg) -> str:
    """The status line of a message that the server itself wrote (``404``, ``408``, …), or an empty string."""
    headers = msg.headers
    return headers.get("Status", "") if headers and not msg.data else ""


class _Opening:
    """What is heard while no server has let us in yet.

    Attributes:
        reason: the most telling error.
        refusing: addresses of servers that refused us.
    """

    def __init__(self, servers: list[str]) -> None:
        self.servers = servers
        self.reason: Exception | None = None
        self.refusing: set[str] = set()

    def hear(self, exc: Exception, refusing: str | None) -> None:
        """Note an error, and which server refuses us by it, if one does. Raises ``RefusedError``: no use to go on."""
        if self.reason is None or refusing is not None:
            self.reason = exc
        if refusing is not None:
            self.refusing.add(refusing)
            # credentials are the cluster's; a certificate is one server's, and the others may do better
            if not isinstance(exc, OSError) or self.refusing >= {urlsplit(url).netloc for url in self.servers}:
                raise RefusedError


class NatsConnection:
    """A nats-py client with what the rest of this package needs around it.

    Replies of every request arrive on one subscription and are handed to the handler that waits for them, so that a
    request costs a table entry and not a subscription.
    """

    def __init__(self, config: NatsConfig) -> None:
        self.config = config
        self._client = CorrectedClient()
        self._inbox = ""
        self._handlers: dict[str, ReplyHandler] = {}
        self._tokens = itertools.count(1)
        self._outgoing: list[bytes] = []
        self._reconnect_listeners: dict[int, Callable[[], None]] = {}
        self._listener_ids = itertools.count()
        self._retired: set[asyncio.Task[None]] = set()
        self._closing = False
        self._opening: _Opening | None = None
        self._complaints = Complaints()
        self._leader_listeners: dict[int, tuple[str, Callable[[], None]]] = {}
        self._watches_leaders = False

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
        config, opening = self.config, _Opening([without_credentials(url) for url in self.config.urls])
        self._opening = opening
        options = self._options(opening.servers)
        self._client.wants_tls = options["tls"] is not None
        try:
            async with asyncio.timeout(config.connect_timeout):
                await self._client.connect(**options)
        except (TimeoutError, nats.errors.Error, OSError, RefusedError) as exc:
            await self._abandon()
            shown = ", ".join(url.removeprefix("nats://") for url in opening.servers)
            what = "cannot connect to the NATS server" if opening.refusing else "no NATS server"
            raise TransportUnavailableError(f"{what} at {shown}: {plain(opening.reason or exc)}") from exc
        self._opening = None
        self._inbox = self._client.new_inbox() + "."
        try:
            await self.subscribe(f"{self._inbox}*", self._on_reply)
        except BaseException:
            await self._abandon()
            raise

    def _options(self, servers: list[str]) -> dict[str, Any]:
        """What nats-py is told."""
        config = self.config
        user, password, token = self._credentials()
        return {
            "servers": servers,
            "name": config.name,
            "user": user,
            "password": password,
            "token": token,
            "user_credentials": str(config.credentials_file) if config.credentials_file else None,
            "tls": config.ssl_context(),
            "connect_timeout": 2,
            "reconnect_time_wait": config.reconnect_wait,
            "max_reconnect_attempts": -1,
            "ping_interval": config.ping_interval,
            "max_outstanding_pings": 2,
            "drain_timeout": _CLOSE_TIMEOUT,
            "error_cb": self._on_error,
            "disconnected_cb": self._on_disconnect,
            "reconnected_cb": self._on_reconnect,
        }

    async def _on_error(self, exc: Exception) -> None:
        if self._closing or isinstance(exc, nats.errors.UnexpectedEOF):
            return
        if self._opening is None:
            self._complaints.hear(plain(exc))
            return
        logger.debug("nats: %s", plain(exc))
        self._opening.hear(exc, self._address if is_refusal(exc) else None)

    async def _on_disconnect(self) -> None:
        if self._closing:
            return
        logger.warning("nats: connection lost, reconnecting")
        if self.config.locate is not None:
            with suppress(Exception):  # the engine may be restarting; its old address is the best guess
                self._client.set_server_pool([without_credentials(url) for url in self.config.locate()])

    async def _on_reconnect(self) -> None:
        logger.info("nats: connected again", extra={"server": self.server_name})
        self._complaints.forget()
        for listener in list(self._reconnect_listeners.values()):
            listener()

    def _credentials(self) -> tuple[str | None, str | None, str | None]:
        """User, password and token: of the configuration, else those in the first URL that has some.

        They count for every server: nats-py would forget those of a URL with the servers that the cluster names.
        """
        config = self.config
        if config.user is None and config.token is None and config.credentials_file is None:
            for parts in map(urlsplit, config.urls):
                if parts.username and parts.password is not None:
                    return unquote(parts.username), unquote(parts.password), None
                if parts.username:
                    return None, None, unquote(parts.username)
        return config.user, config.password, config.token

    @property
    def _address(self) -> str:
        server = self._client._current_server  # noqa: SLF001
        return server.uri.netloc if server else ""

    async def _abandon(self) -> None:
        self._closing = True
        socket = self._client._transport  # noqa: SLF001
        if socket is not None and not self._client.is_connected:
            # after a failed TLS handshake asyncio never reports this one closed, and nats-py would wait for it
            socket.close()  # type: ignore[no-untyped-call]
            self._client._transport = None  # noqa: SLF001
        with suppress(Exception):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._client.close()
        self._client.abort()

    async def close(self) -> None:
        """Send what is queued, then close. Safe to repeat."""
        if self._closing:
            return
        if self._client.is_connected:
            self._write_out()
            with suppress(nats.errors.Error, TimeoutError, OSError):
                await self._client.flush(timeout=2)
        for task in self._retired:
            task.cancel()
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

    def on_refusal(self, listener: Callable[[str, str], None]) -> None:
        """Call ``listener`` with the subject, in lower case, and the server's words when it refuses a publish."""
        self._complaints.on_refused_publish(listener)

    async def on_new_leader(self, stream: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` when a cluster has elected a leader for a stream. Returns the function that stops this.

        What the former leader has stored and not republished any more is then only to be found in the stream.
        """
        key = next(self._listener_ids)
        self._leader_listeners[key] = (stream, listener)
        if self.is_clustered and not self._watches_leaders:
            self._watches_leaders = True
            try:
                await self.subscribe(f"{_LEADER_ELECTED}.*", self._on_leader)
            except TransportUnavailableError as exc:
                self._watches_leaders = False
                logger.warning("nats: tails are not told of new leaders: %s", exc)
        return lambda: self._leader_listeners.pop(key, None) and None

    def _on_leader(self, msg: Msg) -> None:
        stream = msg.subject[len(_LEADER_ELECTED) + 1 :]
        for wanted, listener in list(self._leader_listeners.values()):
            if wanted == stream:
                listener()

    @property
    def is_clustered(self) -> bool:
        """Whether the server belongs to a cluster, where a replica may lag behind its leader."""
        return "cluster" in self._client._server_info  # noqa: SLF001

    def new_inbox(self) -> str:
        """A subject prefix that nobody else uses, for a subscription of one's own."""
        return self._client.new_inbox()

    @property
    def unsent_bytes(self) -> int:
        """What is written and has not left this machine."""
        return sum(map(len, self._outgoing)) + self._client.unsent_bytes

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
        if outgoing and socket is not None and self._client.is_connected and not self._client.is_socket_closing:
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

    def _on_reply(self, msg: Msg) -> None:
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
        """One request, several replies: all up to and with the first for which ``until`` is true.

        ``timeout`` is how long nothing may come.
        """
        if self.is_closed:
            raise TransportClosedError("the transport is closed")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        silence = self.config.request_timeout if timeout is None else timeout
        timer: asyncio.Timeout | None = None
        replies: list[Msg] = []

        def on_reply(msg: Msg) -> None:
            replies.append(msg)
            if timer is not None and not timer.expired():
                timer.reschedule(loop.time() + silence)  # a slow link is no silence
            if not done.done() and (status_of(msg) == "503" or until(msg)):
                done.set_result(None)

        reply = self.expect(on_reply)
        try:
            with self._complaints.failing(done, "publish", subject):
                async with asyncio.timeout(silence) as timer:
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

        async def attempt(timeout: float) -> bytes:
            data = (await self.request(_API + endpoint, payload, timeout=timeout)).data
            error = _error_decoder.decode(data).error
            if error is not None:
                raise ApiError(error)
            return data

        return await self.retrying(attempt)

    async def retrying(self, attempt: Callable[[float], Awaitable[T]]) -> T:
        """Repeat an idempotent request until it is answered or ``request_timeout`` is over.

        A reply that a lost connection swallowed never comes, so an attempt gets a part of the time only. What the
        server has said counts for more than that the last attempt was not answered.
        """
        deadline = time.monotonic() + self.config.request_timeout
        refusal: Exception | None = None
        while True:
            left = deadline - time.monotonic()
            try:
                return await attempt(min(left, self.config.retry_after))
            except (TimeoutError, nats.errors.OutboundBufferLimitError, NoRespondersError, ApiError) as exc:
                if isinstance(exc, ApiError) and exc.err_code not in PASSING:
                    raise
                refusal = exc if refusal is None or not isinstance(exc, TimeoutError) else refusal
                if time.monotonic() + 0.05 >= deadline:
                    raise refusal from exc.__cause__
                await asyncio.sleep(0.05)

    async def flush(self) -> None:
        """Return once the server has processed everything written before."""
        with translated("flush"):
            self._write_out()
            # a PING that went down with its connection is never answered: try again on the next one
            await self.retrying(self._ping)

    async def _ping(self, timeout: float) -> None:
        async with asyncio.timeout(timeout):
            while not self._client.is_connected:  # nats-py would return at once, as if all were well
                if self.is_closed:
                    raise TransportClosedError("the transport is closed")
                await asyncio.sleep(0.01)
            await self._client.flush(timeout=60)

    async def subscribe(self, subject: str, handler: Callable[[Msg], None]) -> Subscription:
        """A core subscription that survives reconnects; it stands on the server when this returns.

        ``handler`` is called within the reading of the connection: what takes time belongs into a task.
        """
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._complaints.failing(refused, "subscription", subject), translated(f"subscribe to {subject}"):
            subscription = await self._client.subscribe_at_once(subject, handler)
            try:
                await self.flush()
            except BaseException:  # nobody will give it up
                self._in_background(self.unsubscribe([subscription]))
                raise
            if refused.done():
                await self.unsubscribe([subscription])
                refused.result()
        return subscription

    async def unsubscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Give subscriptions up; never raises."""
        for subscription in subscriptions:
            with suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()

    async def retire(self, subscription: Subscription) -> None:
        """Give a subscription up, but go on handling what the server has already sent to it; never raises.

        The server may deliver a moment after it has processed the UNSUB and answered a PING behind it: whoever looked
        the subscription up before still sends. Such a message must not fall on the floor, so our end stays open for a
        while.
        """
        if not self.is_connected:
            await self.unsubscribe([subscription])
            return
        self.write(b"UNSUB %d\r\n" % subscription._id)  # noqa: SLF001
        with suppress(TransportError, TimeoutError):
            async with asyncio.timeout(_RETIRE_TIMEOUT):
                await self.flush()
        self._in_background(self._forget_later(subscription))

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="gbe.nats.retired")
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

    async def _forget_later(self, subscription: Subscription) -> None:
        await asyncio.sleep(_RETIRED_FOR)
        await self.unsubscribe([subscription])
