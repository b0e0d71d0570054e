"""Deadlines: who is due, in which order, and that none is ever lost."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.conformance.state.conftest import OpenState

from gbe.state.base import MAX_DEADLINE, StateStore

NOW = 1_790_000_000_000


@pytest.fixture(autouse=True)
async def nothing_is_left_due(state: StateStore, prefix: str) -> AsyncIterator[None]:
    """Tests share their engine, and with it the index."""
    yield
    async for record in state.scan(prefix):
        await state.delete(record.key)


async def due(state: StateStore, prefix: str, before: int, index: str = "timeout_at") -> list[str]:
    """The due keys below a prefix, without it; other tests' records share the index."""
    records = await state.due(index, before, limit=10_000)
    return [record.key[len(prefix) + 1 :] for record in records if record.key.startswith(f"{prefix}.")]


async def put(state: StateStore, key: str, deadline: int) -> None:
    await state.put(key, {"state": b"running", "timeout_at": b"%d" % deadline})


async def test_what_is_due_is_found_in_order(state: StateStore, prefix: str) -> None:
    """Up to and with the moment that is asked for, the earliest first, with the fields."""
    for name, deadline in (("c", NOW), ("a", NOW - 5000), ("later", NOW + 1), ("b", NOW - 1), ("old", 7)):
        await put(state, f"{prefix}.{name}", deadline)
    await state.put(f"{prefix}.none", {"state": b"running"})
    assert await due(state, prefix, NOW) == ["old", "a", "b", "c"]
    assert await due(state, prefix, NOW - 2) == ["old", "a"]
    assert await due(state, prefix, 6) == []
    found = {record.key: record.fields for record in await state.due("timeout_at", NOW, limit=10_000)}
    assert found[f"{prefix}.c"] == {"state": b"running", "timeout_at": b"%d" % NOW}


async def test_a_record_stays_due_until_its_deadline_moves(state: StateStore, prefix: str) -> None:
    """Looking does not change anything."""
    await put(state, f"{prefix}.a", NOW)
    for _ in range(3):
        assert await due(state, prefix, NOW) == ["a"]


async def test_a_deadline_that_moves_is_found_where_it_is(state: StateStore, prefix: str) -> None:
    """Later, earlier, later than before, removed, set again."""
    key = f"{prefix}.a"
    await put(state, key, NOW)
    for deadline in (NOW + 5000, NOW + 9000, NOW + 2000, NOW - 7000, NOW + 9000, NOW + 9000, NOW):
        await state.set_fields(key, {"timeout_at": b"%d" % deadline})
        assert await due(state, prefix, deadline - 1) == []
        assert await due(state, prefix, deadline) == ["a"]
    await state.set_fields(key, {"timeout_at": None})
    assert await due(state, prefix, NOW + 90_000) == []
    await state.set_fields(key, {"timeout_at": b"%d" % NOW})
    assert await due(state, prefix, NOW) == ["a"]


async def test_a_deadline_that_moved_unseen_is_found_where_it_is(state: StateStore, prefix: str) -> None:
    """As above, without a look in between."""
    for number in range(30):
        key = f"{prefix}.{number}"
        await put(state, key, NOW + number)
        for step in range(number % 5):
            await state.set_fields(key, {"timeout_at": b"%d" % (NOW + 1000 * step * (-1) ** number + number)})
    expected = [number for number in range(30) if number % 5 < 2 or number % 2]
    found = await due(state, prefix, NOW + 29)
    assert sorted(map(int, found)) == expected
    assert sorted(map(int, await due(state, prefix, NOW + 9000))) == list(range(30))


async def test_what_is_deleted_is_not_due(state: StateStore, prefix: str) -> None:
    """And its successor is due at its own time."""
    key = f"{prefix}.a"
    await put(state, key, NOW)
    await state.delete(key)
    assert await due(state, prefix, NOW) == []
    await state.put(key, {"state": b"new"})
    assert await due(state, prefix, NOW) == []
    await put(state, key, NOW + 5)
    assert await due(state, prefix, NOW) == []
    assert await due(state, prefix, NOW + 5) == ["a"]
    await state.put(key, {"state": b"finished"})
    assert await due(state, prefix, NOW + 5) == []


async def test_indexes_are_independent(state: StateStore, prefix: str) -> None:
    """One record may have several deadlines."""
    key = f"{prefix}.a"
    await state.put(key, {"timeout_at": b"%d" % NOW, "wake_at": b"%d" % (NOW + 50)})
    assert await due(state, prefix, NOW, "wake_at") == []
    assert await due(state, prefix, NOW + 50, "wake_at") == ["a"]
    await state.set_fields(key, {"timeout_at": None})
    assert await due(state, prefix, NOW) == []
    assert await due(state, prefix, NOW + 50, "wake_at") == ["a"]


async def test_update_if_moves_deadlines_only_when_it_applies(state: StateStore, prefix: str) -> None:
    """A refused change leaves the index alone."""
    key = f"{prefix}.a"
    await put(state, key, NOW)
    assert not await state.update_if(key, {"state": b"done"}, {"timeout_at": b"1"})
    assert await due(state, prefix, NOW - 1) == []
    assert await state.update_if(key, {"state": b"running"}, {"timeout_at": b"%d" % (NOW - 10)})
    assert await due(state, prefix, NOW - 10) == ["a"]


async def test_a_page_is_limited(state: StateStore, prefix: str) -> None:
    """A sweep that handles a page and asks again comes to an end, having seen everything once."""
    count = 130
    for number in range(count):
        await state.put(f"{prefix}.{number}", {"wake_at": b"%d" % (NOW - number)})
    seen: list[str] = []
    while page := await state.due("wake_at", NOW, limit=50):
        assert len(page) <= 50
        for record in page:
            if record.key.startswith(f"{prefix}."):
                seen.append(record.key)
            await state.set_fields(record.key, {"wake_at": None})
    assert sorted(seen) == sorted(f"{prefix}.{number}" for number in range(count))


async def test_a_crowd_is_worked_off_page_by_page(state: StateStore, prefix: str) -> None:
    """After an outage very much is due; every record is handed out, and none for ever."""
    count = 3000
    for start in range(0, count, 100):
        await asyncio.gather(
            *(put(state, f"{prefix}.{number}", NOW - 7 * number) for number in range(start, start + 100))
        )
    seen: set[str] = set()
    while page := [r for r in await state.due("timeout_at", NOW, limit=900) if r.key.startswith(f"{prefix}.")]:
        seen.update(record.key for record in page)
        await asyncio.gather(*(state.set_fields(record.key, {"timeout_at": None}) for record in page))
    assert len(seen) == count


async def test_the_first_and_the_last_moment(state: StateStore, prefix: str) -> None:
    """Nothing is out of range; digits may be fewer than usual."""
    await state.put(f"{prefix}.first", {"timeout_at": b"0"})
    await state.put(f"{prefix}.last", {"timeout_at": b"%d" % MAX_DEADLINE})
    await state.put(f"{prefix}.padded", {"timeout_at": b"007"})
    assert await due(state, prefix, 0) == ["first"]
    assert await due(state, prefix, -5) == ["first"]
    assert await due(state, prefix, MAX_DEADLINE - 1) == ["first", "padded"]
    assert await due(state, prefix, MAX_DEADLINE * 2) == ["first", "padded", "last"]


async def test_no_deadline_is_lost_between_sweepers_and_writers(open_state: OpenState, prefix: str) -> None:
    """Sweeps go on while writers move deadlines back and forth; in the end each is found where it is."""
    writer, sweeper, other = await open_state(), await open_state(), await open_state()
    keys = [f"{prefix}.{number}" for number in range(20)]
    last: dict[str, int] = {}

    async def move(key: str, number: int) -> None:
        for step in range(15):
            deadline = NOW + (number * 7919 + step * 104_729) % 1000
            if step % 6 == 5:
                await writer.set_fields(key, {"timeout_at": None, "state": b"x"})
            await writer.set_fields(key, {"timeout_at": b"%d" % deadline})
            last[key] = deadline

    async def sweep(store: StateStore) -> None:
        for moment in range(NOW, NOW + 1000, 25):
            await store.due("timeout_at", moment, limit=10_000)

    await asyncio.gather(*(move(key, number) for number, key in enumerate(keys)), sweep(sweeper), sweep(other))
    for key in keys:
        name = key.rpartition(".")[2]
        assert name in await due(sweeper, prefix, last[key])
        assert name not in await due(sweeper, prefix, last[key] - 1)
