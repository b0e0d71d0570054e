"""A job's own transitions, as lines of text in its record: ``{unix ms} {run} {what}``, and a task's number if need be.

``what`` is a state, ``created``, ``retried``, or ``skipped`` with the number of the task that is left out.
"""

from typing import Final

from gbe.graph.record import Code, JobRecord

_SKIPPED: Final = Code.SKIPPED.value
MAX_LINES: Final = 64
"""The last ones are kept: a record is written anew with them."""


def begun(now: int) -> str:
    """Of a job that is created."""
    return f"{now} 1 created"


def written(seen: JobRecord, after: JobRecord, now: int) -> str:
    """The history of a job that is about to be written: what was, and what changes now."""
    lines = []
    if after.run != seen.run:
        lines.append(f"{now} {after.run} retried")
    if after.state is not seen.state and after.run == seen.run:
        lines.append(f"{now} {after.run} {after.state.value}")
    if after.nodes.count(_SKIPPED) > seen.nodes.count(_SKIPPED):  # counted, because looking at each costs more
        pairs = enumerate(zip(seen.nodes, after.nodes, strict=True))
        lines += [f"{now} {after.run} skipped {number}" for number, (b, a) in pairs if a == _SKIPPED != b]
    if not lines:
        return seen.history
    return "\n".join([*seen.history.splitlines(), *lines][-MAX_LINES:])
