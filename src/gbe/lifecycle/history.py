"""What became of a task's attempts, kept in its record: one field for each beginning and each end.

Only tasks of jobs keep it: whoever looks at a job wants to know; a task of its own need not pay for it. The last
``KEPT`` attempts are there. Names and lines are those of ``patternProperties`` in ``schemas/json/tasks/record.json``: a
field is ``attempt_{n}_started`` or ``attempt_{n}_ended``, with ``n`` the attempt modulo ``KEPT``; its value is text, a
space between its parts:

- ``{attempt} {unix ms} {worker} {traceparent, or -}``
- ``{attempt} {unix ms} {completed|failed|cancelled|retried|returned} {error}``
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gbe.lifecycle.moves import Move
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.transitions import TaskState
from gbe.schemas.stored import decimal

KEPT: Final = 32
MAX_ERROR: Final = 200
ENDINGS: Final = ("completed", "failed", "cancelled", "retried", "returned")

_NAME: Final = re.compile(r"attempt_(?:[0-9]|[12][0-9]|3[01])_(started|ended)\Z")


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
    text = f"{attempt} {now} {worker.replace(' ', '_')} {traceparent or '-'}"
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
    named = ((_NAME.match(name), value) for name, value in fields.items())
    told = [_told(name[1], value) for name, value in named if name is not None]
    return sorted(filter(None, told), key=lambda one: (one.attempt, one.word != "started"))


def _told(kind: str, value: bytes) -> Happening | None:
    try:
        attempt, at = map(decimal, value.split(b" ", 2)[:2])
        _, _, word, rest = value.decode().split(" ", 3)
    except ValueError:
        return None
    if attempt < 1:
        return None
    if kind == "started":
        return Happening(at, kind, attempt, worker=word, traceparent=None if rest == "-" else rest) if word else None
    return Happening(at, word, attempt, error=rest or None) if word in ENDINGS and len(rest) <= MAX_ERROR else None


def of_record(move: Move, record: TaskRecord, *, now: int) -> Move:
    """The same for somebody who ends an attempt that another one runs, or has run."""
    if record.job_id is None or record.state is TaskState.PENDING:
        return move
    return ended(move, record.attempt, now=now)
