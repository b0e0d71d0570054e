"""Each due time fires as the stated policy says, whatever happens to schedulers and clocks."""

import random

import pytest
from tests.schedules.conftest import Bench, KilledError, MortalStarter

from gbe.errors import LeaseLostError
from gbe.schedules.catchup import CatchUp, Policy, plan
from gbe.schedules.record import ScheduleRecord
from gbe.schedules.rules import Rule, parse_moment
from gbe.schedules.scheduler import Scheduler

STEP = 5.0
HOUR, DAY = 3600, 86_400
SCHEDULES: dict[str, dict[str, object]] = {
    "berlin": {"cron": "30 2 * * *", "tz": "Europe/Berlin"},
    "minutely": {"cron": "* * * * *", "tz": "Europe/Berlin", "catch_up": "skip"},
    "often": {"cron": "*/10 * * * *", "catch_up": "all", "catch_up_within": "6h"},
    "hourly": {"cron": "@hourly", "tz": "America/New_York"},
    "every": {"every": "7m", "catch_up": "all"},
}


async def make(bench: Bench, start: str) -> dict[str, ScheduleRecord]:
    """All schedules, made at a moment."""
    bench.clock.jump((parse_moment(start, "UTC") - bench.clock.now_ms()) / 1000)
    return {name: await bench.client.create(name, {"task": "work", **given}) for name, given in SCHEDULES.items()}


def between(rule: Rule | None, start: int, end: int) -> list[int]:
    """Due times later than ``start``, up to ``end``."""
    assert rule is not None
    found: list[int] = []
    moment = rule.after(start)
    while moment is not None and moment <= end:
        found.append(moment)
        moment = rule.after(moment)
    return found


class Pair:
    """Two schedulers, of which one is killed every few seconds: between two looks, or before or after a start."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self._bench, self._random = bench, random.Random(seed)
        self.members = [bench.scheduler(), bench.scheduler()]
        self.kills = 0

    async def run(self, seconds: float, *, deadly: bool = True) -> None:
        """Let so much time pass."""
        for _ in range(round(seconds / STEP)):
            self._bench.clock.advance(STEP)
            victim = self._random.randrange(2) if deadly and self._random.random() < 0.7 else None
            for number in range(2):
                scheduler, starter = self.members[number]
                dies = self._random.choice(("before", "after", "between")) if number == victim else None
                if await self._look(scheduler, starter, dies):
                    self.members[number] = self._bench.scheduler()
                    self.kills += 1

    async def _look(self, scheduler: Scheduler, starter: MortalStarter, dies: str | None) -> bool:
        starter.dies = dies
        try:
            if await scheduler.lease.try_acquire():
                await scheduler.lease.renew()
                await scheduler.look()
        except KilledError:
            return True
        except LeaseLostError:
            return False
        return dies == "between"


@pytest.mark.parametrize("start", ["2026-03-29T00:30", "2026-10-25T00:10"], ids=["forward", "back"])
async def test_an_hour_of_kills_while_clocks_are_changed(bench: Bench, start: str) -> None:
    """Every due time of the hour fires once: the hour of each change of daylight saving in Berlin."""
    records = await make(bench, start)
    began = bench.clock.now_ms()
    pair = Pair(bench, seed=7)
    await pair.run(HOUR)
    ended = bench.clock.now_ms()
    await pair.run(60, deadly=False)
    assert pair.kills > 150
    started = await bench.started()
    for name, record in records.items():
        expected = between(record.rule, began, ended)
        assert [due for due in started.get(name, []) if due <= ended] == expected, name
    spring = parse_moment("2026-03-29T01:00", "UTC"), parse_moment("2026-10-25T00:30", "UTC")
    assert started["berlin"] == [due for due in spring if began < due <= ended]


async def test_after_a_day_of_downtime_each_policy_is_kept(bench: Bench) -> None:
    """``skip``, ``latest`` and ``all``, with their limits; then it goes on as before."""
    records = await make(bench, "2026-03-28T12:03")
    pair = Pair(bench, seed=1)
    await pair.run(60, deadly=False)
    before = await bench.started()
    bench.clock.advance(DAY)
    looked_at = bench.clock.now_ms() + round(STEP * 1000)
    down = bench.clock.now_ms() - DAY * 1000
    await pair.run(STEP * 12, deadly=False)
    now = bench.clock.now_ms()
    started = await bench.started()
    for name, record in records.items():
        fresh = [due for due in started.get(name, []) if due not in before.get(name, [])]
        # the lease was let go of by nobody: it takes until the other one has seen it stand still
        expected = [
            one_look(record, down, looked_at + round(1000 * STEP * wait))
            + between(record.rule, looked_at + round(1000 * STEP * wait), now)
            for wait in range(5)
        ]
        assert fresh in expected, name
    shown = {name: await bench.client.get(name) for name in records}
    assert shown["minutely"].misses > 1400
    assert started["berlin"] == [parse_moment("2026-03-29T01:00", "UTC")]
    assert len(started["often"]) >= 36
    for name, record in shown.items():
        assert record.fire_at == (record.rule and record.rule.after(now)), name


def one_look(record: ScheduleRecord, since: int, now: int) -> list[int]:
    """What a look after a downtime fires, by the rules' own words."""
    rule = record.rule
    assert rule is not None
    due = between(rule, since, now)
    within = record.definition.catch_up_within * 1000
    punctual = [moment for moment in due if now - moment <= 60_000]
    missed = [moment for moment in due if 60_000 < now - moment <= within]
    match record.definition.catch_up:
        case CatchUp.SKIP:
            return punctual
        case CatchUp.LATEST:
            return punctual or missed[-1:]
        case CatchUp.ALL:
            return (missed + punctual)[-100:]


async def test_a_clock_that_is_set_back_fires_nothing_again(bench: Bench) -> None:
    """It goes on when the clock comes to what was next; set forward, it is a downtime."""
    await make(bench, "2026-03-25T12:00")
    pair = Pair(bench, seed=3)
    await pair.run(30 * 60)
    fired = await bench.started()
    bench.clock.jump(-2 * HOUR)
    await pair.run(20 * 60)
    assert await bench.started() == fired
    bench.clock.jump(2 * HOUR - 20 * 60 + DAY)
    await pair.run(5 * 60, deadly=False)
    after = await bench.started()
    assert {name: due[: len(fired.get(name, []))] for name, due in after.items() if name in fired} == fired
    assert len(after["berlin"]) == len(fired.get("berlin", [])) + 1
    assert len(after["often"]) > len(fired["often"]) + 30


async def test_what_was_decided_after_a_downtime_is_done_by_a_successor(bench: Bench) -> None:
    """A scheduler that dies in the middle of catching up has decided: its successor decides nothing anew."""
    await bench.client.create("often", {"task": "work", "cron": "*/10 * * * *", "catch_up": "all"})
    bench.clock.advance(HOUR)
    first, starter = bench.scheduler()
    assert await first.lease.try_acquire()
    starter.dies = "after"
    decided_at = bench.clock.now_ms()
    with pytest.raises(KilledError):
        await first.look()
    assert len((await bench.started())["often"]) == 1
    second, _ = bench.scheduler()
    bench.clock.advance(90 * 60)
    await second.lease.try_acquire()
    bench.clock.advance(9)
    assert await second.lease.try_acquire()
    await second.look()
    record = await bench.client.get("often")
    assert (await bench.started())["often"] == between(record.rule, decided_at - HOUR * 1000, decided_at)
    assert record.fire_at == (record.rule and record.rule.after(decided_at))


async def test_one_that_was_stopped_and_wakes_fires_nothing_twice(bench: Bench) -> None:
    """It has lost its lease; and if it was stopped behind that check, what it starts is there already."""
    await bench.client.create("often", {"task": "work", "cron": "*/10 * * * *"})
    first, _ = bench.scheduler()
    second, _ = bench.scheduler()
    assert await first.lease.try_acquire()
    await second.lease.try_acquire()
    bench.clock.advance(10 * 60)
    stale = await bench.client.get("often")
    assert await second.lease.try_acquire()
    await second.look()
    with pytest.raises(LeaseLostError):
        await first.fire(stale, bench.clock.now_ms())
    after = await first._start(stale, stale.fire_at or 0)
    await first._advance(stale, after)
    record = await bench.client.get("often")
    assert (record.fires, len((await bench.started())["often"])) == (1, 1)
    assert record.fire_at == (record.rule and record.rule.after(stale.fire_at or 0))


async def test_a_target_that_refuses_is_noted_and_the_schedule_goes_on(bench: Bench) -> None:
    """With the error in its record, and nothing else held up."""
    scheduler, _ = bench.scheduler(
        {"bad": {"task": "nobody-has-it", "every": "1m"}, "good": {"task": "work", "every": "1m"}}
    )
    assert await scheduler.lease.try_acquire()
    await scheduler.merge()
    bench.clock.advance(61)
    assert await scheduler.lease.try_acquire() is False
    bench.clock.advance(9)
    assert await scheduler.lease.try_acquire()
    await scheduler.look()
    bad, good = await bench.client.get("bad"), await bench.client.get("good")
    assert (bad.refusals, bad.fires, good.fires) == (1, 0, 1)
    assert "nobody-has-it" in (bad.last_error or "")
    assert bad.fire_at is not None
    assert bad.fire_at > bench.clock.now_ms()


@pytest.mark.parametrize(
    "fields",
    [
        {"rev": b"1", "changed": b"{"},
        {"rev": b"one", "changed": b"{}"},
        {"rev": b"1", "changed": b"[]"},
        {"rev": b"1", "changed": b'{"task":"work","cron":"* * * * *"}', "firing": b'{"fire":"x"}'},
        {"rev": b"1", "changed": b'{"task":"work","kron":"* * * * *"}'},
    ],
)
async def test_a_record_that_cannot_be_read_holds_nothing_up(bench: Bench, fields: dict[str, bytes]) -> None:
    """It may be another version's: it is left alone, and the others go on."""
    await bench.backend.state.put(bench.names.record("odd"), {**fields, "fire_at": b"1774440000000"})
    await bench.client.create("good", {"task": "work", "every": "1m"})
    scheduler, _ = bench.scheduler()
    bench.clock.advance(60)
    assert await scheduler.lease.try_acquire()
    await scheduler.merge()
    await scheduler.look()
    assert set(await bench.started()) == {"good"}
    assert [record.name for record in (await bench.client.list()).schedules] == ["good"]


async def test_many_due_at_once_are_all_fired(bench: Bench) -> None:
    """More than a page of them, in one look."""
    names = [f"s{number}" for number in range(300)]
    for name in names:
        await bench.client.create(name, {"task": "work", "every": "1m"})
    scheduler, _ = bench.scheduler()
    bench.clock.advance(59)
    assert await scheduler.lease.try_acquire()
    bench.clock.advance(2)
    assert await scheduler.look() == 300
    assert set(await bench.started()) == set(names)


def test_the_rules_of_this_file_are_those_of_the_code() -> None:
    """``one_look`` and ``plan`` are written apart; here they meet, over many moments."""
    record = ScheduleRecord(
        name="x", changed={"task": "work", "cron": "*/7 * * * *", "catch_up": "all", "catch_up_within": "1h"}
    )
    rule = record.rule
    assert rule is not None
    for late in range(0, 3 * HOUR * 1000, 61_111):
        first = rule.after(1_774_440_000_000) or 0
        decided = plan(rule, first, first + late, Policy(catch_up=CatchUp.ALL, within=HOUR * 1000, grace=60_000))
        assert list(decided.fire) == one_look(record, first - 1, first + late)
