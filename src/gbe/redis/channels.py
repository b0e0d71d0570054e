"""Sharded publish/subscribe (Redis 7.0): channels lie in slots as keys do, so their traffic stays on one node.

At most once: whoever listens is told when something may have been missed, and looks for itself.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from hiredis import ReplyError

from gbe.outage import Outage
from gbe.redis.client import RedisClient
from gbe.redis.config import Address
from gbe.redis.connection import PipelinedConnection, connect
from gbe.redis.errors import REFUSED, LinkLostError, RedisRefusedError, RedisUnavailableError, code_of
from gbe.redis.protocol import pack
from gbe.redis.topology import slot_of

logger = logging.getLogger(__name__)

Listener = Callable[[bytes | None], None]
"""Called with each message of a channel, at once; with ``None`` when some may have been missed."""

_PING: Final = pack("PING")
_JOIN: Final = "SSUBSCRIBE"
_PART: Final = "SUNSUBSCRIBE"
_LONGEST_WAIT: Final = 1.0


class _Channel:
    """A channel that somebody listens to."""

    __slots__ = ("confirmed", "listeners", "name", "node", "slot")

    def __init__(self, name: bytes) -> None:
        self.name, self.slot = name, slot_of(name)
        self.listeners: list[Listener] = []
        self.node: _Node | None = None
        self.confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell(self, message: bytes | None) -> None:
        for listener in tuple(self.listeners):
            listener(message)


class Channels:
    """All channels that this process listens to: one connection a node, however many channels."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._channels: dict[bytes, _Channel] = {}
        self._nodes: dict[Address, _Node] = {}
        self._orphans: dict[bytes, _Channel] = {}  # nobody is known to serve them at this moment
        self._homing: asyncio.Task[None] | None = None
        self._pause = client.config.reconnect_wait  # doubled at each attempt, until a connection stands
        self._closed = False

    async def listen(self, name: bytes, listener: Listener, timeout: float | None = None) -> None:
        """Call ``listener`` for every message that is published on a channel after this returns, until ``leave``.

        Raises:
            RedisUnavailableError: the channel could not be joined in time; the listener is not kept.
        """
        channel = self.add(name, listener)
        seconds = self._client.config.request_timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(channel.confirmed)
        except BaseException as exc:
            self.leave(name, listener)
            if isinstance(exc, TimeoutError):
                raise RedisUnavailableError("Redis did not confirm a subscription in time", maybe_done=True) from exc
            raise

    def add(self, name: bytes, listener: Listener) -> _Channel:
        """As ``listen``, without waiting: ``confirmed`` of what is returned says when it stands."""
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = _Channel(name)
            self._place(channel)
        channel.listeners.append(listener)
        return channel

    def leave(self, name: bytes, listener: Listener) -> None:
        """Stop calling ``listener``; safe to repeat."""
        channel = self._channels.get(name)
        if channel is None or listener not in channel.listeners:
            return
        channel.listeners.remove(listener)
        if not channel.listeners:
            del self._channels[name]
            self._orphans.pop(name, None)
            if channel.node is not None:
                channel.node.remove(channel)
            if not channel.confirmed.done():
                channel.confirmed.cancel()

    async def close(self) -> None:
        """Listen to nothing more."""
        self._closed = True
        if self._homing is not None:
            self._homing.cancel()
        await asyncio.gather(*(node.close() for node in self._nodes.values()))

    # -- where channels live

    def _place(self, channel: _Channel) -> None:
        address = self._client.topology.owner(channel.slot)
        if address is None:
            self._orphan([channel])
            return
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = _Node(self._client, address, self._orphan, self._connected)
        node.add(channel)

    def _orphan(self, channels: list[_Channel]) -> None:
        """Their node does not serve them, or is gone: look for another, in a while."""
        if self._closed:
            return
        for channel in channels:
            channel.node = None
            if channel.name in self._channels:
                self._orphans[channel.name] = channel
        self._client.refresh_soon()
        if self._orphans and (self._homing is None or self._homing.done()):
            self._homing = asyncio.get_running_loop().create_task(self._home(), name="gbe.redis.channels")

    async def _home(self) -> None:
        while self._orphans:
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, _LONGEST_WAIT)
            orphans, self._orphans = self._orphans, {}
            for channel in orphans.values():
                self._place(channel)
            await asyncio.sleep(0)

    def _connected(self) -> None:
        self._pause = self._client.config.reconnect_wait


class _Node:
    """The connection to one node for the channels that it serves."""

    def __init__(
        self,
        client: RedisClient,
        address: Address,
        orphan: Callable[[list[_Channel]], None],
        connected: Callable[[], None],
    ) -> None:
        self._client, self._address, self._orphan, self._connected = client, address, orphan, connected
        self._channels: dict[bytes, _Channel] = {}
        self._asked: deque[tuple[str, bytes]] = deque()  # what was sent and not answered yet, in this order
        self._outbox: list[bytes] = []
        self._connection: PipelinedConnection | None = None
        self._heard = 0.0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._outage = Outage(
            logger, f"no wake-ups from Redis at {address} for now", f"wake-ups from Redis at {address} again"
        )

    def add(self, channel: _Channel) -> None:
        channel.node = self
        self._channels[channel.name] = channel
        if self._connection is not None:
            self._ask(_JOIN, channel.name)
        self._start()

    def remove(self, channel: _Channel) -> None:
        if self._channels.pop(channel.name, None) is not None and self._connection is not None:
            self._ask(_PART, channel.name)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _start(self) -> None:
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"gbe.redis.channels.{self._address}")

    def _ask(self, command: str, name: bytes) -> None:
        # one command a channel: those of one command would have to share a slot
        self._outbox.append(pack(command, name))
        self._asked.append((command, name))
        self._wake.set()

    async def _run(self) -> None:
        """One connection; when it ends, its channels look for a home again (most often here)."""
        try:
            self._connection = await connect(self._client.config, self._address)
        except (LinkLostError, RedisRefusedError) as exc:
            self._outage.failed(exc)
            self._let_go()
            return
        except Exception:
            logger.exception("no wake-ups from Redis at %s for now", self._address)
            self._let_go()
            return
        self._outage.over()
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        self._asked.clear()
        self._outbox.clear()
        for channel in self._channels.values():
            self._ask(_JOIN, channel.name)
        writing = loop.create_task(self._write(self._connection))
        try:
            await self._read(self._connection)
        except (OSError, LinkLostError) as exc:
            logger.debug("connection for wake-ups lost: %s", exc)
        finally:
            connection, self._connection = self._connection, None
            connection.abort()
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writing
            self._let_go()

    def _let_go(self) -> None:
        channels, self._channels = list(self._channels.values()), {}
        self._orphan(channels)

    async def _write(self, connection: PipelinedConnection) -> None:
        stall = self._client.config.stall_timeout
        loop = asyncio.get_running_loop()
        try:
            while True:
                if not self._outbox:
                    self._wake.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(stall / 2):
                            await self._wake.wait()
                silent = loop.time() - self._heard
                if silent > 2 * stall:
                    logger.warning("Redis does not answer, connecting anew", extra={"address": str(self._address)})
                    connection.abort()
                    return
                if silent > stall / 2:
                    self._outbox.append(_PING)
                outbox, self._outbox = self._outbox, []
                connection.write(b"".join(outbox))
                await connection.drain()
        except (OSError, LinkLostError):
            connection.abort()

    async def _read(self, connection: PipelinedConnection) -> None:
        loop = asyncio.get_running_loop()
        async for replies in connection.replies():
            self._heard = loop.time()
            for reply in replies:
                if isinstance(reply, ReplyError):
                    self._refused(reply)
                    continue
                kind = reply[0] if isinstance(reply, list) else reply
                if kind == b"smessage":
                    channel = self._channels.get(reply[1])
                    if channel is not None:
                        channel.tell(reply[2])
                elif kind == b"ssubscribe":
                    self._confirmed(reply[1])
                elif kind == b"sunsubscribe" and not self._is_answer(_PART, reply[1]):
                    self._moved_away(reply[1])

    def _confirmed(self, name: bytes) -> None:
        self._is_answer(_JOIN, name)
        channel = self._channels.get(name)
        if channel is None:
            return
        self._connected()
        if channel.confirmed.done():
            channel.tell(None)  # it was away for a while
        else:
            channel.confirmed.set_result(None)

    def _refused(self, reply: ReplyError) -> None:
        """``MOVED``, ``CLUSTERDOWN``, ``NOPERM``, …: the answer to the first command that has none."""
        command, name = self._asked.popleft() if self._asked else ("", b"")
        if command != _JOIN:
            return
        channel = self._channels.get(name)
        if code_of(reply) in REFUSED and channel is not None:
            logger.warning("Redis refuses wake-ups: %s", reply, extra={"channel": name.decode(errors="replace")})
            if not channel.confirmed.done():
                channel.confirmed.set_exception(RedisRefusedError(f"Redis at {self._address}: {reply}"))
                channel.confirmed.exception()  # perhaps nobody waits any more
        self._moved_away(name)

    def _moved_away(self, name: bytes) -> None:
        """The channel's slot is served by another node now."""
        channel = self._channels.pop(name, None)
        if channel is not None:
            self._orphan([channel])

    def _is_answer(self, command: str, name: bytes) -> bool:
        if self._asked and self._asked[0] == (command, name):
            self._asked.popleft()
            return True
        return False
