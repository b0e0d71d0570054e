"""What lies in the engines: readable with their own tools, bounded, and nothing is left behind."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from tests.conformance.state.engines import CONFIG
from tests.engines import NatsProcess
from tests.redis_engines import MEMORYDB_RULES, RedisProcess
from tests.waiting import eventually

from gbe.redis.client import RedisClient
from gbe.redis.config import RedisConfig
from gbe.redis.topology import slot_of
from gbe.state.base import MAX_DEADLINE, StateStore
from gbe.state.nats.requests import Message, record_message
from gbe.state.nats.store import NatsStateStore
from gbe.state.nats.wire import Names
from gbe.state.redis import scripts
from gbe.state.redis.keys import BUCKETS, Buckets
from gbe.state.redis.store import RedisStateStore
from gbe.subjects import matches
from gbe.transport.nats.config import NatsConfig

INDEXES = " ".join(CONFIG.indexes)


# -- Redis


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    with RedisProcess(tmp_path_factory.mktemp("layout") / "redis", acl=MEMORYDB_RULES) as process:
        yield process


@pytest.fixture
async def on_redis(redis: RedisProcess) -> AsyncIterator[StateStore]:
    redis.call("FLUSHALL")
    config = RedisConfig(url=redis.user_url, request_timeout=2.0, stall_timeout=0.5)  # marks are kept for 4.5 s
    async with await RedisStateStore.open(config, CONFIG) as store:
        yield store


def test_a_bucket_lies_in_one_slot_and_buckets_in_many() -> None:
    """So a script may touch all of a bucket, and a cluster shares the buckets out."""
    buckets = Buckets("gbe-state")
    for bucket in buckets.all:
        names = [
            bucket.record("a.b"),
            bucket.channel,
            *map(bucket.named, ("keys", "due:x", "ends", "seq", "log", "w:1")),
        ]
        assert {slot_of(name) for name in names} == {bucket.slot}
    assert len({bucket.slot for bucket in buckets.all}) > BUCKETS / 2
    used = {buckets.of(f"gbe.state.tasks.email.{number}").number for number in range(2000)}
    assert used == set(range(BUCKETS))


async def test_a_record_is_a_hash_of_its_own_name(on_redis: StateStore, redis: RedisProcess) -> None:
    """redis-cli shows it."""
    await on_redis.put("gbe.state.a", {"n": b"1", "timeout_at": b"5"})
    bucket = Buckets(CONFIG.bucket).of("gbe.state.a")
    assert redis.call("HGETALL", f"{bucket.tag}:r:gbe:state:a") == [b"n", b"1", b"timeout_at", b"5"]
    assert redis.call("ZRANGE", f"{bucket.tag}:due:timeout_at", 0, -1, "WITHSCORES") == [b"gbe.state.a", b"5"]


async def test_nothing_is_left_of_records_that_are_gone(on_redis: StateStore, redis: RedisProcess) -> None:
    """Deleted ones, emptied ones, and those that ended by themselves, watched or not."""
    for number in range(60):
        key, fields = f"gbe.a.{number}", {"n": b"1", "timeout_at": b"5", "wake_at": b"6"}
        await on_redis.put(key, fields, ttl=1 if number % 3 == 0 else None)
        if number % 3 == 1:
            await on_redis.delete(key)
        elif number % 3 == 2:
            await on_redis.set_fields(key, dict.fromkeys(fields))
    async with on_redis.watch("gbe"):

        def left() -> set[bytes]:
            kinds = {name.partition(b"}:")[2].partition(b":")[0] for name in redis.call("KEYS", "*")}
            return kinds - {b"seq", b"log", b"mark"}

        await eventually(lambda: not left(), "only the counters and logs of changes are left", interval=0.1)


async def test_the_log_of_changes_is_bounded_and_knows_its_end(on_redis: StateStore, redis: RedisProcess) -> None:
    """Whoever was away for longer is told that nobody knows."""
    buckets = Buckets(CONFIG.bucket)
    bucket = buckets.all[7]
    keys = [key for number in range(80_000) if buckets.of(key := f"gbe.{number}") is bucket][:700]
    assert len(keys) == 700
    await asyncio.gather(*(on_redis.put(key, {"n": b"1"}) for key in keys))
    assert redis.call("ZCARD", bucket.named("log")) == scripts.LOG_LENGTH
    client = await RedisClient.open(RedisConfig(url=redis.user_url))
    try:

        async def look(known: int) -> list[Any]:
            names = [bucket.named("seq"), bucket.named("log")]
            found: list[Any] = await client.run(scripts.LOOK, names, [bucket.tag, INDEXES, known])
            return found

        assert await look(700) == [700, 1]
        assert await look(-1) == [700, 1]
        last, is_complete, *changed = await look(690)
        assert (last, is_complete, len(changed)) == (700, 1, 10)
        last, is_complete, *changed = await look(700 - scripts.LOG_LENGTH)
        assert (is_complete, len(changed)) == (1, scripts.LOG_LENGTH)
        assert await look(700 - scripts.LOG_LENGTH - 1) == [700, 0]
        assert await look(9999) == [700, 0]
    finally:
        await client.close()


# -- NATS


async def test_a_bucket_is_a_bucket_to_the_tools_of_nats(tmp_path: Path) -> None:
    """What one writes the other reads; what is no record is passed over."""
    with NatsProcess(tmp_path / "nats") as process:
        client = await nats.connect(process.url)
        async with await NatsStateStore.open(NatsConfig(urls=(process.url,)), CONFIG) as store:
            await store.put("gbe.a", {"n": b"1"})
            bucket = await client.jetstream().key_value("gbe-state")
            assert msgspec.msgpack.decode((await bucket.get("gbe.a")).value) == {"n": b"1"}
            await bucket.put("gbe.b", msgspec.msgpack.encode({"n": b"2"}))
            await bucket.put("gbe.c", b"no record")
            assert await store.get("gbe.b") == {"n": b"2"}
            assert await store.get("gbe.c") is None
            assert {record.key async for record in store.scan("gbe")} == {"gbe.a", "gbe.b"}
            await bucket.delete("gbe.b")
            assert await store.get("gbe.b") is None
        await client.close()


async def test_lapsed_entries_are_cleared_away(tmp_path: Path) -> None:
    """A deadline that moved leaves one entry at most for each time that it came due too early."""
    with NatsProcess(tmp_path / "nats") as process:
        client = await nats.connect(process.url)
        async with await NatsStateStore.open(NatsConfig(urls=(process.url,)), CONFIG) as store:

            async def entries() -> int:
                info = await client.jetstream().stream_info("KV_gbe-state", subjects_filter="gbe-due.>")
                return len(info.state.subjects or {})

            for number in range(20):
                for deadline in (b"1000", b"900", b"800", b"2000", b"3000"):
                    await store.set_fields(f"gbe.{number}", {"timeout_at": deadline})
            assert await entries() == 60
            assert await store.due("timeout_at", 1500) == []
            assert await entries() == 20
            assert len(await store.due("timeout_at", 3000)) == 20
            for number in range(20):
                await store.delete(f"gbe.{number}")
            assert await store.due("timeout_at", 5000) == []
            assert await entries() == 0
        await client.close()


@pytest.mark.parametrize("exists", [True, False])
async def test_a_write_that_was_held_up_cannot_lose_its_entry(tmp_path: Path, exists: bool) -> None:
    """Its entry came due and was cleared away before its record arrived: the record is refused, and written anew."""
    with NatsProcess(tmp_path / "nats") as process:
        config = NatsConfig(urls=(process.url,))
        async with (
            await NatsStateStore.open(config, CONFIG) as writer,
            await NatsStateStore.open(config, CONFIG) as sweeper,
        ):
            if exists:
                await writer.put("gbe.a", {"n": b"1"})
            requests, names = writer._requests, writer._names
            current = await requests.last("gbe.a")
            entry = Message(names.entry("timeout_at", 1000, "gbe.a"))
            assert await requests.write(entry, None, requests.deadline())
            # … here the writer stands still, while the others go on
            assert await sweeper.due("timeout_at", 2000) == []
            assert await sweeper.get("gbe.a") == ({"n": b"1"} if exists else None)
            record = record_message(names.record("gbe.a"), {"timeout_at": b"1000"}, None, current)
            assert not await requests.write(record, current.sequence, requests.deadline())
            await writer.set_fields("gbe.a", {"timeout_at": b"1000"})
            assert [record.key for record in await sweeper.due("timeout_at", 2000)] == ["gbe.a"]


@pytest.mark.parametrize("before", [0, 1, 9, 10, 1_790_000_000_123, MAX_DEADLINE - 1, MAX_DEADLINE])
def test_the_patterns_cover_exactly_what_is_due(before: int) -> None:
    """Every deadline up to the moment, and none behind it."""
    names = Names("b")
    patterns = list(names.due_patterns("x", before))
    near = {before + step for step in (-1000, -100, -10, -9, -2, -1, 0, 1, 2, 9, 10, 100, 1000)}
    for deadline in {0, 1, MAX_DEADLINE, before // 2, before * 2, *near}:
        if 0 <= deadline <= MAX_DEADLINE:
            subject = names.entry("x", deadline, "gbe.a")
            assert sum(matches(pattern, subject) for pattern in patterns) == (deadline <= before)
            assert names.entry_of("x", subject) == (deadline, "gbe.a")
    assert len(patterns) <= 117
