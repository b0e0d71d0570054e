"""The states of a task and the ways between them, as one table (system.md section 6).

    pending ──claim──▶ claimed ──start──▶ running ──complete──▶ completed
       ▲                  │                  │ ├────fail──────▶ failed
       └──retry, hand_back┴──────────────────┘ └────cancel────▶ cancelled

Terminal states never change. A claim raises the task's ``attempt``, and every later write of that worker is
conditional on it. Claim and start are one write where nothing lies between them.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, cast

from gbe.errors import IllegalTransitionError
from gbe.schemas.tasks import EndState


class TaskState(StrEnum):
    """Where a task is; the value is what a record holds."""

    PENDING = "pending"
    CLAIMED = "claimed"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether it never changes again."""
        return not TRANSITIONS[self]


class TaskEvent(StrEnum):
    """What may happen to a task."""

    SIGNAL = "signal"  # its signal is published (again)
    CLAIM = "claim"
    START = "start"
    RENEW = "renew"  # lease, step and progress
    COMPLETE = "complete"
    RETRY = "retry"  # the attempt failed or was lost, and there is budget for another
    HAND_BACK = "hand_back"  # the worker stops: another one goes on, nothing is counted
    FAIL = "fail"  # no budget is left, or the error is final
    CANCEL = "cancel"


_S, _E = TaskState, TaskEvent
_HELD: Final[Mapping[TaskEvent, TaskState]] = {
    _E.RETRY: _S.PENDING,
    _E.HAND_BACK: _S.PENDING,
    _E.FAIL: _S.FAILED,
    _E.CANCEL: _S.CANCELLED,
}

TRANSITIONS: Final[Mapping[TaskState, Mapping[TaskEvent, TaskState]]] = MappingProxyType(
    {
        _S.PENDING: {
            _E.SIGNAL: _S.PENDING,
            _E.CLAIM: _S.CLAIMED,
            _E.FAIL: _S.FAILED,  # its whole time is over before anybody took it
            _E.CANCEL: _S.CANCELLED,
        },
        _S.CLAIMED: {**_HELD, _E.START: _S.RUNNING, _E.RENEW: _S.CLAIMED},
        _S.RUNNING: {**_HELD, _E.RENEW: _S.RUNNING, _E.COMPLETE: _S.COMPLETED},
        _S.COMPLETED: {},
        _S.FAILED: {},
        _S.CANCELLED: {},
    }
)


def next_state(state: TaskState, event: TaskEvent) -> TaskState:
    """Where an event leads.

    Raises:
        IllegalTransitionError: nowhere, from that state.
    """
    after = TRANSITIONS[state].get(event)
    if after is None:
        raise IllegalTransitionError(state.value, event.value)
    return after


def end_state(state: TaskState) -> EndState:
    """The word for a terminal state, as outcomes tell it."""
    return cast("EndState", state.value)
