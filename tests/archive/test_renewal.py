"""Streams that are deleted and made anew while they are archived: stated, and nothing of either is mixed or lost."""

import nats
import pytest
from tests.archive.test_archiver import Archive, archive, publish
from tests.redis_engines import RedisCluster
from tests.tasks.conftest import NatsBoth, RedisBoth
from tests.waiting import eventually

from gbe.archive.layout import DATA, DataFile
from gbe.objects.store import ObjectStore

__all__ = ["archive"]


async def _delete_stream(archive: Archive) -> None:
    """With everything in it; the archiver's own group goes with it."""
    engine, namespace = archive.deployment.engine, archive.deployment.namespace
    if isinstance(engine, NatsBoth):
        client = await nats.connect(engine.url)
        await client.jetstream().delete_stream(f"{namespace}-events-audit")
        await client.close()
        return
    if not isinstance(engine, RedisBoth):
        pytest.skip("it lives and dies with the process")
    nodes = engine.process.nodes if isinstance(engine.process, RedisCluster) else [engine.process]
    for pattern in (f"{namespace}:events:audit:*", f"{{{namespace}:events:audit:*"):
        for node in nodes:
            for key in node.call("KEYS", pattern):
                owner = engine.process.master_of(key.decode()) if isinstance(engine.process, RedisCluster) else node
                owner.call("DEL", key)


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


async def _generations(archive: Archive) -> list[int]:
    async with await ObjectStore.open(archive.place) as objects:
        files = [DataFile.parse(info.name) async for info in objects.list(DATA)]
    return [file.generation for file in files if file is not None]


async def _has(archive: Archive, count: int) -> bool:
    return await archive.count() >= count
