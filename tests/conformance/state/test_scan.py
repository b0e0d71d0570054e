"""Reading many records."""

import asyncio

import pytest
from tests.conformance.state.conftest import OpenState

from gbe.errors import InvalidKeyError
from gbe.state.base import ScanPage, StateStore


async def keys_of(state: StateStore, prefix: str, where: dict[str, bytes | None] | None = None) -> list[str]:
    return [record.key async for record in state.scan(prefix, where)]


async def test_a_scan_covers_whole_tokens(state: StateStore, prefix: str) -> None:
    """The key itself and everything beneath it, not what merely begins alike."""
    for name in ("a", "a.b", "a.b.c", "ab", "b"):
        await state.put(f"{prefix}.{name}", {"name": name.encode()})
    assert sorted(await keys_of(state, f"{prefix}.a")) == [f"{prefix}.{name}" for name in ("a", "a.b", "a.b.c")]
    assert await keys_of(state, f"{prefix}.a.b.c") == [f"{prefix}.a.b.c"]
    assert await keys_of(state, f"{prefix}.nothing") == []
    records = [record async for record in state.scan(f"{prefix}.b")]
    assert [(record.key, record.fields) for record in records] == [(f"{prefix}.b", {"name": b"b"})]


async def test_a_scan_can_be_narrowed_by_fields(state: StateStore, prefix: str) -> None:
    """As update_if's expected: a value, or None for a field that is not there."""
    for number in range(9):
        fields = {"state": b"done" if number % 3 else b"failed", "n": b"%d" % number}
        await state.put(f"{prefix}.{number}", fields | ({"error": b"x"} if number == 3 else {}))
    failed = await keys_of(state, prefix, {"state": b"failed"})
    assert sorted(failed) == [f"{prefix}.{number}" for number in (0, 3, 6)]
    assert sorted(await keys_of(state, prefix, {"state": b"failed", "error": None})) == [f"{prefix}.0", f"{prefix}.6"]


async def test_a_scan_reads_on_page_by_page(state: StateStore, prefix: str) -> None:
    """More records than any page holds, each once; removed ones are not among them."""
    count = 1200
    for start in range(0, count, 100):
        await asyncio.gather(
            *(state.put(f"{prefix}.{number}", {"n": b"%d" % number}) for number in range(start, start + 100))
        )
    for number in range(0, count, 10):
        await state.delete(f"{prefix}.{number}")
    found = await keys_of(state, prefix)
    assert sorted(found) == sorted(f"{prefix}.{number}" for number in range(count) if number % 10)


async def test_large_records_come_one_by_one(state: StateStore, prefix: str) -> None:
    """A page is bounded in bytes too."""
    value = b"v" * 250_000
    for number in range(40):
        await state.put(f"{prefix}.{number}", {"value": value})
    assert len(await keys_of(state, prefix)) == 40


async def test_what_exists_throughout_is_found(open_state: OpenState, prefix: str) -> None:
    """However much the rest changes meanwhile."""
    reader, writer = await open_state(), await open_state()
    stable = [f"{prefix}.s{number}" for number in range(600)]
    await asyncio.gather(*(reader.put(key, {"a": b"1"}) for key in stable))
    going = True

    async def churn() -> None:
        number = 0
        while going:
            number += 1
            await asyncio.sleep(0)  # the memory back end never waits
            await writer.put(f"{prefix}.c{number % 50}", {"n": b"%d" % number})
            await writer.set_fields(stable[number % 600], {"a": b"%d" % number})
            await writer.delete(f"{prefix}.c{(number + 25) % 50}")

    churning = asyncio.create_task(churn())
    try:
        for _ in range(3):
            assert set(stable) <= set(await keys_of(reader, prefix))
    finally:
        going = False
        await churning


async def pages_of(state: StateStore, prefix: str, limit: int, **bounds: str | None) -> list[ScanPage]:
    """All pages, each from the cursor of the one before."""
    pages = [await state.scan_page(prefix, limit=limit, **bounds)]
    while pages[-1].cursor is not None:
        pages.append(await state.scan_page(prefix, limit=limit, **{**bounds, "cursor": pages[-1].cursor}))
    return pages


def keys_on(pages: list[ScanPage]) -> list[str]:
    return [record.key for page in pages for record in page.records]


@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_pages_together_are_the_scan(state: StateStore, prefix: str, limit: int) -> None:
    """Each record once, no page beyond its limit, whole tokens only."""
    keys = [f"{prefix}.a", *(f"{prefix}.a.{number}" for number in range(20))]
    for key in (*keys, f"{prefix}.ab", f"{prefix}.b"):
        await state.put(key, {"key": key.encode()})
    for number in (3, 4, 19):
        await state.delete(f"{prefix}.a.{number}")
        keys.remove(f"{prefix}.a.{number}")
    pages = await pages_of(state, f"{prefix}.a", limit)
    assert sorted(keys_on(pages)) == sorted(keys)
    assert all(record.fields == {"key": record.key.encode()} for page in pages for record in page.records)
    assert all(page.looked <= limit and len(page.records) <= limit + 1 for page in pages)
    assert await state.scan_page(f"{prefix}.nothing") == ScanPage([], None, 0)


async def test_a_part_of_a_scan_can_be_read_again(state: StateStore, prefix: str) -> None:
    """From one cursor until another, whatever page size."""
    for number in range(30):
        await state.put(f"{prefix}.{number}", {"n": b"1"})
    pages = await pages_of(state, prefix, 10)
    borders = [None, *(page.cursor for page in pages)]
    for page, start, end in zip(pages, borders, borders[1:], strict=False):
        again = await pages_of(state, prefix, 3, cursor=start, until=end)
        assert keys_on(again) == [record.key for record in page.records]


async def test_another_client_goes_on(open_state: OpenState, prefix: str) -> None:
    """What is there throughout is found, though the rest changes between two pages."""
    one, other = await open_state(), await open_state()
    stable = {f"{prefix}.s{number}" for number in range(40)}
    for key in stable:
        await one.put(key, {"n": b"1"})
    seen, cursor = set[str](), None
    for turn in range(200):
        reader, writer = (one, other) if turn % 2 else (other, one)
        page = await reader.scan_page(prefix, cursor=cursor, limit=7)
        seen.update(record.key for record in page.records)
        cursor = page.cursor
        if cursor is None:
            break
        await writer.put(f"{prefix}.x", {"n": b"%d" % turn})
        await writer.delete(f"{prefix}.y")
        await writer.put(f"{prefix}.y", {"n": b"1"})
    assert cursor is None
    assert stable <= seen


async def test_large_records_end_a_page_early(state: StateStore, prefix: str) -> None:
    """And all of them come."""
    for number in range(40):
        await state.put(f"{prefix}.{number}", {"value": b"v" * 250_000})
    assert len(keys_on(await pages_of(state, prefix, 1000))) == 40


@pytest.mark.parametrize("cursor", ["", "x y", "*", "-1", "99999999999999999999:a", "63:other.key", "\u0663", "0:a\n"])
async def test_what_is_no_cursor_is_refused(state: StateStore, prefix: str, cursor: str) -> None:
    """It may come from anybody."""
    for bounds in ({"cursor": cursor}, {"until": cursor}):
        with pytest.raises(InvalidKeyError, match="cursor"):
            await state.scan_page(prefix, **bounds)
    with pytest.raises(ValueError, match="1 to 10000"):
        await state.scan_page(prefix, limit=0)
