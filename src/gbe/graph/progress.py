"""How a job goes on: what may start, what is left out, whether it fails or has ended. Pure rules over a record.

- A task may start once all that it depends on have ended. One that follows a skipped task is skipped too, unless it
  has a condition of its own, which then decides.
- A task that failed fails the job, unless its policy is ``continue``: then those behind it go on without its result.
- A job that fails starts nothing more, stops what runs, and then undoes what its tasks say how to undo, the last one
  first. ``cancel`` stops what runs, and undoes nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush

from gbe.graph.definition import JobDefinition
from gbe.graph.names import MAX_JOB_ITEMS
from gbe.graph.record import NOT_UNDONE, OPEN, TO_SUBMIT, ChunkCode, Code, JobRecord, JobState, printable

_ENDED = frozenset("cfkx")
_BAD = frozenset({ChunkCode.BROKEN, ChunkCode.FAILED})


def ready(definition: JobDefinition, job: JobRecord) -> Iterator[int]:
    """Tasks that wait for nothing any more; those that are skipped with what they follow are marked on the way.

    Whoever takes one has put it elsewhere when it asks for the next. In a settled job only what follows a task that
    was touched is looked at, so that a step costs the same in a long job.
    """
    if job.state is not JobState.RUNNING:
        return
    nodes, numbers = definition.nodes, definition.numbers
    for number in _followers(definition, job) if job.settled else definition.order:
        if job.nodes[number] != Code.WAITING.value:
            continue
        before = nodes[number].depends_on
        if not all(job.nodes[numbers[name]] in _ENDED for name in before):
            continue
        if nodes[number].when is None and any(job.nodes[numbers[name]] == Code.SKIPPED.value for name in before):
            job.set(number, Code.SKIPPED)
            continue
        yield number


def _followers(definition: JobDefinition, job: JobRecord) -> Iterator[int]:
    """What depends on tasks that have ended since the job was read, and while this goes on.

    In the order of the definition's ``order``: when one is looked at, all before it are decided, so once is enough.
    """
    ended = (number for number in job.touched if job.nodes[number] in _ENDED)
    known = {other for number in ended for other in definition.after[number]}
    places = [definition.places[number] for number in known]
    heapify(places)
    while places:
        number = definition.order[heappop(places)]
        yield number
        if job.nodes[number] not in _ENDED:
            continue
        for other in definition.after[number]:
            if other not in known:
                known.add(other)
                heappush(places, definition.places[other])


def settle_fan_outs(job: JobRecord) -> None:
    """A fan-out has ended once all its chunks have; one failed item fails its job, unless the policy says otherwise.

    In a job that was cancelled, one that was stopped midway is cancelled too.
    """
    broken = Code.CANCELLED if job.state is JobState.CANCELLED else Code.FAILED
    for number in _in_question(job, job.chunks):
        codes = job.chunks.get(number)
        if codes is None or job.code(number) not in OPEN:
            continue
        if not set(codes) - {ChunkCode.COMPLETED, ChunkCode.FAILED}:
            job.set(number, broken if ChunkCode.FAILED in codes else Code.COMPLETED)
        elif not TO_SUBMIT & set(codes):
            job.set(number, Code.RUNNING)


def failure(definition: JobDefinition, job: JobRecord) -> int | None:
    """A task whose failure fails the job; ``None`` if there is none."""
    for number in sorted(_in_question(job, range(len(definition.nodes)))):
        if definition.nodes[number].on_failure == "continue":
            continue
        if job.nodes[number] == Code.FAILED.value or _has_bad_items(job, number):
            return number
    return None


def _in_question(job: JobRecord, numbers: Iterable[int]) -> list[int]:
    return list(job.touched if job.settled else numbers)


def settle(job: JobRecord) -> None:
    """Everything that can start was started, and no failure is left that would fail the job."""
    job.settled = 1
    job.touched.clear()


def has_more(job: JobRecord) -> bool:
    """Whether a task has ended, or an item failed, since the job was settled."""
    return any(job.nodes[number] in _ENDED or _has_bad_items(job, number) for number in job.touched)


def _has_bad_items(job: JobRecord, number: int) -> bool:
    """In this run: a fan-out that waits for another one still has its chunks of the run before."""
    return job.code(number) in OPEN and bool(_BAD & set(job.chunks.get(number, "")))


def begin_to_fail(job: JobRecord, error: str) -> None:
    """Start nothing more."""
    job.state, job.error = JobState.FAILING, printable(error, 4_000)
    job.nodes = job.nodes.replace(Code.WAITING.value, Code.CANCELLED.value)


def is_open(job: JobRecord) -> bool:
    """Whether a task of it may still run."""
    return Code.STARTING.value in job.nodes or Code.RUNNING.value in job.nodes


def next_undo(definition: JobDefinition, job: JobRecord) -> int | None:
    """What is to be undone next: the last that was done. ``None``: nothing (more), or one is under way."""
    if any(code in (Code.STARTING.value, Code.RUNNING.value) for code in job.undo):
        return None
    for number in reversed(definition.order):
        node = definition.nodes[number]
        if node.compensate is None or job.undo[number] != NOT_UNDONE:
            continue
        if job.code(number) in (Code.COMPLETED, Code.FAILED) and job.runs[number]:
            return number
    return None


def is_undoing(job: JobRecord) -> bool:
    """Whether something is being undone."""
    return Code.STARTING.value in job.undo or Code.RUNNING.value in job.undo


def to_submit(job: JobRecord) -> list[int]:
    """Tasks that are written down to be started, fan-outs with chunks to start among them."""
    found = {number for number, codes in job.chunks.items() if TO_SUBMIT & set(codes) and job.code(number) in OPEN}
    number = job.nodes.find(Code.STARTING.value)
    while number >= 0:
        found.add(number)
        number = job.nodes.find(Code.STARTING.value, number + 1)
    return sorted(found)


def has_room(job: JobRecord, number: int, size: int) -> bool:
    """Whether a fan-out of that size fits into its job."""
    others = sum(count for other, count in job.sizes.items() if other != number)
    return others + size <= MAX_JOB_ITEMS


def finished(job: JobRecord) -> bool:
    """Whether no task waits or runs."""
    return Code.WAITING.value not in job.nodes and not is_open(job)


def restart(definition: JobDefinition, job: JobRecord) -> None:
    """Another run: what succeeded is kept, what failed, was stopped or was left out waits again."""
    job.run, job.state, job.error, job.finished_at, job.settled = job.run + 1, JobState.RUNNING, None, None, None
    undone = {number for number, code in enumerate(job.undo) if code != NOT_UNDONE}
    again: set[int] = set()
    for number in definition.order:
        depends = {definition.numbers[name] for name in definition.nodes[number].depends_on}
        is_settled = job.code(number) in (Code.COMPLETED, Code.SKIPPED)
        if is_settled and number not in undone and not depends & again:
            continue
        again.add(number)
        job.set(number, Code.WAITING)
        if number in undone:
            job.set_run(number, 0)  # nothing of it is left to be undone, should it not start again
        job.errors.pop(number, None)
        if depends & again or number in undone:  # its items may be others now: all of them anew
            job.chunks.pop(number, None)
            job.sizes.pop(number, None)
    job.undo = NOT_UNDONE * len(job.nodes)


def counts(job: JobRecord) -> Mapping[str, int]:
    """How many tasks are where, by word."""
    return {code.word: job.nodes.count(code.value) for code in Code if code.value in job.nodes}
