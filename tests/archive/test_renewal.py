"""Streams that are deleted and made anew while they are archived: stated, and nothing of either is mixed or lost."""

import pytest
from tests.archive.test_archiver import QUICK, Archive, archive, publish
from tests.deployments import MemoryBoth, NatsBoth
from tests.waiting import eventually

from gbe.archive.layout import DATA, DataFile
from gbe.config import default_streams
from gbe.notify.config import NotifyConfig
from gbe.objects.store import ObjectStore
from gbe.schemas.archive import ArchiveRule
from gbe.sweeper.retention import Retention
from gbe.sweeper.streams import Streams

__all__ = ["archive"]


async def _delete_stream(archive: Archive) -> None:
    """With everything in it; the archiver's own group goes with it."""
    if isinstance(archive.deployment.engine, MemoryBoth):
        pytest.skip("it lives and dies with the process")
    await archive.deployment.engine.delete_stream(f"{archive.deployment.namespace}.events.audit")


async def _alerts(archive: Archive) -> list[bytes]:
    transport = await archive.transport()
    errors = f"{archive.deployment.namespace}.events.system.error"
    return [one.envelope.payload for one in await transport.read(errors) if b"made anew" in one.envelope.payload]


@pytest.mark.parametrize("while_running", [True, False])
async def test_a_stream_that_is_made_anew_is_archived_from_its_beginning(
    archive: Archive, *, while_running: bool
) -> None:
    """Positions begin again on NATS: the second stream's lie where the first one's are confirmed."""
    published = await publish(archive, 45)
    async with archive.archiving():
        await eventually(lambda: _has(archive, 45), "the first stream is archived")
        await eventually(archive.is_acknowledged, "and acknowledged")
        if while_running:
            await _delete_stream(archive)
            published += await publish(archive, 30)
            await eventually(lambda: _has(archive, 75), "the second stream is archived")
    if not while_running:
        await _delete_stream(archive)
        published += await publish(archive, 30)
    async with archive.archiving():
        await eventually(lambda: _has(archive, 75), "the second stream is archived")
        await eventually(archive.is_acknowledged, "and acknowledged")
        published += await publish(archive, 10)
        await eventually(lambda: _has(archive, 85), "and so is what follows")
    await archive.check(published)
    if isinstance(archive.deployment.engine, NatsBoth):
        assert len(await _alerts(archive)) == 1
        assert set(await _generations(archive)) == {0, 1}


async def test_retention_does_not_take_the_former_streams_position_for_the_new_ones(archive: Archive) -> None:
    """What lies below it in the new stream is not archived."""
    if not isinstance(archive.deployment.engine, NatsBoth):
        pytest.skip("positions go on there")
    backend = await archive.deployment.backend()
    namespace = archive.deployment.namespace
    rule = ArchiveRule(QUICK.group, (f"{namespace}.events.audit.*",))
    streams = Streams(backend.transport, backend.state, namespace, default_streams(namespace, NotifyConfig()), rule)
    await streams.ensure()
    published = await publish(archive, 10)
    async with archive.archiving():
        await eventually(lambda: _has(archive, 10), "the first stream is archived")
        await eventually(archive.is_acknowledged, "and acknowledged")
    await _delete_stream(archive)
    await streams.change(streams.find("events-audit"), {"max_age": 0.1})
    published += await publish(archive, 10)
    retention = Retention(streams)

    async def complains() -> bool:
        done = await retention.sweep()
        assert done.removed == 0
        return f"{namespace}-events-audit" in done.held

    await eventually(complains, "it says that something is not archived", interval=0.1)
    async with archive.archiving():
        await eventually(lambda: _has(archive, 20), "the second stream is archived")
        await eventually(archive.is_acknowledged, "and acknowledged")

    async def removes() -> bool:
        return (await retention.sweep()).removed == 10

    await eventually(removes, "now it may go", interval=0.1)
    await archive.check(published)


async def _generations(archive: Archive) -> list[int]:
    async with await ObjectStore.open(archive.place) as objects:
        files = [DataFile.parse(info.name) async for info in objects.list(DATA)]
    return [file.generation for file in files if file is not None]


async def _has(archive: Archive, count: int) -> bool:
    return await archive.count() >= count
