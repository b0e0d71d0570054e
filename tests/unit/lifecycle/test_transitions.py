"""The transition table, walked in full, and random lives of a task on a real store."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe.errors import IllegalTransitionError
from gbe.lifecycle import moves
from gbe.lifecycle.moves import Move
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.transitions import TRANSITIONS, TaskEvent, TaskState, next_state
from gbe.state.base import matches

TERMINAL = {TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED}
HOLDING = {TaskState.CLAIMED, TaskState.RUNNING}


@pytest.mark.parametrize(("state", "event"), list(product(TaskState, TaskEvent)))
def test_every_pair_leads_somewhere_or_says_that_it_does_not(state: TaskState, event: TaskEvent) -> None:
    """The function and the table say the same of every pair."""
    after = TRANSITIONS[state].get(event)
    if after is None:
        with pytest.raises(IllegalTransitionError, match=event.value):
            next_state(state, event)
    else:
        assert next_state(state, event) is after


@given(st.sampled_from(list(TaskState)), st.lists(st.sampled_from(list(TaskEvent)), max_size=30))
def test_whatever_happens_the_rules_hold(state: TaskState, events: list[TaskEvent]) -> None:
    """Terminal states never change; only a holder completes; only a pending task is claimed; nothing jumps a claim."""
    for event in events:
        try:
            after = next_state(state, event)
        except IllegalTransitionError:
            continue
        assert state not in TERMINAL
        assert event is not TaskEvent.CLAIM or state is TaskState.PENDING
        assert event is not TaskEvent.COMPLETE or state is TaskState.RUNNING
        assert after is not TaskState.RUNNING or state in HOLDING
        assert event not in (TaskEvent.RETRY, TaskEvent.HAND_BACK) or (state in HOLDING and after is TaskState.PENDING)
        state = after


@pytest.mark.parametrize("state", list(TaskState))
def test_a_state_is_terminal_if_nothing_leads_out_of_it(state: TaskState) -> None:
    """What is kept for its result alone is told from what somebody must look after."""
    assert state.is_terminal == (state in TERMINAL)


class Machine:
    """A record, and writes that reach it as they would reach the store."""

    def __init__(self) -> None:
        self.record = TaskRecord(task_type="t", task_id="0" * 26, state=TaskState.PENDING, created_at=1, timeout_at=9)

    def apply(self, move: Move) -> bool:
        fields = self.record.to_fields()
        if not matches(fields, dict(move.expected)):
            return False
        self.record = moves.after(self.record, move)
        return True


WRITES = {
    "complete": lambda attempt: moves.complete(attempt, now=5, result={"result": b"1"}, retention=60),
    "fail": lambda attempt: moves.fail(attempt, now=5, retry_count=1, error="e", retention=60),
    "retry": lambda attempt: moves.retry(attempt, now=5, run_at=6, retry_count=1, error="e"),
    "hand_back": lambda attempt: moves.hand_back(attempt, now=5),
    "renew": lambda attempt: moves.renew(attempt, now=5, timeout_at=99, progress={}),
}


@given(st.lists(st.tuples(st.sampled_from(["claim", "lose", *WRITES]), st.integers(0, 4)), max_size=40))
def test_only_the_holder_of_the_current_attempt_can_write(steps: list[tuple[str, int]]) -> None:
    """Whichever writes of whichever attempts arrive in whatever order: an old attempt changes nothing."""
    machine = Machine()
    for name, attempt in steps:
        before = machine.record
        if name == "claim":
            done = machine.apply(moves.claim(attempt, worker=b"w", now=2, timeout_at=7))
            assert done == (before.state is TaskState.PENDING and before.attempt == attempt)
            assert not done or machine.record.attempt == attempt + 1
        elif name == "lose":
            if before.state is TaskState.RUNNING:
                assert machine.apply(moves.lose(before, now=8, error="lost", retention=60, max_retries=2))
        else:
            done = machine.apply(WRITES[name](attempt))
            assert done == (before.state is TaskState.RUNNING and before.attempt == attempt)
        if before.state in TERMINAL:
            assert machine.record == before
        if machine.record.state not in TERMINAL:
            assert machine.record.timeout_at is not None
        assert machine.record.attempt >= before.attempt


def test_a_cancelled_task_cannot_be_cancelled_again() -> None:
    """The error names the task's state."""
    record = TaskRecord(task_type="t", task_id="0" * 26, state=TaskState.CANCELLED)
    with pytest.raises(IllegalTransitionError, match="cancel from cancelled"):
        moves.cancel(record, now=1, reason="", retention=60)


def test_a_task_whose_whole_time_is_over_fails_whatever_its_budget() -> None:
    """The whole-task timeout beats the retries."""
    record = TaskRecord(task_type="t", task_id="0" * 26, state=TaskState.RUNNING, attempt=1, timeout_at=5, deadline=9)
    assert moves.lose(record, now=8, error="lost", retention=60, max_retries=3).changes["state"] == b"pending"
    assert moves.lose(record, now=9, error="lost", retention=60, max_retries=3).changes["state"] == b"failed"


def test_the_budget_of_retries_ends() -> None:
    """With no retry left a lost task fails, and keeps the reason."""
    record = TaskRecord(task_type="t", task_id="0" * 26, state=TaskState.RUNNING, attempt=4, retry_count=3)
    move = moves.lose(record, now=8, error="its worker is gone", retention=60, max_retries=3)
    assert (move.changes["state"], move.changes["error"], move.ttl) == (b"failed", b"its worker is gone", 60)
