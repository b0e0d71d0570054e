"""The state store's engine dies, freezes or cannot be reached in the middle of writes.

What is proved by counting: a change is applied once or not at all, ``update_if`` never denies a change of its own, no
watcher misses the last state of a record, and no deadline is lost.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.counters import NOW, Counters
from tests.engines import NatsProcess
from tests.proxy import TcpProxy
from tests.redis_engines import RedisProcess
from tests.waiting import PATIENCE, eventually, first

from gbe.errors import StateUnavailableError
from gbe.outage import PAUSE
from gbe.redis.config import RedisConfig
from gbe.state.base import Changed, Resynchronised, StateConfig, StateStore
from gbe.state.nats.store import NatsStateStore
from gbe.state.redis.store import RedisStateStore
from gbe.transport.nats.config import NatsConfig

pytestmark = pytest.mark.fault


Process = NatsProcess | RedisProcess


@pytest.fixture(params=["nats", "nats-fsync", "redis"])
def process(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Process]:
    """Every engine that a crash costs nothing."""
    process: Process
    if request.param == "redis":
        process = RedisProcess(tmp_path / "redis", fsync="always")
    else:
        process = NatsProcess(tmp_path / "nats", sync_interval="always" if request.param == "nats-fsync" else "2m")
    with process:
        yield process


@pytest.fixture
async def proxy(process: Process) -> AsyncIterator[TcpProxy]:
    """A way to the engine that can be cut."""
    async with TcpProxy(process.port) as proxy:
        yield proxy


async def open_store(process: Process, port: int | None = None, *, request_timeout: float = 30.0) -> StateStore:
    """A client, straight to the engine or by way of another port."""
    address = f"127.0.0.1:{port or process.port}"
    if isinstance(process, RedisProcess):
        redis = RedisConfig(url=f"redis://{address}", request_timeout=request_timeout, stall_timeout=0.5)
        return await RedisStateStore.open(redis, StateConfig())
    nats = NatsConfig(
        urls=(f"nats://{address}",),
        request_timeout=request_timeout,
        retry_after=0.5,
        reconnect_wait=0.02,
        ping_interval=0.5,
    )
    return await NatsStateStore.open(nats, StateConfig())


async def test_every_change_is_applied_once_over_crashes(process: Process) -> None:
    """The engine is killed and comes back, thrice, under load."""
    async with await open_store(process) as one, await open_store(process) as other:
        counters = Counters([f"gbe.n.{number}" for number in range(3)])
        async with counters.counting([one, other], times=120):
            for target in (100, 300, 500):
                await counters.reached(target)
                await asyncio.to_thread(process.kill)
                await asyncio.to_thread(process.start)
        due = {record.key for record in await one.due("timeout_at", NOW, limit=100)}
        assert due == set(counters.keys)


async def test_every_change_is_applied_once_over_lost_answers(process: Process, proxy: TcpProxy) -> None:
    """The engine goes on, but connections break with answers on the way: nobody is told of what was applied."""
    async with await open_store(process, proxy.port) as one, await open_store(process) as other:
        counters = Counters([f"gbe.n.{number}" for number in range(3)])
        async with counters.counting([one, other], times=150):
            for target in range(40, 1000, 40):
                await counters.reached(target)
                proxy.cut()


async def test_a_silent_connection_is_given_up(process: Process, proxy: TcpProxy) -> None:
    """Half-open: what was sent may have arrived or not."""
    async with await open_store(process, proxy.port) as one, await open_store(process) as other:
        counters = Counters(["gbe.n.1"])
        async with counters.counting([one, other], times=60):
            for target in (80, 240):
                await counters.reached(target)
                proxy.stall()


async def test_without_an_engine_the_caller_is_told(process: Process) -> None:
    """In time, and what may have happened is said."""
    async with await open_store(process, request_timeout=1.0) as store:
        await store.put("gbe.a", {"n": b"1"})
        process.freeze()
        with pytest.raises(StateUnavailableError, match="read before trying again"):
            await store.put("gbe.a", {"n": b"2"})
        with pytest.raises(StateUnavailableError):
            await store.get("gbe.a")
        process.thaw()

        async def is_back() -> bytes | None:
            try:
                return await store.get_field("gbe.a", "n")
            except StateUnavailableError:
                return None

        assert await eventually(is_back, "the engine answers again") in {b"1", b"2"}
        process.kill()
        with pytest.raises(StateUnavailableError):
            await store.put("gbe.a", {"n": b"3"})
        with pytest.raises(StateUnavailableError):
            await store.update_if("gbe.a", {}, {"n": b"3"})
        with pytest.raises(StateUnavailableError):
            await store.due("timeout_at", NOW)


async def test_a_watch_survives_crashes_and_cuts(process: Process, proxy: TcpProxy) -> None:
    """It ends up knowing every record as it is, removed ones too."""
    known: dict[str, dict[str, bytes] | None] = {}
    async with await open_store(process, proxy.port) as watcher, await open_store(process) as writer:

        async def follow(ready: asyncio.Event) -> None:
            async with watcher.watch("gbe") as watch:
                ready.set()
                async for event in watch:
                    assert isinstance(event, Changed), "nothing was lost: there is no need to resynchronise"
                    known[event.key] = event.fields

        ready = asyncio.Event()
        task = asyncio.create_task(follow(ready))
        await ready.wait()
        try:
            for number in range(300):
                await writer.put(f"gbe.w.{number % 40}", {"n": b"%d" % number})
                if number % 40 == 39:
                    await writer.delete(f"gbe.w.{number % 37}")
                if number % 60 == 30:
                    proxy.cut()
                if number == 150:
                    await asyncio.to_thread(process.kill)
                    await asyncio.to_thread(process.start)
            expected = {f"gbe.w.{n}": await writer.get(f"gbe.w.{n}") for n in range(40)}
            await eventually(lambda: task.done() or known == expected, "the watcher knows what is stored")
            assert known == expected
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_watch_that_waits_for_its_engine_fills_no_log(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    """One line as it begins, few while it lasts, one when it is over; then the watch goes on."""
    caplog.set_level("INFO")

    def lines(text: str) -> int:
        return sum(text in record.getMessage() for record in caplog.records)

    async with await open_store(process, request_timeout=0.3) as store, store.watch("gbe") as watch:
        events = aiter(watch)
        await store.put("gbe.a", {"n": b"1"})
        assert isinstance(await first(events), Changed)
        coming = asyncio.create_task(anext(events))
        began = time.monotonic()
        await asyncio.to_thread(process.kill)
        await eventually(lambda: lines("watch waits"), "the outage in the log")
        await eventually(lambda: time.monotonic() > began + 3, "an outage of some seconds")
        await asyncio.to_thread(process.start)
        await eventually(lambda: lines("answers again"), "its end in the log")
        assert lines("watch waits") <= 1 + (time.monotonic() - began) / PAUSE
        async with await open_store(process) as writer:
            await writer.put("gbe.a", {"n": b"2"})
        async with asyncio.timeout(PATIENCE):
            assert await coming == Changed("gbe.a", {"n": b"2"})


async def test_a_watch_says_when_the_engine_lost_everything(process: Process) -> None:
    """Its disk was exchanged: nobody knows what was there. What is written from then on is reported."""
    async with await open_store(process) as watcher, watcher.watch("gbe") as watch:
        events = aiter(watch)
        for number in range(50):
            await watcher.put("gbe.a", {"n": b"%d" % number})
        assert isinstance(await first(events), Changed)
        await asyncio.to_thread(process.kill)
        for part in ("store", "appendonlydir"):
            shutil.rmtree(process.folder / part, ignore_errors=True)
        await asyncio.to_thread(process.start)
        async with await open_store(process) as writer:  # the bucket is made anew
            async with asyncio.timeout(PATIENCE):
                while not isinstance(await anext(events), Resynchronised):
                    pass
            await writer.put("gbe.b", {"n": b"1"})
            async with asyncio.timeout(PATIENCE):
                while await anext(events) != Changed("gbe.b", {"n": b"1"}):
                    pass


async def test_impatience_does_not_drown_a_busy_engine(tmp_path: Path) -> None:
    """Clients that give an attempt far less time than it takes: what they send again must not add up."""
    with NatsProcess(tmp_path / "nats", sync_interval="always") as process:
        config = NatsConfig(urls=(process.url,), request_timeout=30.0, retry_after=0.01)
        async with await NatsStateStore.open(config) as store:
            keys = [f"gbe.a.{number}" for number in range(600)]
            await asyncio.gather(*(store.put(key, {"n": b"0", "timeout_at": b"1"}) for key in keys))
            for step in range(3):
                changes = {"n": b"%d" % (step + 1)}
                applied = await asyncio.gather(*(store.update_if(key, {"n": b"%d" % step}, changes) for key in keys))
                assert all(applied)
            assert {record.fields["n"] async for record in store.scan("gbe")} == {b"3"}
