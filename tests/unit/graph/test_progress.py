"""How a job goes on, over random graphs, against an oracle that looks at the whole graph at once."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gbe.graph import progress
from gbe.graph.definition import JobDefinition, parse_definition
from gbe.graph.names import CHUNK, MAX_JOB_ITEMS, MAX_NODES
from gbe.graph.record import NOT_UNDONE, ChunkCode, Code, JobRecord
from gbe.state.base import StateConfig


@st.composite
def graphs(draw: st.DrawFn) -> tuple[JobDefinition, set[int], set[int]]:
    """A job of up to 30 tasks that go on after failures, those that will fail, and those that will be left out."""
    count = draw(st.integers(1, 30))
    tasks: dict[str, Any] = {}
    for number in range(count):
        earlier = draw(st.sets(st.integers(0, number - 1), max_size=4)) if number else set()
        tasks[f"t{number}"] = {"depends_on": [f"t{each}" for each in sorted(earlier)], "on_failure": "continue"}
    some = st.sets(st.integers(0, count - 1))
    return parse_definition("random", {"tasks": tasks}), draw(some), draw(some)


@given(graphs(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_every_task_runs_once_and_after_those_that_it_depends_on(
    drawn: tuple[JobDefinition, set[int], set[int]], random: Any
) -> None:
    """In whatever order tasks end; what follows a skipped one is skipped."""
    definition, fails, left_out = drawn
    job = job_of(definition)
    started: list[int] = []
    running: list[int] = []
    while True:
        for number in progress.ready(definition, job):
            before = {job.nodes[definition.numbers[name]] for name in definition.nodes[number].depends_on}
            assert before <= {Code.COMPLETED.value, Code.FAILED.value}
            if number in left_out:
                job.set(number, Code.SKIPPED)
                continue
            job.set(number, Code.RUNNING)
            started.append(number)
            running.append(number)
        if not running:
            break
        number = running.pop(random.randrange(len(running)))
        job.set(number, Code.FAILED if number in fails else Code.COMPLETED)
        assert progress.failure(definition, job) is None
    assert progress.finished(job)
    assert len(started) == len(set(started))
    assert job.nodes == oracle(definition, fails, left_out)


def oracle(definition: JobDefinition, fails: set[int], left_out: set[int]) -> str:
    """Where every task ends up."""
    ends: list[str] = []
    for number, node in enumerate(definition.nodes):
        follows_skipped = any(ends[definition.numbers[name]] == "k" for name in node.depends_on)
        ends.append("k" if number in left_out or follows_skipped else "f" if number in fails else "c")
    return "".join(ends)


def job_of(definition: JobDefinition) -> JobRecord:
    count = len(definition.nodes)
    return JobRecord(
        job_id="x", job_type="random", nodes=Code.WAITING.value * count, runs=bytes(count), undo=NOT_UNDONE * count
    )


@given(graphs(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_what_follows_a_change_is_what_a_look_at_everything_finds(
    drawn: tuple[JobDefinition, set[int], set[int]], random: Any
) -> None:
    """A settled job is looked at only where it was touched, and nothing is overlooked."""
    definition, fails, left_out = drawn
    job = job_of(definition)
    running: list[int] = []
    while True:
        whole = job.copy()
        whole.settled = None
        found = [take(which, definition, left_out) for which in (whole, job)]
        assert found[0] == found[1]
        assert whole.nodes == job.nodes
        progress.settle(job)
        running += found[1]
        if not running:
            break
        for number in random.sample(running, random.randint(1, len(running))):
            running.remove(number)
            job.set(number, Code.FAILED if number in fails else Code.COMPLETED)
    assert progress.finished(job)


def take(job: JobRecord, definition: JobDefinition, left_out: set[int]) -> list[int]:
    """Start what is ready; what is left out is skipped."""
    started = []
    for number in progress.ready(definition, job):
        job.set(number, Code.SKIPPED if number in left_out else Code.RUNNING)
        if number not in left_out:
            started.append(number)
    return started


def test_the_record_of_the_largest_job_fits_into_a_state_store() -> None:
    """All tasks that a job may have, all of them fan-outs, as many items as there may be, the longest errors."""
    tasks = {f"t{number}": {"for_each": []} for number in range(MAX_NODES)}
    job = job_of(parse_definition("largest", {"tasks": tasks}))
    for number in range(MAX_NODES):
        job.sizes[number] = MAX_JOB_ITEMS // MAX_NODES
        job.chunks[number] = ChunkCode.RUNNING.value
        job.note_error(number, "\U0001f4a5" * 1_000)
    job.chunks[0] += ChunkCode.RUNNING.value * (MAX_JOB_ITEMS // CHUNK)
    progress.begin_to_fail(job, "\x00\U0001f4a5" * 4_000)
    fields = job.to_fields()
    assert sum(len(name) + len(value) for name, value in fields.items()) < StateConfig().max_record_size
    assert JobRecord.from_fields(fields) == job
