"""An orchestrator may die at any moment: another one goes on, and nothing runs twice."""

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from tests.jobs.conftest import QUICK, Bench
from tests.jobs.mortal import Died, Life, mortal
from tests.told import ends_told
from tests.waiting import eventually

from gbe.graph.record import JobRecord, JobState
from gbe.jobs.advance import Advancer
from gbe.jobs.orchestrator import Orchestrator
from gbe.schemas.jobs import decode_event
from gbe.tasks.backend import Backend

TASKS: dict[str, Any] = {
    "one": {"task": "work", "params": {"name": "one"}},
    "many": {"task": "work", "depends_on": "one", "for_each": ["a", "b", "c"], "input_from": {"name": "item"}},
    "beside": {"task": "work", "depends_on": "one", "params": {"name": "beside"}},
    "last": {"task": "work", "depends_on": ["many", "beside"], "params": {"name": "last"}},
}
UNDONE: dict[str, Any] = {
    "one": {**TASKS["one"], "compensate": "undo"},
    "many": {**TASKS["many"], "compensate": "undo"},
    "break": {"depends_on": "many"},
    "last": {**TASKS["last"], "depends_on": "break"},
}


def register(bench: Bench) -> list[str]:
    """The tasks of the jobs here; what is returned grows with each call."""
    calls: list[str] = []

    @bench.app.task("work")
    async def work(name: str) -> str:
        calls.append(name)
        return name

    @bench.app.task("break", max_retries=0)
    async def break_() -> None:
        calls.append("break")
        raise RuntimeError("broken")

    @bench.app.task("undo")
    async def undo(job: str, task: str, result: object) -> None:
        calls.append(f"undo {task}")

    return calls


async def live(bench: Bench, backend: Backend, job_id: str, life: Life) -> bool:
    """Advance a job until it is over, or the end of this life; whether it has died."""
    first = Advancer(mortal(backend, life), {}, QUICK)

    async def worked() -> bool:
        await first.step(job_id, look=True)
        return (await bench.jobs.get(job_id)).look_at is None

    try:
        await eventually(worked, "done, or dead")
    except Died:
        return True
    return False


async def ended(bench: Bench, backend: Backend, job: JobRecord) -> JobRecord:
    """A job once a successor has wound it up."""
    successor = Orchestrator(backend, {}, QUICK)

    async def is_over() -> bool:
        await successor.advance(job.job_id, look=True)
        return (await bench.jobs.get(job.job_id)).look_at is None

    await eventually(is_over, "the successor ends it")
    return await bench.jobs.get(job.job_id)


async def ends_of(bench: Bench) -> Counter[str]:
    """The ends that were told, each under one id."""
    words = [state.value for state in JobState if state.is_terminal]
    subjects = [bench.jobs.store.names.event("job", word) for word in words]
    transport = (await bench.deployment.backend()).transport
    return Counter(event_id.partition(".")[0] for event_id in await ends_told(transport, subjects, _id))


def _id(payload: bytes) -> str:
    return decode_event(payload).id


@pytest.mark.parametrize(
    ("tasks", "end", "expected"),
    [
        (TASKS, JobState.COMPLETED, {"one": 0, "a": 1, "b": 1, "c": 1, "beside": 1, "last": 2}),
        (UNDONE, JobState.FAILED, {"one": 0, "a": 1, "b": 1, "c": 1, "break": 2, "undo many": 3, "undo one": 4}),
    ],
    ids=["completes", "fails"],
)
async def test_an_orchestrator_that_dies_after_any_write_is_replaced(
    bench: Bench, tasks: Mapping[str, Any], end: JobState, expected: Mapping[str, int]
) -> None:
    """Whatever it had written or published: the job ends once, and every task has run once and in its turn."""
    calls = register(bench)
    await bench.working()
    backend, jobs = await bench.deployment.backend(), 0
    for writes in itertools.count(1):
        calls.clear()
        job = await bench.start(tasks)
        jobs += 1
        has_died = await live(bench, backend, job.job_id, Life(writes))
        assert (await ended(bench, backend, job)).state is end
        assert Counter(calls) == Counter(expected.keys()), f"dead after write {writes}"
        ranks = [expected[name] for name in calls]
        assert ranks == sorted(ranks), f"{calls}, dead after write {writes}"
        if not has_died:
            break
    assert jobs >= 15
    assert set((await ends_of(bench)).values()) == {1}


@pytest.mark.parametrize("is_submitted", [True, False], ids=["submitted", "intended"])
async def test_a_cancelled_job_is_wound_up_whenever_its_orchestrator_dies(bench: Bench, is_submitted: bool) -> None:
    """Its tasks are stopped, what was only to be submitted can be no more, and its end is told once."""
    calls = register(bench)
    backend, jobs = await bench.deployment.backend(), 0
    for writes in itertools.count(1):
        job = await bench.start(TASKS)
        jobs += 1
        if is_submitted:
            await Orchestrator(backend, {}, QUICK).advance(job.job_id, look=True)
        else:
            assert await live(bench, backend, job.job_id, Life(2))  # the event of its start, and the intention
        await bench.jobs.cancel(job.job_id)
        has_died = await live(bench, backend, job.job_id, Life(writes))
        assert (await ended(bench, backend, job)).state is JobState.CANCELLED
        assert set((await bench.words(job.job_id)).values()) == {"cancelled"}
        if not has_died:
            break
    assert jobs >= 3
    assert not calls
    records = [record async for record in (await bench.app.client()).store.scan("work")]
    assert Counter(record.state.value for record in records) == {"cancelled": jobs}
    assert set((await ends_of(bench)).values()) == {1}


async def test_two_that_step_at_once_do_nothing_twice(bench: Bench) -> None:
    """No lease is needed: what one of them has written, the other finds."""
    calls = register(bench)
    await bench.working()
    async with bench.orchestrating(), bench.orchestrating(), bench.orchestrating():
        jobs = [await bench.start(TASKS) for _ in range(5)]
        done = [await bench.jobs.wait(job.job_id, 30) for job in jobs]
    assert {job.state for job in done} == {JobState.COMPLETED}
    assert sorted(calls) == sorted(5 * ["a", "b", "beside", "c", "last", "one"])
