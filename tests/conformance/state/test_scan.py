"""Reading many records."""

import asyncio

from tests.conformance.state.conftest import OpenState

from gbe.state.base import StateStore


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
