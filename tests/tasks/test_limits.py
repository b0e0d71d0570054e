"""Limits of rate, by a clock that is moved by hand."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gbe.clock import ManualClock
from gbe.lifecycle.names import TaskNames
from gbe.lifecycle.types import Rate, TaskType
from gbe.state.memory import MemoryRecords, MemoryStateStore
from gbe.tasks.limits import Limits

PER_KEY = TaskType(rate_limit_per_key=Rate(2, 60.0))


async def test_a_key_waits_for_its_own_rate_and_for_no_other_s() -> None:
    """Of two a minute, a second start has to wait for half of one; other keys, and tasks without one, do not."""
    clock = ManualClock()
    async with MemoryStateStore(MemoryRecords(clock)) as state:
        one, other = (Limits(state, TaskNames("test"), clock) for _ in range(2))  # two workers
        assert await one.admit("mail", PER_KEY, "a", "task-1") == []
        assert await other.admit("mail", PER_KEY, "a", "task-2") == 30.0
        assert await other.admit("mail", PER_KEY, "b", "task-3") == []
        assert [await other.admit("mail", PER_KEY, None, f"task-{n}") for n in (4, 5)] == [[], []]
        assert await other.admit("post", PER_KEY, "a", "task-6") == []  # another type
        clock.advance(20)
        assert await other.admit("mail", PER_KEY, "a", "task-2") == 10.0
        clock.advance(10)
        assert await other.admit("mail", PER_KEY, "a", "task-2") == []
        assert await one.admit("mail", PER_KEY, "a", "task-7") == 30.0


@given(
    steps=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40)), max_size=60),
)
async def test_no_key_ever_starts_more_than_its_rate(steps: list[tuple[str, int]]) -> None:
    """Whatever comes when; and who waits as long as told may start."""
    clock = ManualClock()
    started: dict[str, list[int]] = {"a": [], "b": []}
    async with MemoryStateStore(MemoryRecords(clock)) as state:
        limits = Limits(state, TaskNames("test"), clock)
        for number, (key, pause) in enumerate(steps):
            clock.advance(pause)
            admitted = await limits.admit("mail", PER_KEY, key, f"task-{number}")
            if isinstance(admitted, float):
                clock.advance(admitted)
                assert await limits.admit("mail", PER_KEY, key, f"task-{number}") == []
            started[key].append(clock.now_ms())
    for moments in started.values():
        assert all(later - earlier >= 30_000 for earlier, later in pairwise(moments))
