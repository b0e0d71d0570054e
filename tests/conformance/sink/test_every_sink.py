"""What every sink promises, whatever is behind it: files or rows."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.archive.messages import batch
from tests.conformance.sink.places import ObjectPlace, Place, PostgresPlace
from tests.postgres import PostgresProcess
from tests.s3 import S3Process

from gbe.archive.batch import Archived, Batch
from gbe.archive.sink import Sink
from gbe.errors import SinkConflictError
from gbe.objects.config import ObjectsConfig


@pytest.fixture(params=["local", "s3", "postgres"])
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place of the test's own."""
    if request.param == "local":
        return ObjectPlace(ObjectsConfig(url=str(tmp_path / "archive")))
    if request.param == "s3":
        s3: S3Process = request.getfixturevalue("s3")
        own = s3.place()
        return ObjectPlace(own)
    server: PostgresProcess = request.getfixturevalue("postgres")
    return PostgresPlace(server.new_database())


@pytest.fixture
async def sinks(here: Place) -> AsyncIterator[list[Sink]]:
    """Two sinks at one place, as two processes have them."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(await here.open()) for _ in range(2)]


async def test_a_retry_by_another_process_adds_nothing(sinks: list[Sink], here: Place) -> None:
    """It returns the same mark, and each message is there once."""
    mark = await sinks[0].write(batch(0, 3), b"")
    next_mark = await sinks[0].write(batch(3, 2), mark)
    assert await sinks[1].write(batch(3, 2), mark) == next_mark
    assert await sinks[0].write(batch(3, 2), mark) == next_mark
    assert await here.messages() == list(batch(0, 5).messages)


async def test_any_payload_comes_out_as_it_went_in(sinks: list[Sink], here: Place) -> None:
    """Text, no JSON, no text at all, nothing, NUL."""
    payloads = (
        b'{"a": 1}',
        "grüße".encode(),
        b"\xff\x00\xfe",
        b"",
        b"a\0b",
        b"line\nline",
        b'"\\u0000"',
        b"[" * 20_000,
    )
    sent = batch(0, len(payloads), payloads=payloads)
    await sinks[0].write(sent, b"")
    assert await here.messages() == list(sent.messages)


async def test_other_contents_in_the_same_place_are_a_conflict(sinks: list[Sink], here: Place) -> None:
    """Nothing is overwritten."""
    await sinks[0].write(batch(0, 2), b"")
    with pytest.raises(SinkConflictError):
        await sinks[1].write(batch(0, 2, payloads=(b"forged", b"too")), b"")
    assert await here.messages() == list(batch(0, 2).messages)


async def test_one_id_at_two_places_of_the_stream_is_kept_twice(sinks: list[Sink], here: Place) -> None:
    """A publisher that uses an id again hides nothing from the auditor."""
    first, second = batch(0, 2, payloads=(b"one", b"two")).messages
    same = Archived(second.position, type(second.envelope)(first.envelope.id, *_rest(second)))
    sent = Batch(first.envelope.subject, batch(0, 1).day, (first, same))
    await sinks[0].write(sent, b"")
    assert await here.messages() == [first, same]


def _rest(message: Archived) -> tuple[str, int, bytes, str | None]:
    envelope = message.envelope
    return envelope.subject, envelope.timestamp, envelope.payload, envelope.traceparent


async def test_a_sink_answers_a_ping(sinks: list[Sink]) -> None:
    """And says where it is, without secrets."""
    for sink in sinks:
        assert await sink.ping() > 0
        assert "s3cret" not in sink.where
