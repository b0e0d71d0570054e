"""Records on real engines, written with the engines' usual clients by the vectors, beside gbe's own state store."""

import json
import time
from math import ceil
from typing import Any

import msgspec
import nats
import nats.js.errors
import pytest
from tests.engines import NatsProcess
from tests.vectors.files import ROOT, in_bytes, vectors

from gbe.redis.config import RedisConfig
from gbe.state.base import KEEP, StateStore
from gbe.state.nats.store import NatsStateStore
from gbe.state.redis.scripts import WRITE
from gbe.state.redis.store import RedisStateStore
from gbe.transport.nats.config import NatsConfig

WRITES = list(vectors("state-write"))
SCRIPT = (ROOT / "redis" / "write.lua").read_text()
PACK = msgspec.msgpack.Encoder().encode
UNPACK = msgspec.msgpack.Decoder(dict[str, bytes]).decode

Fields = dict[str, bytes | None]


def fields_of(vector: dict[str, Any], part: str) -> Fields:
    """Some fields of a vector."""
    return {name: None if value is None else in_bytes(value) for name, value in vector[part].items()}


def whole(vector: dict[str, Any], part: str) -> dict[str, bytes]:
    """A record of a vector: all of its fields are there."""
    return {name: value for name, value in fields_of(vector, part).items() if value is not None}


def test_the_script_is_the_one_that_gbe_runs() -> None:
    """Byte by byte: a server caches scripts by their digest."""
    assert WRITE.source == SCRIPT


@pytest.mark.parametrize("vector", [vector for _, vector in WRITES], ids=[file for file, _ in WRITES])
def test_a_write_is_what_it_says(vector: dict[str, Any]) -> None:
    """Before, with the changes, is after."""
    before, after = fields_of(vector, "before"), fields_of(vector, "after")
    assert {name: before.get(name) for name in vector["expected"]} == fields_of(vector, "expected")
    changed = {**before, **fields_of(vector, "changes")}
    assert {name: value for name, value in changed.items() if value is not None} == after


async def _agrees(state: StateStore, vector: dict[str, Any]) -> None:
    """What gbe reads of the record, and of its deadline, once it is written."""
    after = whole(vector, "after")
    assert await state.get(vector["key"]) == after
    deadline = int(after.get("timeout_at", 0))
    due = [record.key for record in await state.due("timeout_at", 10**13 - 2, 10)]
    assert due == ([vector["key"]] if deadline else [])
    if deadline:
        assert await state.due("timeout_at", deadline - 1, 10) == []
    # what gbe writes next counts, too
    assert await state.update_if(vector["key"], {"state": after["state"]}, {"note": b"seen"}, ttl=KEEP)


async def test_records_in_redis(redis_server: Any, redis_client: Any) -> None:
    """The script with a vector's keys and arguments; applied once, and never where the record is another."""
    config = RedisConfig(url=redis_server.url, request_timeout=20.0)
    async with await RedisStateStore.open(config) as state:
        for _, vector in WRITES:
            await state.put(vector["key"], whole(vector, "before"))
            keys, arguments = vector["redis"]["keys"], [in_bytes(value) for value in vector["redis"]["arguments"]]
            stale = [keys[0], f"{keys[1]}-stale"]
            before = dict(whole(vector, "before"))
            await state.set_fields(vector["key"], {"attempt": b"99"})
            assert redis_client.eval(SCRIPT, 2, *stale, *arguments) == 0
            await state.set_fields(vector["key"], {"attempt": before["attempt"]})
            assert redis_client.eval(SCRIPT, 2, *keys, *arguments) == 1
            assert redis_client.eval(SCRIPT, 2, *keys, *arguments) == 1  # a repetition changes nothing
            assert redis_client.hgetall(keys[0]) == {
                name.encode(): value for name, value in whole(vector, "after").items()
            }
            assert (redis_client.pttl(keys[0]) > 0) is (vector["ttl"] is not None)
            await _agrees(state, vector)
            await state.delete(vector["key"])


async def test_records_in_nats(nats_engine: NatsProcess) -> None:
    """By the rules of README.md, with nats-py; a write on a sequence that is not the last is refused."""
    client = await nats.connect(nats_engine.url)
    config = NatsConfig(urls=(nats_engine.url,), publish_timeout=30.0, request_timeout=20.0)
    async with await NatsStateStore.open(config) as state:
        for number, (_, vector) in enumerate(WRITES):
            await state.put(vector["key"], whole(vector, "before"))
            sequence, fields = await _read(client, vector["nats"]["record"])
            assert fields == whole(vector, "before")
            stream = client.jetstream()
            for entry in vector["nats"]["entries"]:
                await stream.publish(entry, b"", timeout=20)
            headers = {"Nats-Expected-Last-Subject-Sequence": str(sequence), "Nats-Msg-Id": f"rust-1-{number}"}
            if vector["ttl"] is not None:
                headers["Nats-TTL"] = str(ceil(vector["ttl"]))
                headers["Gbe-Expires"] = str(int((time.time() + vector["ttl"]) * 1000))
            body = PACK(whole(vector, "after"))
            await stream.publish(vector["nats"]["record"], body, headers=headers, timeout=20)
            stale = {**headers, "Nats-Msg-Id": f"rust-2-{number}"}
            with pytest.raises(nats.js.errors.APIError) as refusal:
                await stream.publish(vector["nats"]["record"], body, headers=stale, timeout=20)
            assert refusal.value.err_code in {10071, 10164}
            await _agrees(state, vector)
            await state.delete(vector["key"])
    await client.close()


async def _read(client: nats.NATS, subject: str) -> tuple[int, dict[str, bytes]]:
    """Sequence and fields of a record."""
    answer = await client.request(f"$JS.API.DIRECT.GET.KV_gbe-state.{subject}", b"", timeout=20)
    assert answer.headers is not None
    return int(answer.headers["Nats-Sequence"]), UNPACK(answer.data)


def test_the_vectors_of_writes_are_moves() -> None:
    """The fence is in each: a state and an attempt."""
    for _, vector in WRITES:
        assert {"state", "attempt"} <= set(vector["expected"])
        assert json.dumps(vector["changes"]).count('"state"') == 1
