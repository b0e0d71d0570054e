"""Files: what they are taken for, how their bytes are counted, and how they are named to a browser."""

import asyncio
import re
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.waiting import eventually

from gbe.errors import ObjectUnavailableError
from gbe.http.body import one_part
from gbe.http.files import disposition
from gbe.notify.config import NotifyConfig
from gbe.notify.files import Files
from gbe.notify.sniff import HEAD, TEXT, UNKNOWN, FileType, served_type, sniff
from gbe.notify.spool import IN_MEMORY, Spool
from gbe.notify.usage import Usage
from gbe.notify.visitors import Visitors
from gbe.objects.config import ObjectsConfig
from gbe.objects.store import ObjectStore
from gbe.state.memory import MemoryRecords, MemoryStateStore

NOW = 1_790_000_000


@pytest.mark.parametrize(
    ("head", "name", "extension"),
    [
        (b"", "", ".txt"),
        (b"plain", "", ".txt"),
        ("ä€💾".encode(), "", ".txt"),
        (b"tab\tand\r\nnewline \x1b[0m", "", ".txt"),
        (b"a" * (HEAD - 1) + "ä".encode(), "", ".txt"),
        (b"caf\xe9", "", ".bin"),
        (b"\xff" * 10, "", ".bin"),
        (b"nul\0", "", ".bin"),
        (b"\xff\xd8\xff\xe0", "", ".jpg"),
        (b"RIFF1234WEBPVP8 ", "", ".webp"),
        (b"RIFX1234WEBPVP8 ", "", ".txt"),
        (b"RIFF1234WAVE", "", ".wav"),
        (b"\0\0\0\x20ftypisom", "", ".mp4"),
        (b"\0\0\0\x20ftypavif", "", ".avif"),
        (b"x" * 257 + b"ustar", "", ".tar"),
        (b"PK\3\4", "a.zip", ".zip"),
        (b"PK\3\4", "A.APK", ".apk"),
        (b"text", "a.apk", ".txt"),
        (b"  <!doctype HTML>", "", ".html"),
        (b"<!-- c --><script >", "", ".html"),
        (b"<svg/onload=alert(1)>", "", ".html"),
        (b'<?xml version="1.0"?>', "", ".html"),
        (b"<prose>", "", ".txt"),
    ],
)
def test_what_a_file_is_taken_for(head: bytes, name: str, extension: str) -> None:
    assert sniff(head, name).extension == extension


@given(st.binary(max_size=3000), st.text(max_size=20))
def test_nothing_that_a_browser_would_run_is_served_as_such(head: bytes, name: str) -> None:
    kind = sniff(head, name)
    assert re.fullmatch(r"\.[a-z0-9]{2,8}", kind.extension)
    assert served_type(kind.type) == TEXT.type or not kind.type.startswith(("text/", "application/xml", "image/svg"))
    assert kind.type.isascii()


def test_markup_is_looked_for_in_linear_time() -> None:
    """Comments that never end are no trap."""
    for head in (b"<!--" * 300, b" " * HEAD, b"<!---->" * 150 + b"<x", b"<!-- " + b"-" * HEAD):
        assert isinstance(sniff(head), FileType)
    assert sniff(b"\0" * HEAD) == UNKNOWN


@given(st.text(max_size=80))
def test_a_name_cannot_break_out_of_its_header(name: str) -> None:
    """Whatever characters it has: a quoted string of printable ASCII, and if need be an encoded copy."""
    header = disposition(name.encode("utf-8", "replace").decode())
    assert re.fullmatch(r"attachment; filename=\"[ !#-\[\]-~]*\"(?:; filename\*=UTF-8''[A-Za-z0-9._~%-]*)?", header)


def test_a_plain_name_stands_as_it_is() -> None:
    assert disposition("report (1).pdf") == 'attachment; filename="report (1).pdf"'
    assert disposition('a"b') == "attachment; filename=\"a_b\"; filename*=UTF-8''a%22b"


@pytest.mark.parametrize("sizes", [[], [0], [10], [IN_MEMORY - 1, 1], [100_000] * 7, [IN_MEMORY * 3]])
async def test_a_spool_holds_what_came(sizes: list[int]) -> None:
    """In memory or on the disk, to the byte."""
    with Spool() as spool:
        expected = b""
        for number, size in enumerate(sizes):
            part = bytes([number % 251]) * size
            expected += part
            await spool.write(part)
        await spool.end()
        spool.file.seek(0)
        assert spool.file.read() == expected
        assert (spool.size, spool.head) == (len(expected), expected[:HEAD])
    assert spool.file.closed


async def test_a_temporary_folder_that_takes_nothing_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with Spool() as spool:
        await spool.write(b"x" * (IN_MEMORY - 1))
        with pytest.raises(ObjectUnavailableError, match="TMPDIR"):
            await spool.write(b"x")


class TestUsage:
    """Bytes that are alive."""

    def usage(self, life: float = 600.0) -> Usage:
        return Usage(MemoryStateStore(MemoryRecords()), "n", life)

    async def test_limits_hold_however_many_ask_at_once(self) -> None:
        """Of 20 that would fit one by one, so many are granted as fit together."""
        usage = self.usage()
        granted = await asyncio.gather(
            *(usage.take(f"v{n % 4}", 10, NOW + 500 + n * 7, NOW, limit=30, total_limit=100) for n in range(20))
        )
        assert sum(granted) == 10
        assert await usage.total(NOW) == 100
        assert sum([await usage.of_visitor(f"v{n}", NOW) for n in range(4)]) == 100

    async def test_what_expires_counts_no_longer(self) -> None:
        usage = self.usage(life=600.0)
        for number in range(1, 11):
            assert await usage.take("v", 10, NOW + number * 60, NOW, limit=100, total_limit=1000)
        assert not await usage.take("v", 1, NOW + 600, NOW, limit=100, total_limit=1000)
        assert await usage.of_visitor("v", NOW + 59) == 100
        assert await usage.of_visitor("v", NOW + 320) == 50
        assert await usage.take("v", 50, NOW + 900, NOW + 320, limit=100, total_limit=1000)
        assert await usage.of_visitor("v", NOW + 700) == 50
        assert await usage.total(NOW + 1000) == 0

    async def test_what_is_given_back_is_free(self) -> None:
        usage = self.usage()
        assert await usage.take("v", 60, NOW + 600, NOW, limit=100, total_limit=100)
        assert not await usage.take("w", 60, NOW + 600, NOW, limit=100, total_limit=100)
        assert await usage.of_visitor("w", NOW) == 0, "what did not fit in all is not charged"
        await usage.give_back("v", 60, NOW + 600, NOW)
        assert await usage.take("w", 100, NOW + 600, NOW, limit=100, total_limit=100)


async def test_one_node_at_a_time_removes_what_has_expired() -> None:
    """However many look after files: each is removed once, and those that live stay."""
    records, objects = MemoryRecords(), await ObjectStore.open(ObjectsConfig(url="memory"))
    removed: list[int] = []
    config = NotifyConfig(base_url="https://push.example.net")
    visitor = Visitors(config).of_request(("192.0.2.1", 1), [])
    async with objects, AsyncExitStack() as stack:
        nodes = []
        for _ in range(2):
            store = await stack.enter_async_context(MemoryStateStore(records))
            nodes.append(Files(objects, store, config, "n", removed.append))
        now = int(time.time() * 1000)
        for number in range(4):
            expires = now // 1000 + (60 if number < 3 else 9_000)
            await nodes[0].take(visitor, one_part(b"x"), name="f", announced=1, expires=expires, now_ms=now)
        running = [asyncio.create_task(node.run(lambda: now + 200_000)) for node in nodes]
        await eventually(lambda: sum(removed) == 3, "what has expired is removed")
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        assert removed == [3]
        assert len([found async for found in objects.list("notify/files")]) == 1
