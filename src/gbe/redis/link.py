"""A link to one node: many callers share it, and what they send within one step of the loop leaves in one write."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from gbe.redis.config import Address, RedisConfig
from gbe.redis.connection import PipelinedConnection, connect
from gbe.redis.errors import LinkLostError, RedisRefusedError, described
from gbe.redis.protocol import Reply, pack

logger = logging.getLogger(__name__)

_PING: Final = pack("PING")
_LONGEST_WAIT: Final = 1.0


class Link:
    """Keeps one connection to a node: opened when it is first needed, and again when it is lost and needed.

    Answers come in the order of the commands. A connection that answers nothing for ``stall_timeout`` is given up, so
    that one that is half open does not hold anybody until the deadline.

    Args:
        on_lost: called when a connection has ended.
    """

    def __init__(self, config: RedisConfig, address: Address, on_lost: Callable[[], object]) -> None:
        self.address = address
        self._on_lost = on_lost
        self.is_up = False
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._queue: list[bytes] = []
        self._queued: list[asyncio.Future[Reply]] = []  # of what is in the queue
        self._waiting: deque[asyncio.Future[Reply]] = deque()  # of what was sent
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._heard = 0.0  # when the server last said something, or was first asked after a silence
        self._closed = False
        self._retiring = False  # the present connection is given up when everything is answered

    def send(self, command: bytes) -> asyncio.Future[Reply]:
        """Send a packed command; the answer, or a ``LinkLostError`` if the connection ends before it came.

        An error reply is a result like any other, a ``hiredis.ReplyError``.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()
        if self._closed:
            future.set_exception(LinkLostError(f"the link to {self.address} is closed", sent=False))
            return future
        self._queue.append(command)
        self._queued.append(future)
        if self._task is None:
            self._task = self._loop.create_task(self._run(), name=f"gbe.redis.{self.address}")
        self._wake.set()
        return future

    def drop(self) -> None:
        """Give the present connection up; the next command opens another. For one that is known to lead nowhere."""
        if self._serving is not None:
            self._serving.abort()

    def retire(self) -> None:
        """The same once what was sent is answered: nobody need wonder what became of it. Nothing more is sent there."""
        self._retiring = self._serving is not None
        if not self._waiting:
            self.drop()

    async def close(self) -> None:
        """End the connection; what still waits fails with ``LinkLostError``."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._fail(LinkLostError("the link was closed", sent=True))

    _serving: PipelinedConnection | None = None

    # -- one connection after the other

    async def _run(self) -> None:
        wait = 0.0
        while True:
            if not self._queue:  # nothing is opened that nobody waits for
                self._wake.clear()
                await self._wake.wait()
            try:
                connection = await connect(self._config, self.address)
            except (LinkLostError, RedisRefusedError) as exc:
                self._fail(exc)
                wait = min(max(2 * wait, self._config.reconnect_wait), _LONGEST_WAIT)
                await asyncio.sleep(wait)
                continue
            except Exception as exc:
                # a credential provider is somebody else's code: it may fail now and succeed at the next attempt
                logger.exception("no connection to Redis", extra={"address": str(self.address)})
                self._fail(LinkLostError(f"Redis at {self.address}: {described(exc)}", sent=False))
                await asyncio.sleep(_LONGEST_WAIT)
                continue
            wait = 0.0
            await self._serve(connection)

    async def _serve(self, connection: PipelinedConnection) -> None:
        self.is_up, self._serving, self._retiring = True, connection, False
        watchdog = self._loop.call_later(self._config.stall_timeout / 2, self._watch)
        self._watchdog = watchdog
        writing = self._loop.create_task(self._write(connection), name=f"gbe.redis.write.{self.address}")
        reason = "the server closed the connection"
        try:
            await self._read(connection)
        except (OSError, LinkLostError) as exc:
            reason = described(exc)
        finally:
            self.is_up, self._serving = False, None
            self._watchdog.cancel()
            connection.abort()
            writing.cancel()
            for result in await asyncio.gather(writing, return_exceptions=True):
                if isinstance(result, Exception):  # whatever it is: this task must go on, or nobody connects again
                    logger.error("writing to Redis failed", exc_info=result, extra={"address": str(self.address)})
            self._on_lost()
            self._fail(LinkLostError(f"Redis at {self.address}: {reason}", sent=True))

    _watchdog: asyncio.TimerHandle

    async def _write(self, connection: PipelinedConnection) -> None:
        try:
            while True:
                while not self._queue or self._retiring:
                    self._wake.clear()
                    await self._wake.wait()
                commands, self._queue = self._queue, []
                futures, self._queued = self._queued, []
                if not self._waiting:
                    self._heard = self._loop.time()
                self._waiting.extend(futures)
                connection.write(b"".join(commands) if len(commands) > 1 else commands[0])
                await connection.drain()
        except (OSError, LinkLostError):
            connection.abort()  # the reader sees the end, and says so

    async def _read(self, connection: PipelinedConnection) -> None:
        waiting = self._waiting
        async for replies in connection.replies():
            self._heard = self._loop.time()
            for reply in replies:
                future = waiting.popleft()
                if not future.done():  # its caller may have been cancelled
                    future.set_result(reply)
            if self._retiring and not waiting:
                self.drop()

    def _watch(self) -> None:
        """Twice in each ``stall_timeout``: is anybody there?"""
        stall = self._config.stall_timeout
        self._watchdog = self._loop.call_later(stall / 2, self._watch)
        if not self._waiting:
            if self._loop.time() - self._heard > stall:
                self.send(_PING).add_done_callback(_ignore)
        elif self._loop.time() - self._heard > stall:
            logger.warning("Redis does not answer, connecting anew", extra={"address": str(self.address)})
            self.drop()

    def _fail(self, error: Exception) -> None:
        """The connection is gone: everybody who waits hears of it, and decides what to do."""
        sent, unsent = list(self._waiting), self._queued
        self._waiting.clear()
        self._queue, self._queued = [], []
        for future in sent:
            if not future.done():
                future.set_exception(error)
        reason = error if isinstance(error, RedisRefusedError) else LinkLostError(str(error), sent=False)
        for future in unsent:
            if not future.done():
                future.set_exception(reason)


def _ignore(future: "asyncio.Future[Reply]") -> None:
    if not future.cancelled():
        future.exception()
