"""One command on its way, through whatever passes by itself: lost connections, redirects, a server that is loading."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from hiredis import ReplyError

from gbe.redis.config import Address
from gbe.redis.errors import (
    FULL,
    PASSING,
    PASSING_AFTER_REFRESH,
    REFUSED,
    SCRIPT_MET_MIGRATION,
    LinkLostError,
    RedisClosedError,
    RedisFullError,
    RedisRefusedError,
    RedisUnavailableError,
    code_of,
)
from gbe.redis.link import Link
from gbe.redis.protocol import Argument, Reply, pack, pack_all
from gbe.redis.scripts import Script

Route = Callable[[], Address | None]
"""Says which node to ask, or ``None`` if none is known at this moment."""

_ASKING: Final = pack("ASKING")
_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.5


class Network(Protocol):
    """What a call needs of its client."""

    @property
    def is_closed(self) -> bool: ...

    def link(self, address: Address, use: str = "") -> Link: ...

    def wait_command(self, replicas: int) -> bytes: ...

    def moved(self, slot: int, owner: Address) -> None: ...

    def refresh_soon(self) -> None: ...


class Call:
    """A command, where it goes, and what has become of it so far.

    Making one sends it, at once; ``result`` waits and does what is needed. A command whose connection was lost is sent
    again, so it may be carried out twice: callers send what bears that.

    Args:
        network: the client.
        command: the words.
        route: which node to ask; asked before each attempt.
        slot: of its keys, if it has keys: then a node may say that it moved.
        script: if it is an ``EVALSHA`` of this script, which a server may have forgotten.
        replicas: how many must have what it writes before it counts as done.
    """

    __slots__ = (
        "_address",
        "_command",
        "_future",
        "_is_asking",
        "_maybe_done",
        "_network",
        "_packed",
        "_pause",
        "_reason",
        "_redirect",
        "_replicas",
        "_route",
        "_script",
        "_slot",
        "_waiting",
    )

    def __init__(
        self,
        network: Network,
        command: Sequence[Argument],
        route: Route,
        *,
        slot: int | None = None,
        script: Script | None = None,
        replicas: int = 0,
    ) -> None:
        self._network, self._command, self._route = network, command, route
        self._slot, self._script, self._replicas = slot, script, replicas
        self._packed = pack_all(command)
        self._maybe_done, self._reason, self._pause = False, "", 0.0
        self._redirect: Address | None = None
        self._is_asking = False
        self._address: Address | None = None
        self._future: asyncio.Future[Reply] | None = None
        self._waiting: asyncio.Future[Reply] | None = None
        if not network.is_closed:
            self._send()

    def _send(self) -> None:
        """One attempt; there is none under way if no node is known."""
        self._future = self._waiting = None
        self._address, self._redirect = self._redirect or self._route(), None
        if self._address is None:
            self._network.refresh_soon()
            return
        link = self._network.link(self._address, self._use)
        if self._is_asking:
            link.send(_ASKING).add_done_callback(_seen)
            self._is_asking = False
        self._future = link.send(self._packed)
        if self._replicas:
            self._waiting = link.send(self._network.wait_command(self._replicas))
            self._waiting.add_done_callback(_seen)  # nobody asks for it if the command itself was lost

    @property
    def _use(self) -> str:
        """Which of the links to a node it goes over."""
        return "wait" if self._replicas else ""

    def may_be_left(self) -> "Call":
        """Perhaps nobody asks for the answer: then it is no news that the connection was lost. Returns itself."""
        if self._future is not None:
            self._future.add_done_callback(_seen)
        return self

    @property
    def maybe_done(self) -> bool:
        """Whether an attempt was sent of which nobody knows what became: what a later one says leaves that open."""
        return self._maybe_done

    async def result(self, deadline: float, *, timed: bool = True) -> Reply:
        """The answer, before ``deadline`` (of the loop's clock).

        Without ``timed`` an attempt that is under way is waited for until its connection is given up, which may be
        some seconds later: for callers that keep their own time.

        Raises:
            RedisUnavailableError, RedisRefusedError, RedisFullError, RedisClosedError: see there.
            hiredis.ReplyError: any other error that the server answers with.
        """
        loop = asyncio.get_running_loop()
        while True:
            if self._network.is_closed:
                raise RedisClosedError("the client is closed")
            if self._future is not None:
                if not timed:
                    reply, is_done = await self._answer()
                else:
                    try:
                        async with asyncio.timeout_at(deadline):
                            reply, is_done = await self._answer()
                    except TimeoutError:
                        # one that waits for a connection was not sent
                        self._maybe_done = self._maybe_done or self._is_connected()
                        self._reason = self._reason or f"Redis at {self._address} did not answer in time"
                        break
                if is_done:
                    return reply
            else:
                self._slow_down()
            if self._pause:
                # not all at once, when many wait for the same thing
                pause = self._pause * random.uniform(0.7, 1.3)  # noqa: S311  no secret
                if loop.time() + pause >= deadline:
                    break
                await asyncio.sleep(pause)
            self._send()
        raise RedisUnavailableError(self._reason or "no node serves it", maybe_done=self._maybe_done)

    def _is_connected(self) -> bool:
        return self._address is not None and self._network.link(self._address, self._use).is_up

    async def _answer(self) -> tuple[Reply, bool]:
        """The answer to the attempt under way, and whether it is the last word."""
        assert self._future is not None  # noqa: S101  asked by the caller
        try:
            reply = await self._future
            having = await self._waiting if self._waiting is not None else self._replicas
        except LinkLostError as exc:
            self._maybe_done, self._reason = self._maybe_done or exc.sent, str(exc)
            self._network.refresh_soon()
            self._slow_down()
            return None, False
        if isinstance(reply, ReplyError):
            self._consider(reply)
            return None, False
        if not isinstance(having, ReplyError) and having >= self._replicas:
            return reply, True
        self._maybe_done, self._reason = True, f"{having} of {self._replicas} replicas have it"
        self._slow_down()
        return None, False

    def _consider(self, reply: ReplyError) -> None:
        """What to do about an error reply; raises if it is final."""
        assert self._address is not None  # noqa: S101  it has answered
        code = code_of(reply)
        if code == "MOVED" and self._slot is not None:
            self._redirect = _redirected(reply, self._address)
            self._network.moved(self._slot, self._redirect)
            # right away, unless nodes disagree for longer
            self._pause = min(2 * self._pause, _LONGEST_PAUSE) if self._pause else _FIRST_PAUSE / 10
        elif code == "ASK":
            self._redirect, self._is_asking, self._pause = _redirected(reply, self._address), True, 0.0
        elif code == "NOSCRIPT" and self._script is not None:
            self._packed, self._pause = pack("EVAL", self._script.source, *self._command[2:]), 0.0
        elif code in PASSING or SCRIPT_MET_MIGRATION in str(reply):
            if code in PASSING_AFTER_REFRESH:
                self._network.refresh_soon()
            if code == "READONLY":
                # it has become a replica, and its name may be another server's by now
                self._network.link(self._address, self._use).retire()
            self._reason = f"Redis at {self._address}: {reply}"
            self._slow_down()
        elif code in REFUSED:
            raise RedisRefusedError(f"Redis at {self._address}: {reply}") from reply
        elif code in FULL:
            raise RedisFullError(f"Redis at {self._address}: {reply}") from reply
        else:
            raise reply

    def _slow_down(self) -> None:
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)


def _redirected(reply: ReplyError, asked: Address) -> Address:
    """``MOVED 3999 127.0.0.1:6381``; an empty host is the one that was asked."""
    host, _, port = str(reply).split(" ")[2].rpartition(":")
    return Address(host or asked.host, int(port))


def _seen(future: "asyncio.Future[Reply]") -> None:
    if not future.cancelled():
        future.exception()
