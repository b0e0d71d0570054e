"""A Redis server dies, freezes, forgets or refuses, in the middle of everything; callers go on by themselves."""

import asyncio

import pytest
from tests.faults.redis_faults import Clients, new_load
from tests.redis_engines import RedisProcess

pytestmark = pytest.mark.fault


async def test_nothing_is_lost_when_the_server_is_killed(redis_server: RedisProcess, clients: Clients) -> None:
    """Twice, under load, and started again on its append-only file."""
    load = await new_load(clients)
    async with load.flowing(4000):
        for count in (800, 2400):
            await load.reached(count)
            with load.account.disturbance():
                await asyncio.to_thread(redis_server.kill)
                await asyncio.to_thread(redis_server.start)


async def test_nothing_is_lost_when_the_server_freezes(redis_server: RedisProcess, clients: Clients) -> None:
    """For longer than a connection may be silent: what waits in its sockets is carried out afterwards, and once."""
    load = await new_load(clients)
    async with load.flowing(3000):
        for count in (500, 1800):
            await load.reached(count)
            with load.account.disturbance():
                redis_server.freeze()
                await asyncio.sleep(2.0)
                redis_server.thaw()


async def test_nothing_is_lost_when_all_connections_are_killed(redis_server: RedisProcess, clients: Clients) -> None:
    """``CLIENT KILL``, again and again, the connections for wake-ups included."""
    load = await new_load(clients)
    async with load.flowing(3000):
        for count in range(300, 2700, 600):
            await load.reached(count)
            with load.account.disturbance():
                for kind in ("normal", "pubsub"):
                    await asyncio.to_thread(redis_server.call, "CLIENT", "KILL", "TYPE", kind)


async def test_nothing_is_lost_when_scripts_are_forgotten(redis_server: RedisProcess, clients: Clients) -> None:
    """``SCRIPT FLUSH``: nobody notices."""
    load = await new_load(clients)
    async with load.flowing(3000):
        for count in range(300, 2700, 300):
            await load.reached(count)
            await asyncio.to_thread(redis_server.call, "SCRIPT", "FLUSH")
