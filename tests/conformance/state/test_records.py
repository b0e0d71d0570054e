"""One record: written, read, changed, removed."""

import asyncio
import time

from tests.conformance.state.conftest import OpenState
from tests.waiting import CLOCKS_DIFFER, eventually

from gbe.state.base import StateStore


async def test_what_was_put_is_read_back(state: StateStore, key: str) -> None:
    """Values are bytes of any kind."""
    fields = {"state": b"pending", "params": bytes(range(256)), "empty": b"", "utf8": "æ\r\n".encode()}
    await state.put(key, fields)
    assert await state.get(key) == fields
    assert await state.get_field(key, "params") == bytes(range(256))
    assert await state.get_field(key, "empty") == b""


async def test_what_was_never_put_is_not_there(state: StateStore, key: str) -> None:
    """Neither the record nor a field of it."""
    assert await state.get(key) is None
    assert await state.get_field(key, "state") is None
    await state.put(key, {"state": b"pending"})
    assert await state.get_field(key, "other") is None


async def test_a_put_replaces_the_whole_record(state: StateStore, key: str) -> None:
    """Fields that the second one does not name are gone."""
    await state.put(key, {"a": b"1", "b": b"2"})
    await state.put(key, {"b": b"3"})
    assert await state.get(key) == {"b": b"3"}


async def test_set_fields_leaves_the_others(state: StateStore, key: str) -> None:
    """It makes the record if need be, and removes what is set to nothing."""
    await state.set_fields(key, {"a": b"1", "b": b"2"})
    await state.set_fields(key, {"b": None, "c": b"3"})
    assert await state.get(key) == {"a": b"1", "c": b"3"}


async def test_a_record_that_loses_its_last_field_is_gone(state: StateStore, key: str) -> None:
    """A record without fields does not exist."""
    await state.put(key, {"a": b"1"})
    await state.set_fields(key, {"a": None})
    assert await state.get(key) is None
    assert await state.delete(key) is False
    await state.set_fields(key, {"never": None})
    assert await state.get(key) is None


async def test_delete_says_whether_something_was_there(state: StateStore, key: str) -> None:
    """And what was deleted can be made again."""
    await state.put(key, {"a": b"1"})
    assert await state.delete(key) is True
    assert await state.delete(key) is False
    assert await state.get(key) is None
    assert await state.update_if(key, {"a": None}, {"a": b"2"}) is True
    assert await state.get(key) == {"a": b"2"}


async def test_all_clients_see_one_record(open_state: OpenState, key: str) -> None:
    """What one has written when its call returns, another reads."""
    one, other = await open_state(), await open_state()
    for number in range(20):
        await one.set_fields(key, {"n": b"%d" % number})
        assert await other.get_field(key, "n") == b"%d" % number


async def test_update_if_applies_all_changes_or_none(state: StateStore, key: str) -> None:
    """All expected fields must match."""
    await state.put(key, {"state": b"pending", "attempt": b"0"})
    assert not await state.update_if(key, {"state": b"pending", "attempt": b"1"}, {"state": b"lost"})
    assert not await state.update_if(key, {"state": b"pending", "worker": b"w1"}, {"state": b"lost"})
    assert not await state.update_if(key, {"state": None}, {"state": b"lost"})
    assert await state.get(key) == {"state": b"pending", "attempt": b"0"}
    assert await state.update_if(
        key, {"state": b"pending", "worker": None}, {"state": b"claimed", "attempt": b"1", "worker": b"w1"}
    )
    assert await state.get(key) == {"state": b"claimed", "attempt": b"1", "worker": b"w1"}


async def test_update_if_creates_a_record_once(state: StateStore, key: str) -> None:
    """A record that is not there has no fields."""
    assert not await state.update_if(key, {"state": b"pending"}, {"state": b"lost"})
    assert await state.get(key) is None
    assert await state.update_if(key, {"state": None}, {"state": b"pending"})
    assert not await state.update_if(key, {"state": None}, {"state": b"again"})
    assert await state.get(key) == {"state": b"pending"}


async def test_update_if_can_remove_fields_and_the_record(state: StateStore, key: str) -> None:
    """As set_fields does."""
    await state.put(key, {"state": b"done", "worker": b"w1"})
    assert await state.update_if(key, {"state": b"done"}, {"worker": None})
    assert await state.get(key) == {"state": b"done"}
    assert await state.update_if(key, {"state": b"done"}, {"state": None})
    assert await state.get(key) is None


async def test_concurrent_changes_to_different_fields_all_last(open_state: OpenState, key: str) -> None:
    """set_fields is atomic: nobody's field is lost to somebody else's write."""
    stores = [await open_state() for _ in range(4)]
    await asyncio.gather(*(stores[number % 4].set_fields(key, {f"f{number}": b"%d" % number}) for number in range(40)))
    assert await stores[0].get(key) == {f"f{number}": b"%d" % number for number in range(40)}


async def test_a_counter_counts_every_increment_once(open_state: OpenState, key: str) -> None:
    """Compare-and-set by many at once loses nothing and doubles nothing."""
    stores = [await open_state() for _ in range(3)]
    await stores[0].put(key, {"n": b"0"})

    async def increment(store: StateStore) -> None:
        while True:
            now = await store.get_field(key, "n")
            assert now is not None
            if await store.update_if(key, {"n": now}, {"n": b"%d" % (int(now) + 1)}):
                return

    await asyncio.gather(*(increment(stores[number % 3]) for number in range(60)))
    assert await stores[0].get_field(key, "n") == b"60"


async def test_two_thousand_claims_have_one_winner_each_round(open_state: OpenState, prefix: str) -> None:
    """Forty rounds of fifty claimers: exactly one gets the record, and the record names it."""
    stores = [await open_state() for _ in range(5)]

    async def claim(key: str, claimer: int) -> int | None:
        changes = {"state": b"claimed", "worker": b"w%d" % claimer, "timeout_at": b"1790000000000"}
        won = await stores[claimer % 5].update_if(key, {"state": b"pending"}, changes)
        return claimer if won else None

    for number in range(40):
        key = f"{prefix}.r{number}"
        await stores[number % 5].put(key, {"state": b"pending"})
        outcomes = await asyncio.gather(*(claim(key, claimer) for claimer in range(50)))
        winners = [outcome for outcome in outcomes if outcome is not None]
        assert len(winners) == 1
        record = await stores[0].get(key)
        assert record is not None
        assert record["worker"] == b"w%d" % winners[0]


# -- time to live


async def test_a_record_ends_by_itself(state: StateStore, key: str) -> None:
    """Not before its time, and not long after; then it is not there in any way."""
    started = time.monotonic()
    await state.put(key, {"a": b"1", "timeout_at": b"5"}, ttl=1.2)
    assert await state.get(key) is not None

    async def is_gone() -> bool:
        return await state.get(key) is None

    await eventually(is_gone, "the record ended")
    assert time.monotonic() - started >= 1.2 - CLOCKS_DIFFER
    assert key not in [record.key for record in await state.due("timeout_at", 10, limit=10_000)]
    assert [record async for record in state.scan(key)] == []
    assert await state.delete(key) is False
    assert await state.update_if(key, {"a": None}, {"a": b"2"})
    assert await state.get(key) == {"a": b"2"}


async def test_a_change_keeps_the_end_of_life_or_moves_it(state: StateStore, prefix: str) -> None:
    """KEEP is the default of changes; None removes the end; a put replaces it."""
    kept, freed, again, renewed = (f"{prefix}.{name}" for name in ("kept", "freed", "again", "renewed"))
    for key in (kept, freed, again, renewed):
        await state.put(key, {"a": b"1"}, ttl=1)
    await state.set_fields(kept, {"b": b"2"})
    assert await state.update_if(freed, {"a": b"1"}, {"b": b"2"}, ttl=None)
    await state.put(again, {"a": b"2"})
    await state.set_fields(renewed, {"b": b"2"}, ttl=3600)

    async def is_gone() -> bool:
        return await state.get(kept) is None

    await eventually(is_gone, "the record ended")
    assert await state.get(freed) == {"a": b"1", "b": b"2"}
    assert await state.get(again) == {"a": b"2"}
    assert await state.get(renewed) == {"a": b"1", "b": b"2"}


async def test_a_new_record_begins_a_new_life(state: StateStore, key: str) -> None:
    """The end of a record that was deleted is not that of its successor."""
    await state.put(key, {"a": b"1"}, ttl=1)
    await state.delete(key)
    await state.set_fields(key, {"a": b"2"})
    marker = f"{key}.marker"
    await state.put(marker, {"a": b"1"}, ttl=1.5)

    async def is_gone() -> bool:
        return await state.get(marker) is None

    await eventually(is_gone, "the marker ended")
    assert await state.get(key) == {"a": b"2"}
