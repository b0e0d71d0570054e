"""Limits change while everything runs, and every node has them."""

import pytest
from tests.retention.conftest import World

from gbe.errors import ConfigError, UnknownStreamError
from gbe.sweeper.retention import Retention
from gbe.sweeper.streams import Streams


async def native(world: World, name: str) -> tuple[float | None, int | None, int | None]:
    """What the engine knows."""
    found = {config.name: config for config in await world.transport.streams()}[name]
    return found.max_age, found.max_bytes, found.max_msgs


async def test_a_change_reaches_the_engine_and_survives_what_is_configured(world: World) -> None:
    """It is there when the call returns; a process that starts later, with its own configuration, leaves it."""
    streams, name = world.streams(max_age=3600.0), f"{world.namespace}-work"
    await streams.ensure()
    view = await streams.change(name, {"max_age": 7200.0, "max_msgs": 100})
    assert view.changed == ("max_age", "max_msgs")
    assert await native(world, name) == (7200.0, None, 100)
    later = world.streams(max_age=60.0)
    await later.ensure()
    assert await native(world, name) == (7200.0, None, 100)
    assert (await later.view(name)).config.max_age == 7200.0


async def test_a_change_is_taken_back(world: World) -> None:
    """One limit at a time; the last one leaves nothing behind."""
    streams, name = world.streams(max_age=3600.0), f"{world.namespace}-work"
    await streams.ensure()
    await streams.change(name, {"max_age": None, "max_bytes": 1_000_000})
    assert await native(world, name) == (None, 1_000_000, None)
    assert (await streams.change(name, {}, reset=["max_age"])).changed == ("max_bytes",)
    assert await native(world, name) == (3600.0, 1_000_000, None)
    assert (await streams.change(name, {}, reset=["max_bytes"])).changed == ()
    assert await native(world, name) == (3600.0, None, None)


async def test_a_change_that_did_not_reach_the_engine_is_made_by_the_next_pass(world: World) -> None:
    """The record is written first: a crash between the two heals."""
    streams, name = world.streams(max_age=3600.0), f"{world.namespace}-work"
    await streams.ensure()
    await world.state.put(f"{world.namespace}.state.streams.{name}", {"limits": b'{"max_age":30.0}'})
    assert (await native(world, name))[0] == 3600.0
    await Retention(streams).sweep()
    assert (await native(world, name))[0] == 30.0


async def test_the_limits_of_an_archived_stream_are_the_sweepers(world: World) -> None:
    """The engine knows none of them: it would remove what is not archived."""
    streams, name = world.streams(archiver_runs=True, max_bytes=1000), f"{world.namespace}-audit"
    await streams.ensure()
    view = await streams.change(name, {"max_age": 60.0, "max_msgs": 5})
    assert (view.config.max_age, view.config.max_bytes, view.config.max_msgs) == (60.0, 1000, 5)
    assert await native(world, name) == (None, None, None)


async def test_limits_that_cannot_be_change_nothing(world: World) -> None:
    """The error names the limit; a record that nobody can read counts as none."""
    streams, name = world.streams(max_age=3600.0), f"{world.namespace}-work"
    await streams.ensure()
    with pytest.raises(ConfigError, match="max_msgs"):
        await streams.change(name, {"max_msgs": 0})
    for raw in (b"{", b"[]", b'{"max_age":-1}', b'{"max_age":"x"}', b'{"name":1}'):
        await world.state.put(f"{world.namespace}.state.streams.{name}", {"limits": raw})
        assert (await streams.view(name)).config.max_age == 3600.0


async def test_a_stream_is_found_by_name_or_pattern(world: World) -> None:
    """With the namespace or without; a part of a stream is no stream, and the error names the whole."""
    streams, name = world.streams(), f"{world.namespace}-work"
    for text in ("work", name, "work.>", f"{world.namespace}.work.>"):
        assert streams.find(text) == name
    with pytest.raises(UnknownStreamError, match="part of the stream work"):
        streams.find("work.a.*")
    with pytest.raises(UnknownStreamError, match="there are audit, work, system"):
        streams.find("nothing")
    with pytest.raises(UnknownStreamError):
        await streams.view("nothing")


async def test_without_a_state_store_nothing_can_be_changed(world: World) -> None:
    """Where everything lives in one process."""
    alone = Streams(world.transport, None, world.namespace, [])
    with pytest.raises(ConfigError, match="memory"):
        await alone.change("x", {"max_age": 1.0})
