"""What became of the jobs of ``tests.jobs.program``, by the records and the messages that are left; for fault tests."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.jobs.program import DOOMED, ITEMS, SOUND
from tests.told import end_of_task, ends_told

from gbe.graph.record import JobRecord, JobState
from gbe.jobs.client import JobClient
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.transitions import TaskState
from gbe.schemas.jobs import decode_event
from gbe.tasks.client import TaskClient

ENDS: Final = {SOUND: JobState.COMPLETED, DOOMED: JobState.FAILED}
_TASKS: Final = {
    SOUND: {"fetch": 1, "square": ITEMS, "audit": 1, "report": 1},
    DOOMED: {"fetch": 1, "square": ITEMS, "audit": 1, "break": 1, "undo": 1},
}
_RESULT: Final = b'"%d numbers, %d in all"' % (ITEMS, sum(number * number for number in range(ITEMS)))


@dataclass
class Books:
    """What is wrong, by kind; every list should be empty.

    Attributes:
        unfinished: jobs that were started and have not ended, or not as they should.
        told_otherwise: jobs whose end was not told once.
        wrong_tasks: jobs that have other tasks than they should, some twice among them, or with other ends.
        completed_otherwise: tasks whose end was not told once.
        early: jobs with a task that was submitted before all that it waits for had ended.
        attempts: of the tasks, how many took how many.
        seconds: from the start of a job to its end.
    """

    unfinished: list[str] = field(default_factory=list)
    told_otherwise: list[str] = field(default_factory=list)
    wrong_tasks: list[str] = field(default_factory=list)
    completed_otherwise: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    attempts: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def faults(self) -> dict[str, list[str]]:
        """What is wrong, without what is not."""
        kinds = ("unfinished", "told_otherwise", "wrong_tasks", "completed_otherwise", "early")
        return {kind: getattr(self, kind) for kind in kinds if getattr(self, kind)}


def has_ended(job: JobRecord | None) -> bool:
    """Whether it is over and wound up."""
    return job is not None and job.state.is_terminal and job.look_at is None


async def audit(jobs: JobClient, tasks: TaskClient, started: Mapping[str, str]) -> Books:
    """Look at everything.

    Args:
        started: the type of each job, by id.
    """
    books, transport = Books(), tasks.backend.transport
    records: dict[str, list[TaskRecord]] = defaultdict(list)
    async for record in tasks.store.scan(None):
        records[record.job_id or ""].append(record)
        books.attempts[record.attempt] += 1
    subjects = [jobs.store.names.event(job_type, state.value) for job_type in ENDS for state in JobState]
    told = Counter(job for job, _ in await ends_told(transport, subjects, _end_of_job))
    terminals = [
        tasks.backend.names.terminal(name) for name in sorted({name for each in _TASKS.values() for name in each})
    ]
    completions = Counter(task for task, _ in await ends_told(transport, terminals, end_of_task))
    for job_id, job_type in started.items():
        job = await jobs.store.find(job_id)
        if job is None or not has_ended(job) or job.state is not ENDS[job_type]:
            books.unfinished.append(f"{job_id}: {job}")
        elif job.finished_at is not None:
            books.seconds.append((job.finished_at - job.created_at) / 1000)
        if told[job_id] != 1:
            books.told_otherwise.append(f"{job_id}: {told[job_id]} times")
        own = records.pop(job_id, [])
        if Counter(record.task_type for record in own) != _TASKS[job_type] or not all(map(_is_right, own)):
            books.wrong_tasks.append(f"{job_id}: {own}")
        if _is_early(own):
            books.early.append(f"{job_id}: {own}")
        books.completed_otherwise += [
            f"{record.task_id}: {completions[record.task_id]} times"
            for record in own
            if completions[record.task_id] != 1
        ]
    books.wrong_tasks += [f"of no job that was started: {left}" for left in records.values()]
    return books


def _end_of_job(payload: bytes) -> tuple[str, str]:
    event = decode_event(payload)
    return event.job_id, event.id


def _is_right(record: TaskRecord) -> bool:
    if record.task_type == "break":
        return record.state is TaskState.FAILED
    is_complete = record.state is TaskState.COMPLETED
    return is_complete and (record.task_type != "report" or record.result == _RESULT)


def _is_early(own: list[TaskRecord]) -> bool:
    """Whether one was submitted before the end of those that it waits for; the clock is that of one machine."""
    by_type: dict[str, list[TaskRecord]] = defaultdict(list)
    for record in own:
        by_type[record.task_type].append(record)
    waits = {"square": ["fetch"], "audit": ["fetch"], "break": ["square", "audit"], "undo": ["break"]}
    waits["report"] = ["square", "audit"]
    return any(
        before.finished_at is None or record.created_at < before.finished_at
        for name, ahead in waits.items()
        for record in by_type[name]
        for each in ahead
        for before in by_type[each]
    )
