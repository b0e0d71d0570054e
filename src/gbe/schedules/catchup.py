"""What is fired of what has come due, by the policy of a schedule. Pure; moments are unix milliseconds."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

import msgspec

from gbe.schedules.rules import Rule

MOST_CAUGHT_UP: Final = 100
"""Due times that one look fires of one schedule, the latest ones."""
MOST_COUNTED: Final = 2000
"""Due times that one look counts of one schedule: it costs no more, however long the downtime was."""


class CatchUp(Enum):
    """What happens to due times that passed while no scheduler was at work."""

    SKIP = "skip"
    LATEST = "latest"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a schedule makes up for missed due times. Milliseconds.

    Attributes:
        catch_up: which ones are fired.
        within: older ones never are.
        grace: later ones are not missed at all.
    """

    catch_up: CatchUp
    within: int
    grace: int


class Plan(msgspec.Struct, frozen=True):
    """What one look decides for one schedule.

    Attributes:
        fire: due times to fire, the earliest first.
        missed: due times that are not fired; ``MOST_COUNTED`` stands for as many or more.
        next: when the schedule is due again; ``None``: never.
    """

    fire: tuple[int, ...]
    missed: int
    next: int | None

    @property
    def is_plain(self) -> bool:
        """Whether it is what happens day by day: the one due time, fired. A crash in the middle repeats it."""
        return len(self.fire) == 1 and not self.missed


def plan(rule: Rule, first: int, now: int, policy: Policy) -> Plan:
    """Decide on all due times from ``first``, which has come, up to ``now``.

    Punctual ones (at most ``grace`` late) are all fired. Of those that were missed, ``skip`` fires none, ``latest`` the
    last one unless a punctual one stands for it, and ``all`` every one; none that is older than ``within``.
    """
    due, is_whole = _due_times(rule, first, now)
    punctual = [moment for moment in due if now - moment <= policy.grace]
    missed = [moment for moment in due if policy.grace < now - moment <= policy.within]
    match policy.catch_up:
        case CatchUp.SKIP:
            chosen = punctual
        case CatchUp.LATEST:
            chosen = punctual or missed[-1:]
        case CatchUp.ALL:
            chosen = missed + punctual
    fire = tuple(chosen[-MOST_CAUGHT_UP:])
    return Plan(fire, len(due) - len(fire) if is_whole else MOST_COUNTED, rule.after(max(now, first)))


def _due_times(rule: Rule, first: int, now: int) -> tuple[list[int], bool]:
    """The due times up to ``now``, or the latest of them, and whether it is all of them.

    Looks at ever longer ends of the time since ``first``, so that what recurs often costs no more than what does not.
    """
    span = 10_000
    while True:
        start = now - span
        is_whole = start <= first
        found = [first] if is_whole else []
        found += _between(rule, first if is_whole else start, now)
        if is_whole and len(found) <= MOST_COUNTED:
            return found, True
        if len(found) >= MOST_COUNTED:
            return found[-MOST_COUNTED:], False
        span *= 2


def _between(rule: Rule, start: int, end: int) -> list[int]:
    found: list[int] = []
    moment = rule.after(start)
    while moment is not None and moment <= end:
        found.append(moment)
        moment = rule.after(moment)
    return found
