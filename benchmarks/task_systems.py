"""The task systems that ``bench_tasks`` compares, each with a no-op task: submitter and worker as processes.

``python -m benchmarks.task_systems submit SYSTEM URL FOLDER fill|ping COUNT``
``python -m benchmarks.task_systems work SYSTEM URL FOLDER COUNT``
"""

import asyncio
import contextlib
import gc
import json
import logging
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Final

import uvloop

IN_FLIGHT: Final = 256
PING_INTERVAL: Final = 0.01


def calm_gc() -> None:
    """As ``gbe worker`` does it: what is loaded is not looked through again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5000, 10, 20)


class System(ABC):
    """One task system on one engine."""

    def __init__(self, url: str) -> None:
        self.url = url

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def submit(self, number: int) -> Any: ...

    @abstractmethod
    async def result(self, handle: Any) -> None: ...

    async def ask(self, number: int) -> None:
        """Submit and wait for the result, in the way that users of the system do."""
        await self.result(await self.submit(number))

    async def close(self) -> None:
        """Let go of the engine, where that takes a call."""
        return

    @abstractmethod
    async def work(self, on_done: Callable[[], None]) -> None:
        """Work until cancelled."""


class Gbe(System):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        from gbe.app import App
        from gbe.config import load

        self.app = App(settings=load(None, environment={}, flags={"transport": url}))
        self.on_done: Callable[[], None] = lambda: None

        @self.app.task("noop")
        async def noop(number: int) -> int:
            return number

    async def open(self) -> None:
        await self.app.client()

    async def submit(self, number: int) -> Any:
        return await self.app.submit("noop", number=number)

    async def result(self, handle: Any) -> None:
        await handle.result(timeout=30)

    async def close(self) -> None:
        await self.app.close()

    async def work(self, on_done: Callable[[], None]) -> None:
        class Count:
            def started(self, *_: object) -> None: ...

            def ended(self, *_: object) -> None:  # its end is stored
                on_done()

        from gbe.tasks.config import WorkerConfig

        worker = await self.app.worker(WorkerConfig(concurrency=IN_FLIGHT), Count())
        await worker.run(asyncio.Event())


class Taskiq(System):
    def _broker(self) -> Any:
        from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

        backend: Any = RedisAsyncResultBackend(self.url, result_ex_time=3600)
        return RedisStreamBroker(self.url).with_result_backend(backend)

    async def open(self) -> None:
        self.broker: Any = self._broker()
        self.on_done: Callable[[], None] = lambda: None

        @self.broker.task(task_name="noop")  # type: ignore[untyped-decorator, unused-ignore]
        async def noop(number: int) -> int:
            return number

        self.noop: Any = noop

    async def submit(self, number: int) -> Any:
        if not getattr(self, "started", False):
            self.started = True
            await self.broker.startup()
        return await self.noop.kiq(number)

    async def result(self, handle: Any) -> None:
        await handle.wait_result(check_interval=0.001, timeout=30)

    async def work(self, on_done: Callable[[], None]) -> None:
        from taskiq import TaskiqMiddleware
        from taskiq.receiver import Receiver

        class Count(TaskiqMiddleware):  # type: ignore[misc, unused-ignore]
            def post_save(self, *_: object) -> None:
                on_done()

        self.broker.add_middlewares(Count())
        self.broker.is_worker_process = True
        await Receiver(self.broker, max_async_tasks=IN_FLIGHT, max_prefetch=IN_FLIGHT).listen(asyncio.Event())


class TaskiqOnNats(Taskiq):
    def _broker(self) -> Any:
        from taskiq_nats import NATSObjectStoreResultBackend, PullBasedJetStreamBroker

        backend: Any = NATSObjectStoreResultBackend(self.url)
        broker: Any = PullBasedJetStreamBroker(self.url)  # a batch would wait until it is full
        return broker.with_result_backend(backend)


class Saq(System):
    async def open(self) -> None:
        from saq import Queue

        self.queue: Any = Queue.from_url(self.url)
        await self.queue.connect()

    async def submit(self, number: int) -> Any:
        return await self.queue.enqueue("noop", number=number)

    async def result(self, handle: Any) -> None:
        await handle.refresh(until_complete=30)

    async def ask(self, number: int) -> None:
        await self.queue.apply("noop", timeout=30, number=number)

    async def work(self, on_done: Callable[[], None]) -> None:
        from saq import Worker

        async def noop(_context: Any, *, number: int) -> int:
            return number

        async def after(_context: Any) -> None:
            on_done()

        worker: Any = Worker(self.queue, functions=[("noop", noop)], concurrency=IN_FLIGHT, after_process=after)
        await worker.start()


class Docket(System):
    async def open(self) -> None:
        from docket import Docket as Client

        self.docket: Any = Client(name="bench", url=self.url)
        await self.docket.__aenter__()
        self.docket.register(noop)

    async def submit(self, number: int) -> Any:
        return await self.docket.add(noop)(number)

    async def result(self, handle: Any) -> None:
        await handle.get_result()

    async def work(self, on_done: Callable[[], None]) -> None:
        from docket import Worker

        _listeners.append(on_done)
        async with Worker(self.docket, concurrency=IN_FLIGHT) as worker:
            await worker.run_forever()


class Streaq(System):
    async def open(self) -> None:
        from streaq import Worker

        self.worker: Any = Worker(redis_url=self.url, concurrency=IN_FLIGHT)
        self.noop: Any = self.worker.task(name="noop")(noop)
        self.context: Any = None

    async def submit(self, number: int) -> Any:
        if self.context is None:
            self.context = self.worker
            await self.worker.__aenter__()
        return await self.noop.enqueue(number)

    async def result(self, handle: Any) -> None:
        await handle.result(30)

    async def work(self, on_done: Callable[[], None]) -> None:
        _listeners.append(on_done)
        await self.worker.run_async()


_listeners: list[Callable[[], None]] = []


async def noop(number: int) -> int:
    """Of systems that do not say when a result is stored, the end of the function counts: a little in their favour."""
    for listener in _listeners:
        listener()
    return number


SYSTEMS: Final[dict[str, Callable[[str], System]]] = {
    "gbe": Gbe,
    "taskiq": Taskiq,
    "taskiq-nats": TaskiqOnNats,
    "saq": Saq,
    "docket": Docket,
    "streaq": Streaq,
}


async def submit(system: System, what: str, count: int) -> dict[str, float]:
    """Fill the queue, one at a time and many at once; or ask for results at a steady pace."""
    await system.open()
    if what == "ping":
        return await _ping(system, count)
    one = min(count // 10, 1000)
    started = time.perf_counter()
    for number in range(one):
        await system.submit(number)
    single = one / (time.perf_counter() - started)
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def submit_one(number: int) -> None:
        async with slots:
            await system.submit(number)

    started = time.perf_counter()
    await asyncio.gather(*(submit_one(number) for number in range(count - one)))
    return {"submit_one": single, "submit_many": (count - one) / (time.perf_counter() - started)}


async def _ping(system: System, count: int) -> dict[str, float]:
    taken: list[float] = []

    async def ask(number: int) -> None:
        started = time.perf_counter()
        await system.ask(number)
        taken.append(1000 * (time.perf_counter() - started))

    for number in range(20):  # connections and caches
        await ask(number)
    taken.clear()
    asking: list[Awaitable[None]] = []
    began = time.perf_counter()
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number * PING_INTERVAL - time.perf_counter()))
        asking.append(asyncio.ensure_future(ask(number)))
    await asyncio.gather(*asking)
    taken.sort()
    return {"p50": taken[len(taken) // 2], "p99": taken[int(len(taken) * 0.99)]}


async def work(system: System, count: int) -> None:
    """Wait for a word, work, say when ``count`` tasks are done, and go on."""
    await system.open()
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    done = 0

    def on_done() -> None:
        nonlocal done
        done += 1
        if done == count:
            print("done", flush=True)

    calm_gc()
    await system.work(on_done)


def main() -> None:
    """See the module's docstring."""
    logging.basicConfig(level=logging.ERROR)
    role, name, url, _folder, *rest = sys.argv[1:]
    system = SYSTEMS[name](url)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, contextlib.suppress(KeyboardInterrupt):
        if role == "submit":
            found = runner.run(submit(system, rest[0], int(rest[1])))
            runner.run(system.close())
            print(json.dumps(found), flush=True)
        else:
            runner.run(work(system, int(rest[0])))


if __name__ == "__main__":
    main()
