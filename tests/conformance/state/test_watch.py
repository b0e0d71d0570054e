"""Watching: no change goes unreported."""

import asyncio

from tests.conformance.state.conftest import OpenState
from tests.waiting import eventually, first, take

from gbe.state.base import Changed, Event, Resynchronised, StateStore


class Mirror:
    """What a watcher knows of the records."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, bytes] | None] = {}
        self.events: list[Event] = []

    async def follow(self, state: StateStore, prefix: str, ready: asyncio.Event) -> None:
        async with state.watch(prefix) as watch:
            ready.set()
            async for event in watch:
                self.events.append(event)
                match event:
                    case Changed(key, fields):
                        self.records[key] = fields
                    case Resynchronised():
                        self.records = {record.key: record.fields async for record in state.scan(prefix)}


async def test_every_change_after_the_call_is_reported(open_state: OpenState, prefix: str) -> None:
    """Of any kind, by any client; what lay there before is not."""
    watcher, writer = await open_state(), await open_state()
    key = f"{prefix}.a"
    await writer.put(key, {"n": b"0"})
    async with watcher.watch(prefix) as watch:
        events = aiter(watch)
        await writer.put(key, {"n": b"1"})
        assert await first(events) == Changed(key, {"n": b"1"})
        await writer.set_fields(key, {"m": b"2"})
        assert await first(events) == Changed(key, {"n": b"1", "m": b"2"})
        assert await writer.update_if(key, {"n": b"1"}, {"m": None})
        assert await first(events) == Changed(key, {"n": b"1"})
        await writer.delete(key)
        assert await first(events) == Changed(key, None)
        await writer.put(prefix, {"n": b"3"})
        assert await first(events) == Changed(prefix, {"n": b"3"})


async def test_other_records_are_not_reported(state: StateStore, prefix: str) -> None:
    """Whole tokens, as for a scan; and what changes nothing is no change."""
    async with state.watch(f"{prefix}.a") as watch:
        await state.put(f"{prefix}.ab", {"n": b"1"})
        await state.put(f"{prefix}.b.a", {"n": b"1"})
        assert not await state.update_if(f"{prefix}.a", {"n": b"1"}, {"n": b"2"})
        assert not await state.delete(f"{prefix}.a.b")
        await state.put(f"{prefix}.a.last", {"n": b"1"})
        assert await first(aiter(watch)) == Changed(f"{prefix}.a.last", {"n": b"1"})


async def test_a_record_that_ends_by_itself_is_reported(state: StateStore, key: str) -> None:
    """A watcher need not know of lives."""
    async with state.watch(key) as watch:
        events = aiter(watch)
        await state.put(key, {"n": b"1"}, ttl=1)
        assert await take(events, 2) == [Changed(key, {"n": b"1"}), Changed(key, None)]


async def test_the_last_state_of_each_record_arrives(open_state: OpenState, prefix: str) -> None:
    """Many writers, many records, many watchers: all end up knowing what is stored."""
    stores = [await open_state() for _ in range(3)]
    mirrors, tasks = [Mirror() for _ in range(3)], []
    for store, mirror in zip(stores, mirrors, strict=True):
        ready = asyncio.Event()
        tasks.append(asyncio.create_task(mirror.follow(store, prefix, ready)))
        await ready.wait()

    async def write(number: int) -> None:
        for step in range(20):
            key = f"{prefix}.{(number + step) % 10}"
            if step % 7 == 6:
                await stores[number % 3].delete(key)
            else:
                await stores[number % 3].set_fields(key, {"n": b"%d" % step, f"by{number % 4}": b"%d" % number})

    try:
        await asyncio.gather(*(write(number) for number in range(12)))
        expected = {f"{prefix}.{n}": await stores[0].get(f"{prefix}.{n}") for n in range(10)}
        for mirror in mirrors:
            await eventually(lambda mirror=mirror: mirror.records == expected, "the watcher knows what is stored")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_watcher_that_does_not_look_costs_nobody_anything(state: StateStore, prefix: str) -> None:
    """Writers go on; when it looks again, it learns the last state or is told to read anew."""
    async with state.watch(prefix) as watch:
        for number in range(2000):
            await state.put(f"{prefix}.{number % 500}", {"n": b"%d" % number})
        known: dict[str, dict[str, bytes] | None] = {}
        async for event in watch:
            if isinstance(event, Changed):
                known[event.key] = event.fields
            if len(known) == 500 and known[f"{prefix}.499"] == {"n": b"1999"}:
                break
        assert known == {f"{prefix}.{number}": {"n": b"%d" % (1500 + number)} for number in range(500)}


async def test_closing_the_store_ends_its_watches(open_state: OpenState, prefix: str) -> None:
    """An iteration that waits comes to its end."""
    state = await open_state()
    events: list[Event] = []

    async def follow(ready: asyncio.Event) -> None:
        async with state.watch(prefix) as watch:
            ready.set()
            events.extend([event async for event in watch])

    ready = asyncio.Event()
    task = asyncio.create_task(follow(ready))
    await ready.wait()
    await state.close()
    async with asyncio.timeout(10):
        await task
    assert events == []
