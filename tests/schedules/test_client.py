"""Schedules at run time: made, looked at, changed, paused, run, deleted; and the file beside it."""

from typing import Any

import pytest
from tests.schedules.conftest import Bench

from gbe.errors import (
    GbeError,
    InvalidScheduleError,
    InvalidTaskError,
    ScheduleConflictError,
    ScheduleNotFoundError,
    UnknownTaskTypeError,
)
from gbe.schedules.rules import parse_moment

DAILY: dict[str, object] = {"task": "work", "params": {"n": 1}, "cron": "@daily"}


async def test_a_schedule_is_made_and_found_again(bench: Bench) -> None:
    """With its next due time, also in lists, page by page."""
    made = await bench.client.create("daily", DAILY)
    assert made.fire_at == parse_moment("2026-03-26", "UTC")
    assert await bench.client.get("daily") == made
    for number in range(5):
        await bench.client.create(f"more-{number}", DAILY)
    names, cursor = [], None
    for _ in range(3):
        page = await bench.client.list(limit=2, cursor=cursor)
        names += [record.name for record in page.schedules]
        cursor = page.cursor
    assert names == ["daily", *(f"more-{number}" for number in range(5))]
    assert cursor is None


async def test_a_name_is_taken_once(bench: Bench) -> None:
    """And free again after a delete."""
    await bench.client.create("daily", DAILY)
    with pytest.raises(ScheduleConflictError, match="daily already"):
        await bench.client.create("daily", DAILY)
    await bench.client.delete("daily")
    with pytest.raises(ScheduleNotFoundError, match="daily"):
        await bench.client.delete("daily")
    await bench.client.create("daily", DAILY)


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        (
            {"task": "work", "cron": "61 * * * *"},
            InvalidScheduleError,
            "schedule x: cron: '61 .*minute hour.*its minute",
        ),
        ({"task": "work", "cron": "0 0 30 2 *"}, InvalidScheduleError, "cron: .*its day-of-month cannot be"),
        ({"task": "work", "cron": "@dayly"}, InvalidScheduleError, "there are @hourly"),
        ({"task": "work", "cron": "0 0 29 2 1#5", "tz": "Mars/Base"}, InvalidScheduleError, "tz: .*IANA time zone"),
        ({"task": "work", "every": "0s"}, InvalidScheduleError, "every: '0s'; expected 1 second to 366 days"),
        ({"task": "work", "every": "soon"}, InvalidScheduleError, "every: 'soon'; expected a duration"),
        ({"task": "work", "at": "tomorrow"}, InvalidScheduleError, "at: 'tomorrow'; expected a date and time"),
        ({"task": "work", "at": "2020-01-01T00:00"}, InvalidScheduleError, "at: .* has passed"),
        ({"task": "work", "event": "a..b"}, InvalidScheduleError, "event: 'a..b'; expected a pattern"),
        (
            {"task": "work", "event": "a", "event_params": {"x": "body"}},
            InvalidScheduleError,
            "event_params: .*payload",
        ),
        ({"task": "work", "cron": "@daily", "event_params": {"x": "id"}}, InvalidScheduleError, "with an event"),
        ({"task": "work", "cron": "@daily", "every": "5m"}, InvalidScheduleError, "every: cron and every exclude"),
        ({"task": "work", "job": "work"}, InvalidScheduleError, "name what is started"),
        ({"cron": "@daily"}, InvalidScheduleError, "task: name what is started"),
        ({"task": "work", "crom": "@daily"}, InvalidScheduleError, "crom: unknown key; did you mean cron"),
        ({"task": "work", "catch_up": "some"}, InvalidScheduleError, "catch_up: 'some'; expected skip, latest or all"),
        ({"task": "work", "params": [1]}, InvalidScheduleError, "params: .*expected parameters, name to value"),
        ({"task": "work", "params": {"x": "y" * 70_000}}, InvalidScheduleError, "at most 65536 bytes"),
        ({"task": "nobody"}, UnknownTaskTypeError, "unknown task type 'nobody'"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_field_and_nothing_is_written(
    bench: Bench, settings: dict[str, object], error: type[GbeError], text: str
) -> None:
    """Each says what would be accepted."""
    with pytest.raises(error, match=text):
        await bench.client.create("x", settings)
    with pytest.raises(ScheduleNotFoundError):
        await bench.client.get("x")


@pytest.mark.parametrize("name", ["", "a.b", "a b", "*", "x" * 65, "ä", "../x"])
async def test_a_name_that_cannot_be_is_refused(bench: Bench, name: str) -> None:
    """Before it is part of a key."""
    with pytest.raises(InvalidScheduleError, match="letters, digits"):
        await bench.client.create(name, DAILY)
    with pytest.raises(InvalidScheduleError, match="letters, digits"):
        await bench.client.get(name)


async def test_parameters_are_checked_by_what_a_worker_has_said(bench: Bench) -> None:
    """A schedule that could never start anything is refused when it is made."""
    schema = b'{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}'
    await bench.backend.state.set_fields(bench.backend.names.type("typed"), {"schema": schema})
    with pytest.raises(InvalidTaskError, match="n"):
        await bench.client.create("x", {"task": "typed", "params": {"n": "many"}, "every": "1h"})
    await bench.client.create("x", {"task": "typed", "params": {"n": 3}, "every": "1h"})


async def test_a_change_of_when_begins_anew_and_one_of_what_does_not(bench: Bench) -> None:
    """A due time that is there already is kept when only the parameters change."""
    made = await bench.client.create("daily", DAILY)
    bench.clock.advance(3600)
    changed = await bench.client.change("daily", {"params": {"n": 2}})
    assert (changed.definition.params, changed.fire_at) == ({"n": 2}, made.fire_at)
    every = await bench.client.change("daily", {"every": "5m"})
    assert every.definition.cron is None
    assert every.fire_at == bench.clock.now_ms() + 300_000
    with pytest.raises(InvalidScheduleError, match="unknown key"):
        await bench.client.change("daily", {"evry": None})
    with pytest.raises(InvalidScheduleError, match="name what is started"):
        await bench.client.change("daily", {"task": None})


async def test_paused_ones_are_not_due_and_leave_what_they_missed(bench: Bench) -> None:
    """After a resume comes the next due time, not the ones between."""
    await bench.client.create("often", {"task": "work", "every": "10m", "catch_up": "all"})
    paused = await bench.client.pause("often", paused=True)
    assert (paused.is_paused, paused.fire_at) == (True, None)
    bench.clock.advance(3600)
    scheduler, _ = bench.scheduler()
    assert await scheduler.lease.try_acquire()
    assert await scheduler.look() == 0
    resumed = await bench.client.pause("often", paused=False)
    assert resumed.fire_at == bench.clock.now_ms() + 600_000


async def test_a_run_starts_at_once_and_once_per_key(bench: Bench) -> None:
    """Paused or not, with parameters of its own; the due time stays."""
    made = await bench.client.create("daily", {**DAILY, "paused": True})
    first = await bench.client.run("daily", {"m": 2}, idempotency_key="k")
    again = await bench.client.run("daily", {"m": 2}, idempotency_key="k")
    other = await bench.client.run("daily")
    assert first == again != other
    task = await bench.tasks.get(first.id, "work")
    assert await bench.tasks.params_of(task) == b'{"n":1,"m":2}'
    record = await bench.client.get("daily")
    assert (record.fires, record.last_id, record.fire_at) == (3, other.id, made.fire_at)


async def test_a_single_moment_fires_once_and_is_forgotten_later(bench: Bench) -> None:
    """Its record stays for a while, with what it has started."""
    await bench.client.create("once", {"task": "work", "at": "2026-03-25T13:01", "tz": "Europe/Berlin"})
    scheduler, _ = bench.scheduler()
    bench.clock.advance(60)
    assert await scheduler.lease.try_acquire()
    assert (await scheduler.look(), await scheduler.look()) == (1, 0)
    record = await bench.client.get("once")
    assert (record.fires, record.fire_at) == (1, None)
    with pytest.raises(InvalidScheduleError, match="has passed"):
        await bench.client.create("late", {"task": "work", "at": "2026-03-25T12:59", "tz": "Europe/Berlin"})


async def merged(bench: Bench, configured: dict[str, dict[str, Any]]) -> None:
    scheduler, _ = bench.scheduler(configured)  # type: ignore[arg-type]
    await scheduler.merge()


async def test_the_file_is_merged_and_what_was_changed_at_run_time_wins(bench: Bench) -> None:
    """New ones come, changed ones change, and those that are gone go."""
    await bench.client.create("own", DAILY)
    await merged(bench, {"a": {"task": "work", "cron": "@daily"}, "b": {"task": "work", "every": "1h"}})
    assert [record.name for record in (await bench.client.list()).schedules] == ["a", "b", "own"]
    await bench.client.change("a", {"params": {"n": 9}})
    await bench.client.change("a", {"every": "10m"})
    await merged(bench, {"a": {"task": "other", "cron": "@hourly"}})
    assert [record.name for record in (await bench.client.list()).schedules] == ["a", "own"]
    a = (await bench.client.get("a")).definition
    assert (a.task, a.every, a.cron, a.params) == ("other", 600.0, None, {"n": 9})
    back = await bench.client.change("a", {"every": None})
    assert (back.definition.cron, back.fire_at) == (
        "@hourly",
        bench.clock.now_ms() // 3_600_000 * 3_600_000 + 3_600_000,
    )
    with pytest.raises(ScheduleConflictError, match="configuration file"):
        await bench.client.delete("a")


async def test_merging_again_changes_nothing(bench: Bench) -> None:
    """A failover is no change: due times, counts and pauses stay."""
    file = {"a": {"task": "work", "every": "1h"}}
    await merged(bench, file)
    await bench.client.pause("a", paused=True)
    before = await bench.client.get("a")
    bench.clock.advance(60)
    await merged(bench, file)
    assert await bench.client.get("a") == before


async def test_a_file_that_does_not_go_with_a_change_wins(bench: Bench) -> None:
    """What was set at run time is dropped, rather than the schedule standing still."""
    await merged(bench, {"a": {"task": "work", "event": "x.y"}})
    await bench.client.change("a", {"event_params": {"id": "id"}})
    await merged(bench, {"a": {"task": "work", "every": "1h"}})
    record = await bench.client.get("a")
    assert (record.definition.every, record.changed) == (3600.0, {})
    assert record.fire_at is not None
