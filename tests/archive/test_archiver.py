"""The archiver on every engine: what was published is in the archive, once, and is acknowledged only then."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.deployments import Deployment
from tests.waiting import eventually

from gbe.archive import files
from gbe.archive.archiver import Archiver
from gbe.archive.batch import Batch
from gbe.archive.config import ArchiveConfig
from gbe.archive.layout import DATA
from gbe.archive.object_sink import ObjectSink
from gbe.archive.progress import Progress
from gbe.archive.rows import Row
from gbe.archive.sink import Sink
from gbe.archive.verify import Known, verify
from gbe.errors import ObjectStoreRefusedError, SinkUnavailableError
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore
from gbe.transport.base import Transport

QUICK = ArchiveConfig(
    batch_size=20,
    batch_timeout=0.3,
    ack_timeout=2.0,
    term=1.0,
    retry_backoff=0.05,
    retry_backoff_max=0.2,
    lag_limit=0.5,
)


class Archive:
    """One archive of a deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.place = ObjectsConfig(url=str(deployment.folder / "archive"))
        self.wrap: Callable[[Sink], Sink] = lambda sink: sink

    def subject(self, name: str) -> str:
        return f"{self.deployment.namespace}.events.audit.{name}"

    async def transport(self) -> Transport:
        return (await self.deployment.backend()).transport

    async def open_sink(self) -> Sink:
        return self.wrap(ObjectSink(await ObjectStore.open(self.place)))

    @asynccontextmanager
    async def archiving(self, config: ArchiveConfig = QUICK) -> AsyncIterator[Archiver]:
        """An archiver at work, stopped in order."""
        backend = await self.deployment.backend()
        one = Archiver(backend.transport, backend.state, self.open_sink, self.deployment.namespace, config)
        running = asyncio.create_task(one.run())
        try:
            yield one
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def rows(self) -> list[Row]:
        """Everything in the archive."""
        found: list[Row] = []
        async with await ObjectStore.open(self.place) as objects:
            async for info in objects.list(DATA):
                found += files.unpack(await objects.get(info.name), info.name)
        return found

    async def count(self) -> int:
        return len(await self.rows())

    async def is_acknowledged(self) -> bool:
        transport = await self.transport()
        lag = await transport.lag(self.subject("*"), QUICK.group)
        return (lag.pending, lag.unacknowledged) == (0, 0)

    async def check(self, published: list[str]) -> None:
        """The archived set is the published set, without duplicates, and the archive verifies."""
        assert sorted(row.id for row in await self.rows()) == sorted(published)
        backend = await self.deployment.backend()
        progress = Progress(backend.state, self.deployment.namespace, QUICK.group)
        known = {subject: Known.of(point) async for subject, point in progress.all()}
        async with await ObjectStore.open(self.place) as objects:
            found = await verify(objects, known)
        assert found.is_sound, found.findings


@pytest.fixture
def archive(deployment: Deployment) -> Archive:
    return Archive(deployment)


async def publish(archive: Archive, count: int, name: str = "change") -> list[str]:
    transport = await archive.transport()
    subject = archive.subject(name)
    return await asyncio.gather(*(transport.publish(subject, b'{"n": %d}' % n) for n in range(count)))


async def test_what_is_published_is_archived_and_then_acknowledged(archive: Archive) -> None:
    """Before and while the archiver runs, on several subjects; full batches, and a last one by its timeout."""
    published = await publish(archive, 50)
    async with archive.archiving():
        published += await publish(archive, 30, "access")
        published += await publish(archive, 7)
        await eventually(lambda: _has(archive, 87), "all is archived")
        await eventually(archive.is_acknowledged, "all is acknowledged")
    await archive.check(published)


async def test_a_stop_writes_what_waits(archive: Archive) -> None:
    """Nothing waits for the next archiver."""
    config = ArchiveConfig(batch_size=100, batch_timeout=600.0, term=1.0)
    async with archive.archiving(config) as archiver:
        await eventually(lambda: archiver.is_active, "it is active")
        published = await publish(archive, 5)
        await eventually(lambda: archiver.held == 5, "all was handed over")
    await archive.check(published)


class Shaky(Sink):
    """A sink that fails at chosen moments: before it writes, and after it has written."""

    def __init__(self, sink: Sink, failures: list[str]) -> None:
        self._sink, self._failures = sink, failures

    async def write(self, batch: object, mark: bytes) -> bytes:  # type: ignore[override]
        failure = self._failures.pop() if self._failures else ""
        if failure == "before":
            raise SinkUnavailableError("answers 503")
        written = await self._sink.write(batch, mark)  # type: ignore[arg-type]
        if failure == "after":
            raise SinkUnavailableError("the answer was lost")
        return written

    async def ping(self) -> float:
        return await self._sink.ping()

    async def close(self) -> None:
        await self._sink.close()

    @property
    def where(self) -> str:
        return self._sink.where


class Gate(Sink):
    """A sink that takes nothing until ``is_open``; notes in ``sizes`` how many messages each batch has."""

    def __init__(self, inner: Sink, is_open: asyncio.Event, sizes: list[int]) -> None:
        self._inner, self.is_open, self.sizes = inner, is_open, sizes

    @property
    def where(self) -> str:
        return self._inner.where

    async def write(self, batch: Batch, mark: bytes) -> bytes:
        await self.is_open.wait()
        self.sizes.append(len(batch.messages))
        return await self._inner.write(batch, mark)

    async def ping(self) -> float:
        return await self._inner.ping()

    async def close(self) -> None:
        await self._inner.close()


async def test_what_waits_while_a_file_is_written_goes_into_one_file(archive: Archive) -> None:
    """Fewer and larger files while the archive is behind, up to the most that one may have."""
    is_open = asyncio.Event()
    sizes: list[int] = []
    archive.wrap = lambda sink: Gate(sink, is_open, sizes)  # on a busy machine a lease ends, and a sink is opened again
    published = await publish(archive, 130)
    async with archive.archiving(replace(QUICK, batch_size=20, batch_size_max=60)) as archiver:
        await eventually(lambda: archiver.held >= 120, "as many wait as it takes at a time")
        is_open.set()
        await eventually(lambda: _has(archive, 130), "all is archived")
        await eventually(archive.is_acknowledged, "all is acknowledged")
    await archive.check(published)
    assert max(sizes) == 60


async def test_a_sink_that_fails_loses_and_doubles_nothing(archive: Archive) -> None:
    """Whether the write or its answer was lost, the retry writes the same."""
    failures = ["before", "after", "before", "after", "after", "before"]
    archive.wrap = lambda sink: Shaky(sink, failures)
    published = await publish(archive, 90)
    async with archive.archiving():
        await eventually(lambda: _has(archive, 90), "all is archived")
        await eventually(archive.is_acknowledged, "all is acknowledged")
    assert not failures
    await archive.check(published)


async def test_an_archiver_that_died_after_writing_is_followed_by_one_that_writes_the_same(archive: Archive) -> None:
    """The borders outlive it: its successor finds more messages in the stream, and takes the same first batch."""
    archive.wrap = lambda sink: Shaky(sink, ["after"] * 1000)
    published = await publish(archive, 5)
    async with archive.archiving():
        await eventually(lambda: _has(archive, 5), "the file is written, and its confirmation lost")
    archive.wrap = lambda sink: sink
    published += await publish(archive, 10)
    async with archive.archiving():
        await eventually(lambda: _has(archive, 15), "the rest is archived")
        await eventually(archive.is_acknowledged, "all is acknowledged")
    await archive.check(published)


async def test_a_sink_that_cannot_be_opened_raises_an_alert_and_is_waited_for(archive: Archive) -> None:
    """Wrong credentials, for instance: the operator hears of it, the service lives on, nothing is lost."""
    is_broken = True
    opened = archive.open_sink

    async def open_sink() -> Sink:
        if is_broken:
            raise ObjectStoreRefusedError("access is denied")
        return await opened()

    archive.open_sink = open_sink  # type: ignore[method-assign]
    published = await publish(archive, 5)
    transport = await archive.transport()
    errors = f"{archive.deployment.namespace}.events.system.error"
    async with archive.archiving():

        async def alerts() -> bool:
            return any(b"access is denied" in one.envelope.payload for one in await transport.read(errors))

        await eventually(alerts, "an alert was raised")
        is_broken = False
        await eventually(lambda: _has(archive, 5), "all is archived")
    await archive.check(published)


async def test_a_sink_that_is_away_for_long_raises_an_alert_that_says_how_far_behind(archive: Archive) -> None:
    """Not at once, for a sink may be away for a moment; and what waits is archived when it is back."""
    failures = ["before"] * 1_000_000
    archive.wrap = lambda sink: Shaky(sink, failures)
    published = await publish(archive, 5)
    transport = await archive.transport()
    errors = f"{archive.deployment.namespace}.events.system.error"
    async with archive.archiving():

        async def alerts() -> bool:
            found = [one.envelope.payload for one in await transport.read(errors)]
            return any(b" s behind: " in payload and b" messages wait for " in payload for payload in found)

        await eventually(alerts, "an alert was raised")
        lag = await transport.lag(archive.subject("*"), QUICK.group)
        assert lag.pending + lag.unacknowledged == 5
        failures.clear()
        await eventually(lambda: _has(archive, 5), "all is archived")
    await archive.check(published)


async def test_several_archivers_take_turns(archive: Archive) -> None:
    """One is active; when it goes, the next one goes on."""
    published = await publish(archive, 30)
    async with archive.archiving(), archive.archiving():
        async with archive.archiving():
            await eventually(lambda: _has(archive, 30), "all is archived")
        published += await publish(archive, 30)
        await eventually(lambda: _has(archive, 60), "the rest is archived")
    await archive.check(published)


async def test_any_payload_is_archived_as_it_is(archive: Archive, tmp_path: Path) -> None:
    """No JSON, no text, nothing at all, and the largest one that the transport takes."""
    transport = await archive.transport()
    payloads = [b"\xff\x00", b"", b"{broken", b"x" * transport.max_payload_size]
    for payload in payloads:
        await transport.publish(archive.subject("change"), payload)
    async with archive.archiving():
        await eventually(lambda: _has(archive, 4), "all is archived")
    assert [row.payload for row in sorted(await archive.rows(), key=lambda row: row.id)] == payloads


async def _has(archive: Archive, count: int) -> bool:
    return await archive.count() >= count
