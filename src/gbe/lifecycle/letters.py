"""The dead letter of a task that has failed for good: in the same model as that of a message nobody could handle.

The task itself stays in the state store, which is where its parameters are: the letter only names it, and sending it
again is a retry, as a new task.
"""

import re
from typing import Final

from gbe.lifecycle.names import Priority, TaskNames
from gbe.schemas.deadletter import VERSION, DeadLetter, OriginalMessage
from gbe.schemas.fingerprint import fingerprint
from gbe.schemas.tasks import TaskOutcome

_MOST_REASON: Final = 1024
_MOST_GROUP: Final = 100
# "ValueError: …", as the worker words what a task raised
_ERROR_TYPE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,120}(?:Error|Exception|Exit|Timeout)): ")


def letter_of(names: TaskNames, outcome: TaskOutcome) -> DeadLetter:
    """The letter of a failed task; one for each task, however often it is written."""
    reason = (outcome.error or "it failed")[:_MOST_REASON]
    found = _ERROR_TYPE.match(reason)
    error_type = None if found is None else found[1]
    group = names.group(outcome.task_type)[:_MOST_GROUP]
    subject = names.queue(outcome.task_type, Priority.NORMAL)
    return DeadLetter(
        v=VERSION,
        ts=outcome.ts,
        id=f"{outcome.task_id}.{group}",
        reason=reason,
        group=group,
        deliveries=max(1, outcome.attempt),
        error_type=error_type,
        first_failed_at=outcome.ts,
        last_failed_at=outcome.ts,
        fingerprint=fingerprint(group=group, subject=subject, error_type=error_type, reason=reason),
        # a task fails once, so the letter needs no moment of publication to be told from a later one
        original=OriginalMessage(id=outcome.task_id, subject=subject, timestamp=0, payload=b""),
        task_type=outcome.task_type,
        task_id=outcome.task_id,
    )
