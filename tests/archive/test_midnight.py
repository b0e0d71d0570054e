"""Days: what is cut at midnight (UTC), clocks that go back, and publishers whose time is any number."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest
from tests.archive.messages import DAY_MS, SUBJECT, batch

from gbe.archive.batch import Archived, cut
from gbe.archive.config import ArchiveConfig
from gbe.archive.history import Range
from gbe.archive.layout import DATA, DataFile
from gbe.archive.manifest import Mark
from gbe.archive.object_sink import ObjectSink
from gbe.archive.open import open_history, open_sink, query
from gbe.archive.sink import Sink
from gbe.archive.verify import Known, verify
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore

DAY = DAY_MS * 20_000  # 2024-10-04
STRANGE = (0, 5, 946_684_799_999, 946_684_800_000, 253_402_300_799_999, 253_402_300_800_000, 9_999_999_999_999_999)
"""Of 1970, the last that is no day's, the first of 2000, the last of 9999, of 10000, and the largest that is read."""


def at(moments: Sequence[int]) -> list[Archived]:
    """A message for each moment, in stream order."""
    return [
        msgspec.structs.replace(one, envelope=msgspec.structs.replace(one.envelope, timestamp=moment))
        for one, moment in zip(batch(0, len(moments), timestamp=DAY).messages, moments, strict=True)
    ]


async def write_all(sink: Sink, messages: Sequence[Archived]) -> bytes:
    """As the archiver cuts them; the last mark."""
    mark, left = b"", list(messages)
    while (found := cut(SUBJECT, left, 1000, 1024 * 1024)) is not None:
        mark = await sink.write(found, mark)
        del left[: len(found.messages)]
    return mark


@pytest.fixture(params=["files", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> ArchiveConfig:
    if request.param == "files":
        return ArchiveConfig(url=str(tmp_path / "archive"))
    return ArchiveConfig(url=request.getfixturevalue("url"))


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[ObjectStore]:
    async with await ObjectStore.open(ObjectsConfig(url=str(tmp_path / "own"))) as store:
        yield store


async def test_a_file_never_spans_midnight_whichever_way_clocks_go(objects: ObjectStore) -> None:
    """The last millisecond of a day and the first of the next are in two files; back again makes a third."""
    moments = [DAY - 2, DAY - 1, DAY, DAY - 1, DAY - 1, DAY + 1, DAY]
    mark = Mark.parse(await write_all(ObjectSink(objects), at(moments)))
    names = [info.name async for info in objects.list(DATA)]
    found = sorted((file.first.major, file.last.major, file.day) for n in names if (file := DataFile.parse(n)))
    assert found == [(1, 2, "2024-10-03"), (3, 3, "2024-10-04"), (4, 5, "2024-10-03"), (6, 7, "2024-10-04")]
    seen = await verify(objects, {SUBJECT: Known(mark.head, day=mark.day, chunk=mark.chunk)})
    assert (seen.findings, seen.messages) == ([], 7)


async def test_a_time_that_no_calendar_has_stops_neither_the_archiver_nor_a_query(place: ArchiveConfig) -> None:
    """Other programs publish too, and what they call the time is archived as it is; ``time`` is NULL there."""
    async with await open_sink(place, ObjectsConfig(), "") as sink:
        await write_all(sink, at([*STRANGE, DAY]))
    sql = "SELECT ts, time IS NULL, time FROM events ORDER BY ts"
    answer = await query(place, ObjectsConfig(), "", sql, limit=100, timeout=30, memory=256 * 1024 * 1024)
    moments = sorted([*STRANGE, DAY])
    assert [row[:2] for row in answer.rows] == [(ms, ms >= 253_402_300_800_000) for ms in moments]
    async with await open_history(place, ObjectsConfig(), "") as history:
        read = [one.envelope.timestamp async for one, _ in history.messages(Range(SUBJECT))]
    assert sorted(read) == moments
