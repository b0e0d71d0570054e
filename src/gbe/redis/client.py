"""``RedisClient``: commands to the node that owns their slot, retried through whatever passes by itself."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from hiredis import ReplyError

from gbe.redis.call import Call
from gbe.redis.config import Address, RedisConfig
from gbe.redis.errors import REFUSED, LinkLostError, RedisRefusedError, RedisUnavailableError, code_of
from gbe.redis.link import Link
from gbe.redis.protocol import Argument, pack
from gbe.redis.scripts import Script
from gbe.redis.topology import Topology, slot_of

logger = logging.getLogger(__name__)

MINIMUM_VERSION: Final = (7, 0, 0)
_LOOK_PAUSE: Final = 0.1  # between two looks at the map of a cluster that is not complete
_CLUSTER_SLOTS: Final = pack("CLUSTER", "SLOTS")


class RedisClient:
    """A server or a cluster; open it with ``await RedisClient.open(config)``.

    All methods may be called from many tasks of one event loop. Deadlines are the caller's: until then lost
    connections, redirects (``MOVED``, ``ASK``), ``TRYAGAIN``, ``CLUSTERDOWN``, ``LOADING``, ``READONLY``,
    ``MASTERDOWN``, ``UNBLOCKED`` and an emptied script cache are nobody else's concern. A command whose connection
    was lost is sent again, so it may be carried out twice: callers send what bears that.
    """

    def __init__(self, config: RedisConfig) -> None:
        self.config = config
        self.is_cluster = config.endpoint.is_cluster
        self.server_version: tuple[int, ...] = (0, 0, 0)
        self._seeds = config.endpoint.addresses
        self.topology = Topology(None if self.is_cluster else self._seeds[0])
        self._links: dict[Address, Link] = {}
        self._waiting_links: dict[Address, Link] = {}  # on which WAIT holds up nobody but those who publish
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed_at = float("-inf")
        self._clock_offset = 0.0
        self._closed = False
        self.on_lost: Callable[[], None] = lambda: None  # a connection has ended: its server may have forgotten things

    @classmethod
    async def open(cls, config: RedisConfig) -> Self:
        """Connect and check the server.

        Raises:
            RedisUnavailableError: nobody answered within ``connect_timeout``.
            RedisRefusedError: wrong credentials, an old version, a cluster where a single server was named or the
                other way round.
        """
        client = cls(config)
        try:
            await client._check()
        except BaseException:
            await client.close()
            raise
        return client

    async def _check(self) -> None:
        limit = time.monotonic() + self.config.connect_timeout
        if self.is_cluster:
            await self._first_look(limit)
        info = _info(await self.call_anywhere("INFO", timeout=limit - time.monotonic()))
        self.server_version = tuple(int(part) for part in info.get("redis_version", "0").split(".")[:3])
        if self.server_version < MINIMUM_VERSION:
            raise RedisRefusedError(
                f"Redis {info.get('redis_version')} is too old: gbe needs 7.0 or newer (or Valkey 7.2)"
            )
        has_cluster = info.get("cluster_enabled") == "1"
        if has_cluster and not self.is_cluster:
            raise RedisRefusedError("this server is part of a cluster: name it as redis+cluster:// (rediss+cluster://)")
        if not self.is_cluster and info.get("role") == "slave":
            raise RedisRefusedError("this server is a replica, which stores nothing: name its master")
        if not self.is_cluster:
            self.topology.replicas = int(info.get("connected_slaves", "0"))
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction" and info.get("maxmemory", "0") != "0":
            logger.warning("Redis may drop what is stored: its maxmemory-policy is %s, set it to noeviction", policy)
        await self.measure_clock(limit - time.monotonic())

    async def measure_clock(self, timeout: float) -> None:
        """Learn how far the server's clock is from ours: from the one that nobody can set."""
        before = time.monotonic()
        seconds, micros = await self.call_anywhere("TIME", timeout=timeout)
        self._clock_offset = int(seconds) + int(micros) / 1e6 - (before + time.monotonic()) / 2

    def now_ms(self) -> int:
        """The server's wall-clock time, as near as we know it, unix milliseconds."""
        return int((time.monotonic() + self._clock_offset) * 1000)

    async def close(self) -> None:
        """Close every connection; what waits fails with ``RedisClosedError``. Safe to repeat."""
        self._closed = True
        if self._refreshing is not None:
            self._refreshing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._refreshing
        await asyncio.gather(*(link.close() for link in (*self._links.values(), *self._waiting_links.values())))

    # -- commands

    async def call(self, *command: Argument, slot: int | None = None, timeout: float | None = None) -> Any:
        """Carry out one command on the node that owns ``slot`` (``None``: the slot of the first argument, a key).

        Raises:
            RedisUnavailableError: not before the deadline, ``timeout`` seconds from now (``request_timeout``).
            RedisRefusedError, RedisFullError, RedisClosedError: see there.
            hiredis.ReplyError: any other error that the server answers with.
        """
        return await self.start(*command, slot=slot).result(self._deadline(timeout))

    def start(self, *command: Argument, slot: int | None = None) -> Call:
        """Send a command off at once, to where ``call`` sends it; ``finish`` waits for the answer."""
        number = slot_of(_bytes(command[1])) if slot is None else slot
        return Call(self, command, lambda: self.topology.owner(number), slot=number)

    async def finish(self, call: Call, timeout: float | None = None) -> Any:
        """The answer to a command that was sent off, ``timeout`` seconds from now at the latest; raises as ``call``."""
        return await call.result(self._deadline(timeout))

    async def call_on(self, address: Address, *command: Argument, timeout: float | None = None) -> Any:
        """Carry out one command on one node, whatever it owns; raises as ``call`` does."""
        return await Call(self, command, lambda: address).result(self._deadline(timeout))

    async def call_anywhere(self, *command: Argument, timeout: float | None = None) -> Any:
        """Carry out one command on some node; raises as ``call`` does."""
        return await Call(self, command, self._any_address).result(self._deadline(timeout))

    async def run(
        self,
        script: Script,
        keys: Sequence[bytes],
        arguments: Sequence[Argument] = (),
        *,
        timeout: float | None = None,
        replicas: int = 0,
    ) -> Any:
        """Run a script on the node that owns its keys, which lie in one slot; raises as ``call`` does.

        ``replicas`` as in ``begin``.
        """
        return await self.begin(script, keys, arguments, slot_of(keys[0]), replicas).result(self._deadline(timeout))

    def begin(
        self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument], slot: int, replicas: int = 0
    ) -> Call:
        """Send a script off at once; ``result`` of what is returned is the answer.

        With ``replicas`` the answer counts once so many replicas of that node have what the script wrote.
        """
        command = ("EVALSHA", script.sha, len(keys), *keys, *arguments)
        return Call(self, command, lambda: self.topology.owner(slot), slot=slot, script=script, replicas=replicas)

    def _deadline(self, timeout: float | None) -> float:
        return asyncio.get_running_loop().time() + (self.config.request_timeout if timeout is None else timeout)

    # -- for calls

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def link(self, address: Address, use: str = "") -> Link:
        """The link to a node, shared by all of one use."""
        links = self._links if not use else self._waiting_links
        found = links.get(address)
        if found is None:
            found = links[address] = Link(self.config, address, self._lost)
        return found

    def _lost(self) -> None:
        self.on_lost()  # whatever it is by now

    def wait_command(self, replicas: int) -> bytes:
        """``WAIT`` for less time than a connection may be silent; it is asked again, and says how many are behind."""
        return pack("WAIT", replicas, max(1, round(self.config.stall_timeout * 500)))

    def moved(self, slot: int, owner: Address) -> None:
        """A node says who owns a slot now."""
        self.topology.move(slot, owner)
        self.refresh_soon()

    def _any_address(self) -> Address | None:
        candidates = self.topology.masters or self._seeds
        up = [address for address in candidates if address in self._links and self._links[address].is_up]
        return random.choice(up or candidates)  # noqa: S311  no secret

    # -- the cluster's map

    def refresh_soon(self) -> None:
        """Look at the cluster's map again, in the background and not too often; nothing to do for one server."""
        if self.is_cluster and not self._closed and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh(), name="gbe.redis.topology")

    async def _first_look(self, limit: float) -> None:
        """Wait for a map in which every slot has an owner."""
        errors: list[Exception] = []
        while time.monotonic() < limit:
            errors.clear()
            if await self._look(errors) and self.topology.is_complete:
                return
            refusals = [error for error in errors if isinstance(error, RedisRefusedError)]
            if refusals:
                raise refusals[0]
            await asyncio.sleep(_LOOK_PAUSE)
        reason = str(errors[0]) if errors else "not every slot of the cluster is served"
        raise RedisUnavailableError(reason, maybe_done=False)

    async def _refresh(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._refreshed_at + _LOOK_PAUSE - loop.time()))
        self._refreshed_at = loop.time()
        errors: list[Exception] = []
        if not await self._look(errors):
            logger.warning("no node of the Redis cluster answers: %s", errors[0] if errors else "no address is known")

    async def _look(self, errors: list[Exception]) -> bool:
        """Ask for the map, one node after the other."""
        known = [*self.topology.masters, *self.topology.nodes, *self._seeds]
        asked: set[Address] = set()
        for address in sorted(known, key=lambda one: not (one in self._links and self._links[one].is_up)):
            if address in asked:
                continue
            asked.add(address)
            try:
                async with asyncio.timeout(self.config.stall_timeout):
                    reply = await self.link(address).send(_CLUSTER_SLOTS)
            except (LinkLostError, RedisRefusedError, TimeoutError) as exc:
                errors.append(exc)
                continue
            if isinstance(reply, ReplyError):
                errors.append(self._no_cluster(address, reply))
                continue
            topology = Topology.parse(reply, address)
            if topology.masters:
                self.topology = topology
                await self._drop_links_that_left()
                return True
            errors.append(RedisUnavailableError(f"Redis at {address} knows no slots", maybe_done=False))
        return False

    def _no_cluster(self, address: Address, reply: ReplyError) -> Exception:
        if "cluster support disabled" in str(reply):
            return RedisRefusedError(f"Redis at {address} is no cluster: name it as redis:// (rediss://)")
        if code_of(reply) in REFUSED:
            return RedisRefusedError(f"Redis at {address}: {reply}")
        return RedisUnavailableError(f"Redis at {address}: {reply}", maybe_done=False)

    async def _drop_links_that_left(self) -> None:
        stay = {*self.topology.nodes, *self._seeds}
        for links in (self._links, self._waiting_links):
            for address in [address for address in links if address not in stay]:
                await links.pop(address).close()


def _bytes(argument: Argument) -> bytes:
    return argument if isinstance(argument, bytes) else str(argument).encode()


def _info(reply: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {key: value for key, colon, value in lines if colon}
