"""What is too old goes, and nothing that somebody still needs."""

import time

import pytest
from tests.retention.conftest import AGE, World, aged

from gbe.clock import ManualClock
from gbe.errors import ConfigError
from gbe.schemas.archive import POSITION, ArchiveRule, archives_key, progress_key
from gbe.sweeper.retention import Retention


async def test_what_is_archived_and_too_old_goes_and_the_rest_stays(world: World) -> None:
    """Up to the archiver's confirmed position and no further, however old; the alert names the subject, once."""
    streams = world.streams(archiver_runs=True)
    await streams.ensure()
    ids = await world.publish(world.audit, 5)
    retention = Retention(streams)
    await aged()
    await retention.sweep()
    assert await world.stored(world.audit) == [b"%d" % n for n in range(5)]
    await world.confirm(world.audit, ids[2])
    done = await world.sweep_until(retention, world.audit, [b"3", b"4"])
    assert world.audit in (done.held or (await retention.sweep()).held)[f"{world.namespace}-audit"]
    (alert,) = await world.alerts()
    assert alert.source == "sweeper"
    assert f"{world.namespace}-audit" in alert.error
    assert f"not archived yet: {world.audit}" in alert.error

    await world.confirm(world.audit, ids[4])
    await world.sweep_until(retention, world.audit, [])
    assert not (await retention.sweep()).held


async def test_what_a_program_without_an_archiver_does_costs_no_message(world: World) -> None:
    """An archiver that has never got as far as joining its group: everybody knows of it from the state store."""
    await world.streams(archiver_runs=True).ensure()
    name = f"{world.namespace}-audit"
    elsewhere = world.streams()
    view = await elsewhere.view(name)
    assert view.archived == (f"{world.namespace}.events.audit.*",)
    assert (view.native.max_age, view.config.max_age) == (None, AGE)
    await world.publish(world.audit, 3)
    await elsewhere.ensure()
    await elsewhere.change(name, {"max_age": AGE})
    await aged()
    await Retention(elsewhere).sweep()
    await world.publish(world.audit, 1, first=3)
    assert await world.stored(world.audit) == [b"0", b"1", b"2", b"3"]


async def test_two_archives_of_one_subject_both_hold_it(world: World) -> None:
    """What goes is what the slower one has too; one that is released holds nothing."""
    streams = world.streams(archiver_runs=True)
    await streams.ensure()
    second = ArchiveRule("second", (f"{world.namespace}.events.>",))
    await world.state.set_fields(archives_key(world.namespace), second.to_field())
    ids = await world.publish(world.audit, 4)
    await world.confirm(world.audit, ids[3])
    await world.confirm(world.audit, ids[1], group="second")
    retention = Retention(streams)
    await aged()
    await world.sweep_until(retention, world.audit, [b"2", b"3"])
    await world.streams().release("second")
    await world.sweep_until(retention, world.audit, [])


async def test_an_archive_that_cannot_be_read_stops_retention_and_nothing_else(world: World) -> None:
    """Of its streams nothing is removed, and no limit reaches the engine."""
    streams = world.streams(archiver_runs=True)
    await streams.ensure()
    await world.publish(world.audit, 2)
    await world.state.set_fields(archives_key(world.namespace), {"archiver": b"{"})
    await aged()
    await Retention(streams).sweep()
    assert len(await world.stored(world.audit)) == 2
    with pytest.raises(ConfigError, match="archiver cannot be read"):
        await world.streams().view(f"{world.namespace}-audit")


async def test_what_a_group_has_not_acknowledged_stays_where_the_sweeper_removes(
    world: World,
) -> None:
    """On Redis; the alert names the group and how much it has to do."""
    if world.transport.native_retention:
        pytest.skip("the engine removes what is too old by itself, groups or not")
    streams = world.streams(max_age=3600.0)
    await streams.ensure()
    subject = f"{world.namespace}.work.a"
    await world.join(f"{world.namespace}.work.*", "slow")
    await Retention(streams).sweep()  # from now on the engine leaves this stream alone
    streams = world.streams()
    await world.publish(subject, 4)
    retention = Retention(streams)
    await retention.sweep()
    await aged()
    await retention.sweep()
    await world.publish(subject, 1, first=4)
    await retention.sweep()
    assert await world.stored(subject) == [b"0", b"1", b"2", b"3", b"4"]
    (alert,) = await world.alerts()
    assert f"slow of {world.namespace}.work.* (" in alert.error
    await world.consume(f"{world.namespace}.work.*", "slow", 5)
    await world.sweep_until(retention, subject, [])


async def test_what_nobody_needs_goes_by_age_alone(world: World) -> None:
    """Without a group and without an archive, by the engine or by the sweeper."""
    streams = world.streams()
    await streams.ensure()
    subject = f"{world.namespace}.work.a"
    await world.publish(subject, 3)
    await world.sweep_until(Retention(streams), subject, [])
    assert await world.alerts() == []


async def test_what_a_group_has_acknowledged_goes(world: World) -> None:
    """Also where the sweeper removes in the engine's place."""
    streams = world.streams()
    await streams.ensure()
    subject = f"{world.namespace}.work.a"
    await world.join(subject, "quick")
    retention = Retention(streams)
    await retention.sweep()
    await world.publish(subject, 3)
    await world.consume(subject, "quick", 3)
    await world.sweep_until(retention, subject, [])


async def test_an_archived_stream_keeps_its_size_by_what_is_archived(world: World) -> None:
    """The oldest archived messages of all its subjects go, and no more than are too many."""
    streams = world.streams(archiver_runs=True, max_age=None, max_msgs=6)
    await streams.ensure()
    one, two = (f"{world.namespace}.events.audit.{name}" for name in ("one", "two"))
    ids: dict[str, list[str]] = {one: [], two: []}
    for number in range(10):
        for subject in (one, two):
            ids[subject] += await world.publish(subject, 1, first=number)
    retention = Retention(streams)
    await retention.sweep()
    assert len(await world.stored(one)) == len(await world.stored(two)) == 10
    await world.confirm(one, ids[one][-1])
    await retention.sweep()
    assert await world.stored(one) == [b"7", b"8", b"9"]
    assert len(await world.stored(two)) == 10
    await world.confirm(two, ids[two][-1])
    await retention.sweep()
    await retention.sweep()
    left = await world.stored(one) + await world.stored(two)
    assert len(left) == 6


async def test_an_alert_is_repeated_after_its_pause(world: World) -> None:
    """By the sweeper's clock, and not with each pass."""
    clock = ManualClock(now_ms=int(time.time() * 1000))
    streams = world.streams(archiver_runs=True)
    await streams.ensure()
    await world.publish(world.audit, 1)
    retention = Retention(streams, alert_every=600.0, clock=clock)
    clock.advance(AGE + 5.0)
    for _ in range(3):
        await retention.sweep()
    assert len(await world.alerts()) == 1
    clock.advance(601.0)
    await retention.sweep()
    assert len(await world.alerts()) == 2


async def test_a_position_that_cannot_be_read_holds_everything(world: World) -> None:
    """A guard that does not understand lets nobody pass."""
    streams = world.streams(archiver_runs=True)
    await streams.ensure()
    await world.publish(world.audit, 2)
    key = progress_key(world.namespace, "archiver", world.audit)
    await world.state.put(key, {POSITION: b"everything"})
    await aged()
    await Retention(streams).sweep()
    assert len(await world.stored(world.audit)) == 2
