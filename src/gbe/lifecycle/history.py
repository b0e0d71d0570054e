"""What became of a task's attempts, kept in its record: one field for each beginning and each end.

Only tasks of jobs keep it: whoever looks at a job wants to know; a task of its own need not pay for it. The last
``KEPT`` attempts are there. A field is ``attempt_{n}_started`` or ``attempt_{n}_ended``, with ``n`` the attempt modulo
``KEPT``; its value is text, a space between its parts:

- ``{attempt} {unix ms} {worker} {traceparent, or -}``
- ``{attempt} {unix ms} {completed|failed|cancelled|retried|returned} {error}``
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gbe.lifecycle.moves import Move
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.transitions import TaskState

KEPT: Final = 32
MAX_ERROR: Final = 200


@dataclass(frozen=True, slots=True)
class Happening:
    """One moment in the life of a task.

    Attributes:
        at: unix milliseconds.
        word: ``started``, or how the attempt ended: ``completed``, ``failed``, ``cancelled``, ``retried`` (it failed or
            was lost, another one follows) or ``returned`` (its worker stopped, nothing is counted).
        attempt: the first is 1.
        worker: of a start.
        traceparent: of a start, where somebody traces.
        error: of an end, its beginning.
    """

    at: int
    word: str
    attempt: int
    worker: str | None = None
    traceparent: str | None = None
    error: str | None = None


def started(move: Move, attempt: int, *, now: int, worker: str, traceparent: str | None) -> Move:
    """A claim that also writes down that an attempt begins."""
    text = f"{attempt} {now} {worker} {traceparent or '-'}"
    return _with(move, f"attempt_{attempt % KEPT}_started", text)


def ended(move: Move, attempt: int, *, now: int) -> Move:
    """A move that also writes down how an attempt ends; a task that nobody has claimed yet has none."""
    if not attempt:
        return move
    state, error = (move.changes.get("state") or b"").decode(), (move.changes.get("error") or b"").decode()
    word = state if state != "pending" else "retried" if error else "returned"
    return _with(move, f"attempt_{attempt % KEPT}_ended", f"{attempt} {now} {word} {error[:MAX_ERROR]}")


def _with(move: Move, name: str, text: str) -> Move:
    return dataclasses.replace(move, changes={**move.changes, name: text.encode(errors="replace")})


def read(fields: Mapping[str, bytes]) -> list[Happening]:
    """What a record tells, in order; what cannot be read is left out."""
    found = []
    for name, value in fields.items():
        if not name.startswith("attempt_"):
            continue
        parts = value.decode(errors="replace").split(" ", 3)
        if len(parts) != 4 or not (parts[0].isdecimal() and parts[1].isdecimal()):
            continue
        attempt, at = int(parts[0]), int(parts[1])
        if name.endswith("_started"):
            trace = None if parts[3] == "-" else parts[3]
            found.append(Happening(at, "started", attempt, worker=parts[2], traceparent=trace))
        elif name.endswith("_ended"):
            found.append(Happening(at, parts[2], attempt, error=parts[3] or None))
    return sorted(found, key=lambda one: (one.attempt, one.word != "started"))


def of_record(move: Move, record: TaskRecord, *, now: int) -> Move:
    """The same for somebody who ends an attempt that another one runs, or has run."""
    if record.job_id is None or record.state is TaskState.PENDING:
        return move
    return ended(move, record.attempt, now=now)
