"""A job's timeline: every transition of the job and of its tasks, with time, worker, attempt and trace.

It is put together when it is asked for. The job's own transitions stand in its record (``JobRecord.history``), those of
a task in the task's (``gbe.lifecycle.history``); so it can be read as long as the job is retained, needs no log beside
the records, and nothing can be in the one and not in the other.
"""

import asyncio
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gbe.errors import InvalidJobError, TaskError
from gbe.graph.names import UNDO, child_id
from gbe.graph.record import JobRecord
from gbe.jobs.backend import JobBackend
from gbe.jobs.store import JobStore, Plan
from gbe.lifecycle import history
from gbe.lifecycle.record import TaskRecord

MOST: Final = 10_000
_AT_ONCE: Final = 64
_BEGINNINGS: Final = frozenset({"created", "retried"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One moment.

    Attributes:
        at: unix milliseconds.
        what: of the job ``created``, ``failing``, ``completed``, ``failed``, ``cancelled`` or ``retried``; of a task
            ``submitted``, ``skipped``, or as ``gbe.lifecycle.history`` names it.
        task: the task's name in the job; ``None`` for the job itself.
        item: its number in a fan-out.
        undoes: whether it is the task that undoes that one.
        run: of the job.
        task_id, attempt, worker, traceparent, error: where there are such.
    """

    at: int
    what: str
    run: int
    task: str | None = None
    item: int | None = None
    undoes: bool = False
    task_id: str | None = None
    attempt: int | None = None
    worker: str | None = None
    traceparent: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """Transitions in the order of time, and whether there are more of them."""

    transitions: list[Transition]
    is_cut: bool


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a task of a job may be."""

    number: int
    item: int
    run: int


async def timeline(backend: JobBackend, store: JobStore, job_id: str, task: str | None, limit: int) -> Timeline:
    """The first ``limit`` transitions of a job, or of one of its tasks.

    Args:
        task: a task's name in the job, fan-outs with all their items.
        limit: at most ``MOST``.

    Raises:
        JobNotFoundError: there is none, or it is kept no longer.
        InvalidJobError: no task of that name, or a limit out of range.
    """
    if not 1 <= limit <= MOST:
        raise InvalidJobError("timeline", "limit", f"{limit}; expected 1 to {MOST}")
    job = await store.get(job_id)
    plan = await store.plan(job_id)
    if task is not None and task not in plan.definition.numbers:
        names = ", ".join(list(plan.definition.numbers)[:20])
        raise InvalidJobError("timeline", "task", f"no task {task[:80]!r} in this job; there are {names}")
    found = list(_of_job(job, plan, task))
    places = _places(job, plan, task)
    is_cut = False
    while batch := [place for _, place in zip(range(_AT_ONCE), places, strict=False)]:
        for some in await asyncio.gather(*(_of_task(backend, job, plan, place) for place in batch)):
            found += some
        if len(found) > 2 * limit + _AT_ONCE:  # the earliest count, and more are coming
            found, is_cut = heapq.nsmallest(limit, found, key=_order), True
    found.sort(key=_order)
    return Timeline(found[:limit], is_cut or len(found) > limit)


def _order(one: Transition) -> tuple[int, int, int]:
    """By time; within a millisecond a job begins before its tasks, and ends after them."""
    return one.at, 1 if one.task is not None else 0 if one.what in _BEGINNINGS else 2, one.attempt or 0


def _of_job(job: JobRecord, plan: Plan, task: str | None) -> Iterator[Transition]:
    for line in job.history.splitlines():
        at, run, what, number = (*line.split(" "), "", "", "")[:4]
        name = plan.definition.nodes[int(number)].name if number else None
        if task is None or name == task:
            yield Transition(at=int(at), run=int(run), what=what, task=name)


def _places(job: JobRecord, plan: Plan, task: str | None) -> Iterator[_Place]:
    """Every task that may have been submitted."""
    for number, node in enumerate(plan.definition.nodes):
        if task is not None and node.name != task:
            continue
        for run in range(1, job.runs[number] + 1):
            yield from (_Place(number, item, run) for item in range(job.sizes.get(number, 1)))
        if job.undo[number] != "-":
            yield from (_Place(number, UNDO, run) for run in range(1, job.run + 1))


async def _of_task(backend: JobBackend, job: JobRecord, plan: Plan, place: _Place) -> list[Transition]:
    node, undoes = plan.definition.nodes[place.number], place.item == UNDO
    task_type = (node.compensate or node.task) if undoes else node.task
    task_id = child_id(job.job_id, place.number, place.item, place.run)
    fields = await backend.state.get(backend.names.task(task_type, task_id))
    if fields is None:
        return []  # not of this run, or kept no longer
    try:
        record = TaskRecord.from_fields(fields)
    except TaskError:
        return []
    item = place.item if place.number in job.sizes and not undoes else None

    def transition(at: int, what: str, **more: object) -> Transition:
        return Transition(
            at=at,
            what=what,
            run=place.run,
            task=node.name,
            item=item,
            undoes=undoes,
            task_id=task_id,
            **more,  # type: ignore[arg-type]
        )

    found = [transition(record.created_at, "submitted", traceparent=record.traceparent)]
    told = history.read(fields)
    found += [
        transition(
            one.at, one.word, attempt=one.attempt, worker=one.worker, traceparent=one.traceparent, error=one.error
        )
        for one in told
    ]
    if record.state.is_terminal and not (told and told[-1].word == record.state.value):
        found.append(transition(record.finished_at or record.updated_at, record.state.value, error=record.error))
    return found
