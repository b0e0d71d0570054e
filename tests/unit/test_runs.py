"""Runs of deliveries: whatever a member misses, nobody is told that nothing is missing."""

from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from gbe.transport.base import Position
from gbe.transport.runs import Run

Event = Literal["next", "next for another", "again", "lost", "break"]


@given(st.lists(st.sampled_from(["next", "next", "next", "next for another", "again", "lost", "break"]), max_size=60))
def test_a_promise_never_covers_what_the_member_has_not_had(events: list[Event]) -> None:
    """An engine that counts its deliveries; some go elsewhere, come again, are lost, or the counting is interrupted."""
    run, count, newest = Run(), 0, 0
    handed: set[int] = set()
    for event in events:
        if event == "break":
            run.break_off()
            continue
        count += 1
        is_first = event != "again" or newest == 0
        if is_first:
            newest += 1
        place = newest if is_first else 1 + count % newest
        if event in ("lost", "next for another"):
            continue
        handed.add(place)
        since = run.follow(run.base + count, Position(place), is_first=is_first)
        assert since <= Position(place)
        assert set(range(since.major, place + 1)) <= handed


def test_what_follows_without_a_hole_reaches_back_to_the_first() -> None:
    """And a hole begins it anew."""
    run = Run()
    assert [run.follow(n, Position(n), is_first=True).major for n in (1, 2, 3, 5, 6)] == [1, 1, 1, 5, 5]
