"""What is fired after a downtime: the policies, beside their words."""

from hypothesis import given
from hypothesis import strategies as st

from gbe.schedules.catchup import MOST_CAUGHT_UP, MOST_COUNTED, CatchUp, Policy, plan
from gbe.schedules.rules import Cron, Every, Once

NOON = 1_790_000_040_000 // 60_000 * 60_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def policy(catch_up: CatchUp, within: int = DAY, grace: int = MINUTE) -> Policy:
    return Policy(catch_up=catch_up, within=within, grace=grace)


def test_a_punctual_due_time_is_fired_under_every_policy() -> None:
    """And nothing else."""
    for each in CatchUp:
        decided = plan(Every(3600, NOON - HOUR), NOON, NOON + 900, policy(each))
        assert (decided.fire, decided.missed, decided.next) == ((NOON,), 0, NOON + HOUR)
        assert decided.is_plain


def test_after_a_day_each_policy_does_what_it_says() -> None:
    """An hourly schedule, looked at 24.5 hours late: 25 due times, one of them older than a day."""
    now = NOON + 24 * HOUR + 30 * MINUTE
    found = {each: plan(Every(3600, NOON - HOUR), NOON, now, policy(each)) for each in CatchUp}
    assert (found[CatchUp.SKIP].fire, found[CatchUp.SKIP].missed) == ((), 25)
    assert (found[CatchUp.LATEST].fire, found[CatchUp.LATEST].missed) == ((NOON + 24 * HOUR,), 24)
    assert found[CatchUp.ALL].fire == tuple(NOON + n * HOUR for n in range(1, 25))
    assert found[CatchUp.ALL].missed == 1
    assert {each.next for each in found.values()} == {NOON + 25 * HOUR}


def test_what_is_older_than_the_limit_is_never_fired() -> None:
    """Not even the latest."""
    decided = plan(Once(NOON), NOON, NOON + 2 * HOUR, policy(CatchUp.LATEST, within=HOUR))
    assert (decided.fire, decided.missed, decided.next) == ((), 1, None)


def test_a_year_of_seconds_costs_no_more_than_a_quarter_of_an_hour() -> None:
    """The latest are fired, and what is counted is bounded."""
    now = NOON + 365 * DAY
    decided = plan(Cron("* * * * * *"), NOON, now, policy(CatchUp.ALL))
    assert decided.fire == tuple(now - 1000 * n for n in reversed(range(MOST_CAUGHT_UP)))
    assert (decided.missed, decided.next) == (MOST_COUNTED, now + 1000)


@given(
    step=st.integers(1, 200_000),
    late=st.integers(0, 3 * DAY),
    catch_up=st.sampled_from(CatchUp),
    within=st.integers(0, 2 * DAY),
    grace=st.integers(1, HOUR),
)
def test_every_due_time_is_fired_or_missed_and_none_comes_again(
    step: int, late: int, catch_up: CatchUp, within: int, grace: int
) -> None:
    """Against a list of all due times."""
    rule, now = Every(step, NOON - step * 1000), NOON + late
    due = range(NOON, now + 1, step * 1000)
    decided = plan(rule, NOON, now, policy(catch_up, within, grace))
    punctual = [moment for moment in due[-5000:] if now - moment <= grace]
    old = [moment for moment in due[-5000:] if grace < now - moment <= within]
    expected = {
        CatchUp.SKIP: punctual,
        CatchUp.LATEST: punctual or old[-1:],
        CatchUp.ALL: old + punctual,
    }[catch_up][-MOST_CAUGHT_UP:]
    assert list(decided.fire) == expected
    if len(due) <= MOST_COUNTED:
        assert decided.missed == len(due) - len(expected)
    assert decided.next is not None
    assert decided.next > now
