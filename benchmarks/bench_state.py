"""The state store against the raw client on the same engine: get, set_fields, update_if, due; the cost of ``due`` as
the number of live records grows; how long a dead holder's lease keeps a successor waiting."""

import asyncio
import contextlib
import itertools
import time
import tracemalloc
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import nats
import psutil
from nats.js.errors import KeyWrongLastSequenceError
from redis.asyncio import Redis
from tests.redis_engines import RedisProcess

from benchmarks.bench_topics import as_sample
from benchmarks.engines import CpuMeter
from benchmarks.harness import Options, Row, Sample, alternate, say
from gbe.redis.config import RedisConfig
from gbe.state.base import StateStore
from gbe.state.lease import Lease
from gbe.state.open import open_nats, open_redis
from gbe.transport.embedded import EmbeddedConfig, EmbeddedEngine
from gbe.transport.nats.config import NatsConfig
from gbe.transport.open import embedded_endpoint

NAME: Final = "state"
RECORDS: Final = 512
DUE: Final = 100
MOST_SECONDS: Final = 1.0
MOST_MEGABYTES: Final = 100.0
TERM: Final = 1.0
MOST_TERMS: Final = 2.0
NOW: Final = 1_790_000_000_000
LATER: Final = NOW + 3_600_000
FIELDS: Final = {
    "state": b"running",
    "task_type": b"email-send",
    "worker": b"worker-17.01J9ZK3V0000000000000000ZZ",
    "attempt": b"1",
    "created_at": b"1790000000000",
    "updated_at": b"1790000000000",
    "params": b'{"to": "somebody@example.net", "template": "welcome", "retries": 3}',
}

Call = Callable[[int], Awaitable[object]]


class Contestant(ABC):
    """One engine with our store and the raw client on it."""

    name: str
    raw_name: str
    expected: bytes  # the state, as the raw client compares it
    store: StateStore
    pid: int

    @abstractmethod
    async def prepare(self, number: int) -> None:
        """Make the raw client's copy of a record."""

    @abstractmethod
    async def get(self, number: int) -> object: ...

    @abstractmethod
    async def set_fields(self, number: int, value: bytes) -> object: ...

    @abstractmethod
    async def update_if(self, number: int, expected: bytes, value: bytes) -> object: ...

    @abstractmethod
    async def due(self) -> int:
        """Read the due records; on engines without an index, records whose keys are known already."""


class OnNats(Contestant):
    """The embedded engine, and nats-py's key-value store: a record is one value, so a change is a read and a write."""

    name, raw_name, expected = "NATS", "nats-py kv", b"state=running"

    def __init__(self, store: StateStore, pid: int, bucket: Any) -> None:
        self.store, self.pid, self._bucket = store, pid, bucket

    async def prepare(self, number: int) -> None:
        await self._bucket.put(f"r.{number}", b"state=running" + FIELDS["params"] * 3)

    async def get(self, number: int) -> object:
        return await self._bucket.get(f"r.{number}")

    async def set_fields(self, number: int, value: bytes) -> object:
        return await self.update_if(number, b"state=running", value)

    async def update_if(self, number: int, expected: bytes, value: bytes) -> object:
        while True:
            entry = await self._bucket.get(f"r.{number}")
            if not entry.value.startswith(expected):
                return False
            with contextlib.suppress(KeyWrongLastSequenceError):
                return await self._bucket.update(f"r.{number}", entry.value[:200] + value, entry.revision)

    async def due(self) -> int:
        return len(await asyncio.gather(*(self._bucket.get(f"r.{number}") for number in range(DUE))))


class OnRedis(Contestant):
    """One Redis, and redis-py: hashes, a script to compare and set, a sorted set of deadlines."""

    name, raw_name, expected = "Redis", "redis-py", b"running"

    def __init__(self, store: StateStore, pid: int, raw: Any) -> None:
        self.store, self.pid, self._raw = store, pid, raw
        self._script = raw.register_script(
            "if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end "
            "redis.call('HSET', KEYS[1], ARGV[3], ARGV[4]) return 1"
        )

    async def prepare(self, number: int) -> None:
        await self._raw.hset(f"raw:{number}", mapping=FIELDS)
        await self._raw.zadd("raw:due", {f"raw:{number}": NOW - number if number < DUE else LATER})

    async def get(self, number: int) -> object:
        return await self._raw.hgetall(f"raw:{number}")

    async def set_fields(self, number: int, value: bytes) -> object:
        return await self._raw.hset(f"raw:{number}", mapping={"updated_at": value, "worker": FIELDS["worker"]})

    async def update_if(self, number: int, expected: bytes, value: bytes) -> object:
        return await self._script(keys=[f"raw:{number}"], args=["state", expected, "updated_at", value])

    async def due(self) -> int:
        keys = await self._raw.zrangebyscore("raw:due", "-inf", NOW, start=0, num=DUE)
        pipeline = self._raw.pipeline(transaction=False)
        for key in keys:
            pipeline.hgetall(key)
        return len(await pipeline.execute())


@contextlib.asynccontextmanager
async def on_nats(folder: Path) -> AsyncIterator[Contestant]:
    """As `gbe serve` runs it, with the fast choice of durability."""
    async with EmbeddedEngine(folder, EmbeddedConfig(durability="interval")) as engine:
        attachment = engine.attachment
        config = NatsConfig(**embedded_endpoint(folder), request_timeout=60.0)  # type: ignore[arg-type]
        async with await open_nats(config) as store:
            raw = await nats.connect(list(attachment.urls), user=attachment.user, password=attachment.password)
            try:
                bucket = await raw.jetstream().create_key_value(bucket="raw")
                yield OnNats(store, attachment.pid, bucket)
            finally:
                await raw.close()


@contextlib.asynccontextmanager
async def on_redis(folder: Path) -> AsyncIterator[Contestant]:
    """With an append-only file, synced every second."""
    with RedisProcess(folder) as engine:
        async with await open_redis(RedisConfig(url=engine.url, request_timeout=60.0)) as store:
            raw = Redis.from_url(engine.url, max_connections=1000)
            try:
                yield OnRedis(store, engine.pid, raw)
            finally:
                await raw.aclose()


async def run(options: Options) -> list[Row]:
    """Each engine on its own."""
    rows: list[Row] = []
    for name, opened in (("nats", on_nats), ("redis", on_redis)):
        async with opened(options.directory / name) as contestant:
            rows += await _operations(options, contestant)
            rows += await _curve(options, contestant)
            rows.append(await _failover(options, contestant))
    return rows


# -- one record


def key_of(number: int) -> str:
    return f"gbe.state.tasks.email-send.{number:026d}"


async def _operations(options: Options, on: Contestant) -> list[Row]:
    say(f"state: preparing on {on.name}")
    for number in range(RECORDS):
        deadline = NOW - number if number < DUE else LATER
        await on.store.put(key_of(number), {**FIELDS, "timeout_at": b"%d" % deadline})
        await on.prepare(number)
    store, values = on.store, itertools.count()

    def value() -> bytes:
        return b"%d" % (LATER + next(values))

    cases: dict[str, tuple[Call, Call]] = {
        "get": (lambda n: store.get(key_of(n)), on.get),
        "set_fields": (
            lambda n: store.set_fields(key_of(n), {"updated_at": value(), "worker": FIELDS["worker"]}),
            lambda n: on.set_fields(n, value()),
        ),
        "update_if": (
            lambda n: store.update_if(key_of(n), {"state": b"running"}, {"updated_at": value()}),
            lambda n: on.update_if(n, on.expected, value()),
        ),
    }
    rows: list[Row] = []
    for case, (ours, raw) in cases.items():
        for tasks in (1, 64):
            say(f"state: {case} on {on.name}, {tasks} in flight")
            mine, theirs = await alternate(
                options.runs,
                lambda ours=ours, tasks=tasks: _rate(options, on, ours, tasks),  # type: ignore[misc]
                lambda raw=raw, tasks=tasks: _rate(options, on, raw, tasks),  # type: ignore[misc]
            )
            rows.append(
                Row(
                    benchmark=NAME,
                    case=f"{on.name}: {case}, {tasks} in flight",
                    unit="operations/s",
                    ours=mine,
                    reference=theirs,
                    reference_name=on.raw_name,
                )
            )
    mine, theirs = await alternate(
        options.runs, lambda: _lookups(options, lambda: _due(store)), lambda: _lookups(options, on.due)
    )
    rows.append(
        Row(
            benchmark=NAME,
            case=f"{on.name}: due, {DUE} of {RECORDS} records",
            unit="ms",
            ours=mine,
            reference=theirs,
            reference_name=f"{on.raw_name}" + (", keys known" if on.name == "NATS" else ", one sorted set"),
            more_is_better=False,
        )
    )
    return rows


async def _rate(options: Options, on: Contestant, call: Call, tasks: int) -> Sample:
    done, numbers = 0, itertools.count()
    seconds = options.pick(2.0, 0.4)
    meter, deadline = CpuMeter(on.pid), time.perf_counter() + seconds

    async def work() -> None:
        nonlocal done
        while time.perf_counter() < deadline:
            await call(next(numbers) % RECORDS)
            done += 1

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(work())
    return Sample(done / (time.perf_counter() - started), meter.per_message(done))


# -- due


async def _due(store: StateStore) -> int:
    records = await store.due("timeout_at", NOW, limit=1000)
    assert len(records) == DUE
    return len(records)


async def _lookups(options: Options, look: Callable[[], Awaitable[int]]) -> Sample:
    latencies: list[float] = []
    for _ in range(options.count(30, 5)):
        started = time.perf_counter()
        assert await look() == DUE
        latencies.append((time.perf_counter() - started) * 1e3)
    return as_sample(latencies)


async def _curve(options: Options, on: Contestant) -> list[Row]:
    """The same hundred due records among ever more that are not."""
    rows: list[Row] = []
    filled = RECORDS
    smallest: list[Sample] = []
    for live in (10_000, options.count(100_000, 20_000), options.count(1_000_000, 40_000)):
        say(f"state: {live:,} live records on {on.name}")
        await _fill(on.store, filled, live)
        filled = live
        samples = []
        for _ in range(options.runs):
            sample = await _lookups(options, lambda: _due(on.store))
            sample.details.update(await _memory(on))
            samples.append(sample)
        smallest = smallest or samples
        seconds, megabytes = (max(s.details[name] for s in samples) for name in ("p99 ms", "client peak MiB"))
        rows.append(
            Row(
                benchmark=NAME,
                case=f"{on.name}: due, {DUE} of {live:,} records",
                unit="ms",
                ours=samples,
                reference=smallest,
                reference_name="of 10,000 records",
                more_is_better=False,
                target=f"< {MOST_SECONDS:g} s, < {MOST_MEGABYTES:g} MB",
                met=seconds < MOST_SECONDS * 1e3 and megabytes < MOST_MEGABYTES,
            )
        )
    return rows


async def _fill(store: StateStore, first: int, last: int) -> None:
    numbers = iter(range(first, last))

    async def work() -> None:
        for number in numbers:
            deadline = LATER + number * 7
            await store.put(key_of(number), {**FIELDS, "timeout_at": b"%d" % deadline})

    async with asyncio.TaskGroup() as group:
        for _ in range(128):
            group.create_task(work())


async def _memory(on: Contestant) -> dict[str, float]:
    """What a look-up takes of this process at its peak, and what the engine has."""
    tracemalloc.start()
    await _due(on.store)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"client peak MiB": peak / 2**20, "engine RSS MiB": psutil.Process(on.pid).memory_info().rss / 2**20}


# -- leases


async def _failover(options: Options, on: Contestant) -> Row:
    """A holder renews for a while and dies; the contender looks on as it should."""
    say(f"state: failover of a lease on {on.name}")
    samples: list[Sample] = []
    for number in range(options.count(8, 3)):
        key = f"gbe.leases.bench{number}"
        holder, contender = Lease(on.store, key, term=TERM), Lease(on.store, key, term=TERM)
        await holder.acquire()
        waiting = asyncio.create_task(contender.acquire())
        renewing = asyncio.create_task(holder.keep())
        await asyncio.sleep(TERM * (1 + number / 8))
        renewing.cancel()
        died = time.perf_counter()
        await waiting
        samples.append(Sample((time.perf_counter() - died) / TERM))
        await contender.release()
    worst = max(sample.value for sample in samples)
    return Row(
        benchmark=NAME,
        case=f"{on.name}: failover of a lease",
        unit="terms",
        ours=samples,
        more_is_better=False,
        target=f"≤ {MOST_TERMS:g}",
        met=worst <= MOST_TERMS,
    )
