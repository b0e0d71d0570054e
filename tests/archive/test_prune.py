"""``gbe archive``: what it removes, and what it never does."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.archive.messages import DAY_MS, SUBJECT, batch

from gbe.archive.layout import DATA, MANIFESTS
from gbe.archive.object_sink import ObjectSink
from gbe.archive.progress import Progress
from gbe.archive.prune import find_old, remove
from gbe.archive.verify import Known, verify
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectInfo, ObjectStore
from gbe.schemas.archive import confirmed_position, progress_key
from gbe.state.memory import MemoryStateStore


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[ObjectStore]:
    async with await ObjectStore.open(ObjectsConfig(url=str(tmp_path))) as store:
        yield store


@pytest.fixture
async def progress() -> AsyncIterator[Progress]:
    async with MemoryStateStore() as state:
        yield Progress(state, "gbe", "archiver")


async def fill(objects: ObjectStore, progress: Progress, days: list[int]) -> None:
    """One batch for each of these days since 1970, confirmed as an archiver does it."""
    sink = ObjectSink(objects)
    for number, day in enumerate(days):
        point = await progress.load(SUBJECT)
        written = batch(number, 1, timestamp=DAY_MS * day)
        intended = await progress.intend(SUBJECT, point, written)
        assert intended is not None
        mark = await sink.write(written, point.mark)
        assert await progress.confirm(SUBJECT, intended, written, mark, 0)


async def everything(objects: ObjectStore) -> list[ObjectInfo]:
    return [info async for info in objects.list(DATA)] + [info async for info in objects.list(MANIFESTS)]


def in_a_year() -> int:
    return time.time_ns() // 1_000_000 + 365 * DAY_MS


async def is_sound(objects: ObjectStore, progress: Progress) -> bool:
    point = await progress.load(SUBJECT)
    known = {SUBJECT: Known.of(point)}
    return (await verify(objects, known)).is_sound


async def test_old_days_go_and_the_rest_still_verifies(objects: ObjectStore, progress: Progress) -> None:
    """The chain begins behind what was removed."""
    await fill(objects, progress, [20_000, 20_001, 20_002])
    found = [old async for old in find_old(objects, progress, in_a_year())]
    assert [old.manifest.day for old in found] == ["2024-10-04", "2024-10-05"]
    for old in found:
        await remove(objects, progress, old)
        assert await is_sound(objects, progress)
    assert len([info async for info in objects.list(DATA)]) == 1


async def test_a_prune_that_crashed_is_no_tampering_and_is_ended_by_the_next(
    objects: ObjectStore, progress: Progress
) -> None:
    """Between any two of its steps; somebody else's deletion is still named."""
    await fill(objects, progress, [20_000, 20_001, 20_002])
    old = await anext(find_old(objects, progress, in_a_year()))
    steps = (
        lambda: progress.prune(SUBJECT, old.manifest.head, old.manifest.day, old.manifest.messages),
        lambda: objects.delete(old.manifest.entries[0].file),
    )
    for step in steps:
        await step()
        found = await verify(objects, {SUBJECT: Known.of(await progress.load(SUBJECT))})
        assert (found.findings, found.being_pruned) == ([], [old.name])
    again = [one async for one in find_old(objects, progress, in_a_year())]
    assert again[0] == old
    assert again[1].manifest.day == "2024-10-05"
    await objects.delete(again[1].manifest.entries[0].file)
    found = await verify(objects, {SUBJECT: Known.of(await progress.load(SUBJECT))})
    assert [one.kind for one in found.findings] == ["missing"]
    for one in again:
        await remove(objects, progress, one)
    found = await verify(objects, {SUBJECT: Known.of(await progress.load(SUBJECT))})
    assert (found.findings, found.being_pruned, found.files) == ([], [], 1)


async def test_looking_removes_nothing(objects: ObjectStore, progress: Progress) -> None:
    """A dry run is one."""
    await fill(objects, progress, [20_000, 20_001])
    before = await everything(objects)
    assert [old async for old in find_old(objects, progress, in_a_year())]
    assert before == await everything(objects)


async def test_what_was_written_lately_stays_whatever_day_it_claims(objects: ObjectStore, progress: Progress) -> None:
    """A message's own time is its publisher's word; when its file was written is ours."""
    await fill(objects, progress, [1, 20_000, 20_001])
    now = time.time_ns() // 1_000_000
    assert [old async for old in find_old(objects, progress, now - DAY_MS)] == []


async def test_a_day_that_follows_on_a_young_one_stays(objects: ObjectStore, progress: Progress) -> None:
    """The chain is shortened from its old end only."""
    young = in_a_year() // DAY_MS
    await fill(objects, progress, [young, 20_000, 20_001])
    assert [old async for old in find_old(objects, progress, in_a_year())] == []


async def test_the_borders_of_a_batch_are_fixed_once() -> None:
    """Of two archivers one fixes them, and the other finds them; a confirmation is one too."""
    async with MemoryStateStore() as state:
        one, other = Progress(state, "gbe", "a"), Progress(state, "gbe", "a")
        point = await one.load(SUBJECT)
        intended = await one.intend(SUBJECT, point, batch(0, 3))
        assert intended is not None
        assert await other.intend(SUBJECT, point, batch(0, 5)) is None
        found = await other.load(SUBJECT)
        assert found == intended
        assert await other.confirm(SUBJECT, found, batch(0, 3), b"m", 1)
        assert await one.confirm(SUBJECT, intended, batch(0, 3), b"m", 1) is None
        assert confirmed_position(await state.get(progress_key("gbe", "a", SUBJECT))) == "3-0"


def test_a_subject_of_any_length_has_a_key() -> None:
    """Long ones are named by their hash."""
    for subject in (f"gbe.events.audit.{'x' * 230}", f"gbe.{'y.' * 100}z", SUBJECT):
        key = progress_key("gbe", "archiver", subject)
        assert len(key) <= 255
        assert max(map(len, key.split("."))) <= 128
