"""Whatever the bytes are, a decoder ends in a value or in its documented error."""

import contextlib
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.vectors.files import contract, raw_payload, vectors

from gbe.contracts.types import REFUSALS, PayloadType, is_payload
from gbe.envelope import Envelope
from gbe.errors import InvalidEnvelopeError, TaskError
from gbe.graph.record import JobRecord
from gbe.lifecycle.record import TaskRecord
from gbe.schemas import deadletter, jobs, notify, tasks
from gbe.state.nats import wire as state_wire
from gbe.transport.nats import wire as nats_wire
from gbe.transport.redis import wire as redis_wire

TYPES = [PayloadType(schema) for schema in contract().schemas.values() if is_payload(schema)]
DECODERS: list[Callable[[bytes], Any]] = [
    notify.decode,
    deadletter.decode,
    jobs.decode_event,
    tasks.decode_signal,
    tasks.decode_progress,
    tasks.decode_outcome,
]
PAYLOADS = [raw_payload(file) for file, _ in vectors("payload")]
TOKENS = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"\\u",
    b"\\ud800",
    b"1e999",
    b"9" * 5000,
    b"null",
    b"\x00",
    b"\xff",
    b":",
    b",",
)
DEEP = [b'{"v":1,"x":' + b"[" * 200_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A payload of a vector with some bytes changed, removed, doubled or replaced by what hurts."""
    payload = bytearray(draw(st.sampled_from(PAYLOADS)))
    chance = draw(st.randoms(use_true_random=False))
    for _ in range(draw(st.integers(1, 6))):
        _mutate(payload, chance)
    return bytes(payload)


def _mutate(payload: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(payload) + 1)
    to = min(len(payload), at + chance.randrange(12))
    match chance.randrange(4):
        case 0:
            payload[at:to] = chance.randbytes(to - at)
        case 1:
            del payload[at:to]
        case 2:
            payload[at:at] = payload[at:to]
        case _:
            payload[at:to] = chance.choice(TOKENS)


@given(st.one_of(st.binary(max_size=300), mutated()))
@example(DEEP[0])
@example(DEEP[1])
@example(b'{"v":' + b"1" * 10_000 + b',"ts":1,"id":"a"}')
@example(b'{"v":1,"ts":-' + b"9" * 400 + b'.5e99999,"id":"a"}')
def test_payloads(payload: bytes) -> None:
    """Of every domain, by their own decoders and as the type of their schema."""
    for decode in DECODERS:
        with contextlib.suppress(InvalidEnvelopeError):
            decode(payload)
    for kind in TYPES:
        with contextlib.suppress(REFUSALS):
            kind.decode(payload)


texts = st.one_of(st.text(max_size=40), st.integers(-(10**20), 10**20).map(str), st.just("9" * 5000), st.just("٣"))


@given(
    st.dictionaries(st.one_of(st.sampled_from(["Gbe-Id", "Gbe-Timestamp", "traceparent"]), texts), texts), st.binary()
)
def test_headers_of_a_message_in_nats(headers: dict[str, str], body: bytes) -> None:
    """No message is lost for want of a header, nor by one."""
    envelope = nats_wire.envelope_of("gbe.a.b", body, headers, 17, 1_790_000_000_000)
    assert isinstance(envelope, Envelope)
    assert envelope.payload == body


@given(st.lists(st.one_of(st.sampled_from([b"id", b"ts", b"tp", b"data"]), st.binary(max_size=40)), max_size=12))
def test_fields_of_an_entry_in_redis(fields: list[bytes]) -> None:
    """The same of entries, pairs of fields or not."""
    assert isinstance(redis_wire.entry_envelope("gbe.a.b", b"1790000000000-17", fields), Envelope)


@given(st.binary(max_size=200))
@example(b"\x95" + b"\x91" * 100_000)
@example(b"\x96\xa1a\xa1b\x01\xc4\x00\xc0" + b"\x91" * 100_000)
@example(b"\x95\xa2\x80\x80")
def test_messages_that_are_not_stored(message: bytes) -> None:
    """Whatever a channel says."""
    redis_wire.read_unstored(b"v1-1 " + message)
    redis_wire.read_unstored(message)


@given(st.binary(max_size=200))
@example(b"\x81\xa3\x00\x00\x80")
@example(b"\x91" * 100_000)
@example(b"\x81\xa1a" + b"\x91" * 100_000)
def test_bodies_of_records_in_nats(body: bytes) -> None:
    """What somebody else put into the bucket is no record."""
    assert state_wire.decode(body) is None or isinstance(state_wire.decode(body), dict)


RECORDS = [json.loads(json.dumps(vector["fields"])) for _, vector in vectors("record")]
names = st.sampled_from(sorted({name for fields in RECORDS for name in fields}))
values = st.one_of(st.binary(max_size=30), st.sampled_from([b"pending", b"running", b"high", b"1", b"{}", b"9" * 5000]))


@pytest.mark.parametrize("kind", [TaskRecord, JobRecord])
@given(fields=st.dictionaries(names, values, max_size=8))
def test_records(kind: type[TaskRecord | JobRecord], fields: dict[str, bytes]) -> None:
    """A record is one, or says that it is none."""
    must = {"task_type": b"a", "task_id": b"b", "job_type": b"a", "job_id": b"b", "state": b"failed"}
    for given_fields in (fields, must | fields):
        with contextlib.suppress(TaskError):
            kind.from_fields(given_fields)
