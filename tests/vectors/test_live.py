"""The bindings on real engines, with the engines' usual clients: what gbe writes is what the vectors say, byte by byte,
and what others write by the vectors is what gbe reads."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import nats
import pytest
from tests.engines import NatsProcess
from tests.vectors.files import in_bytes, vectors
from tests.vectors.test_bindings import envelope_of

from gbe.envelope import Envelope
from gbe.ids import encode_ulid
from gbe.redis.config import RedisConfig
from gbe.transport.base import LATEST, StreamConfig, Transport
from gbe.transport.nats.config import NatsConfig
from gbe.transport.nats.transport import NatsTransport
from gbe.transport.redis.transport import RedisTransport

STREAM = StreamConfig(name="vectors", subjects=("gbe.>", "g"))
MESSAGES = list(vectors("nats-message"))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ENTRIES = list(vectors("redis-entry"))


async def published(transport: Transport, envelope: Envelope, key: str | None = None) -> None:
    """Published with what a vector says, the moment excepted, which is the transport's."""
    id = await transport.publish(
        envelope.subject, envelope.payload, id=envelope.id, idempotency_key=key, traceparent=envelope.traceparent
    )
    assert id == envelope.id


async def latest(transport: Transport, subject: str) -> Envelope:
    """What gbe reads of the newest message."""
    (stored,) = await transport.read(subject, start=LATEST)
    return stored.envelope


@dataclass
class Nats:
    """A client of gbe's and one of NATS' own, and a stream that is new."""

    transport: NatsTransport
    client: nats.NATS
    stream: str = ""

    async def newest(self, subject: str) -> dict[str, Any]:
        """The newest message as the engine has it."""
        request = json.dumps({"last_by_subj": subject}).encode()
        answer = await self.client.request(f"$JS.API.STREAM.MSG.GET.{self.stream}", request, timeout=20)
        found: dict[str, Any] = json.loads(answer.data)["message"]
        return found


@pytest.fixture
async def on_nats(nats_engine: NatsProcess) -> AsyncIterator[Nats]:
    client = await nats.connect(nats_engine.url)
    config = NatsConfig(urls=(nats_engine.url,), publish_timeout=30.0, request_timeout=20.0)
    async with await NatsTransport.open(config) as transport:
        await transport.ensure_stream(STREAM)
        engine = Nats(transport, client)
        engine.stream = await client.jetstream().find_stream_name_by_subject("gbe.>")
        yield engine
        await client.jetstream().delete_stream(engine.stream)
    await client.close()


async def test_messages_lie_in_nats_as_the_vectors_say(on_nats: Nats) -> None:
    """Headers and body, byte by byte, as the engine gives them out."""
    for file, vector in MESSAGES:
        if vector["case"] != "publish":
            continue
        envelope = envelope_of(vector)
        await published(on_nats.transport, envelope, vector["idempotency_key"])
        message = await on_nats.newest(envelope.subject)
        headers = base64.b64decode(message["hdrs"]).decode()
        moment = headers.partition("Gbe-Timestamp: ")[2].partition("\r\n")[0]
        stated = [(name, moment if name == "Gbe-Timestamp" else value) for name, value in vector["message"]["headers"]]
        assert headers == "NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in stated) + "\r\n", file
        assert base64.b64decode(message.get("data", "")) == in_bytes(vector["message"]["body"]), file
        assert moment.isdigit()


async def test_messages_that_others_store_in_nats_are_read_as_the_vectors_say(on_nats: Nats) -> None:
    """With nats-py: published, confirmed, and read by gbe."""
    stream = on_nats.client.jetstream()
    for file, vector in MESSAGES:
        envelope, message = envelope_of(vector), vector["message"]
        headers = dict(message["headers"]) or None
        await stream.publish(message["subject"], in_bytes(message["body"]), headers=headers, timeout=20)
        raw = await on_nats.newest(message["subject"])
        if envelope.timestamp == vector.get("stored", {}).get("time_ms"):  # taken from the place, which is another here
            stored = (datetime.fromisoformat(raw["time"]) - EPOCH) // timedelta(milliseconds=1)
            envelope = msgspec.structs.replace(envelope, id=encode_ulid(stored, raw["seq"]), timestamp=stored)
        assert await latest(on_nats.transport, message["subject"]) == envelope, file


@dataclass
class Redis:
    """A client of gbe's and one of Redis' own."""

    transport: RedisTransport
    client: Any

    def newest(self, key: str) -> list[tuple[bytes, bytes]]:
        """Fields of the newest entry, in their order."""
        ((_, fields),) = self.client.xrevrange(key, count=1)
        return list(fields.items())


@pytest.fixture
async def on_redis(redis_server: Any, redis_client: Any) -> AsyncIterator[Redis]:
    config = RedisConfig(url=redis_server.url, publish_timeout=30.0, request_timeout=20.0)
    async with await RedisTransport.open(config) as transport:
        await transport.ensure_stream(STREAM)
        yield Redis(transport, redis_client)


async def test_messages_lie_in_redis_as_the_vectors_say(on_redis: Redis) -> None:
    """Names and values of the fields, byte by byte and in their order."""
    for file, vector in ENTRIES:
        if vector["case"] != "publish":
            continue
        envelope, entry = envelope_of(vector), vector["entry"]
        await published(on_redis.transport, envelope)
        fields = on_redis.newest(entry["key"])
        moment = dict(fields)[b"ts"]
        assert moment.isdigit()
        stated = [(name.encode(), moment if name == "ts" else in_bytes(value)) for name, value in entry["fields"]]
        assert fields == stated, file


async def test_entries_that_others_add_to_redis_are_read_as_the_vectors_say(on_redis: Redis) -> None:
    """With redis-py: a plain XADD, read by gbe."""
    for file, vector in ENTRIES:
        entry = vector["entry"]
        on_redis.client.delete(entry["key"])
        fields = {name: in_bytes(value) for name, value in entry["fields"]}
        on_redis.client.xadd(entry["key"], fields, id=entry.get("id", "*"))
        assert await latest(on_redis.transport, vector["envelope"]["subject"]) == envelope_of(vector), file
        on_redis.client.delete(entry["key"])
