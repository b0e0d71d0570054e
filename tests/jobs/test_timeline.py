"""A job's timeline: what happened to it and to its tasks, on every back end."""

import itertools

import pytest
from tests.jobs.conftest import Bench
from tests.jobs.test_jobs import DIAMOND, register

from gbe.errors import InvalidJobError, JobNotFoundError
from gbe.graph.record import JobState
from gbe.ids import new_ulid
from gbe.jobs.timeline import MOST, Transition


def told(transitions: list[Transition]) -> list[tuple[str | None, int | None, str, int | None]]:
    return [(one.task, one.item, one.what, one.attempt) for one in transitions]


async def test_every_transition_is_there_with_time_worker_attempt_and_trace(bench: Bench) -> None:
    register(bench)
    await bench.working()
    async with bench.orchestrating():
        job = await bench.start(DIAMOND, {"count": 5})
        ended = await bench.jobs.wait(job.job_id, 30)
    assert ended.state is JobState.COMPLETED
    found = (await bench.jobs.timeline(job.job_id)).transitions
    assert told(found)[0] == (None, None, "created", None)
    assert told(found)[-1] == (None, None, "completed", None)
    assert (None, None, "skipped") not in told(found)
    assert ("audit", None, "skipped", None) in told(found)
    assert all(one.at <= other.at for one, other in itertools.pairwise(found))
    life = [one for one in found if (one.task, one.item) == ("double", 3)]
    assert told(life) == [
        ("double", 3, "submitted", None),
        ("double", 3, "started", 1),
        ("double", 3, "retried", 1),
        ("double", 3, "started", 2),
        ("double", 3, "retried", 2),
        ("double", 3, "started", 3),
        ("double", 3, "completed", 3),
    ]
    assert life[2].error == "RuntimeError: not yet"
    assert all(one.worker for one in life if one.what == "started")
    assert {one.task_id for one in life} == {life[0].task_id}
    started = [(one.task, one.item) for one in found if one.what == "started"]
    assert started.index(("fetch", None)) < started.index(("double", 0)) < started.index(("total", None))


async def test_one_task_of_a_long_job_can_be_asked_for_and_what_is_left_out_is_said(bench: Bench) -> None:
    register(bench)
    await bench.working()
    async with bench.orchestrating():
        job = await bench.start(DIAMOND, {"count": 4})
        await bench.jobs.wait(job.job_id, 30)
    only = await bench.jobs.timeline(job.job_id, task="fetch")
    assert told(only.transitions) == [
        ("fetch", None, "submitted", None), ("fetch", None, "started", 1), ("fetch", None, "completed", 1),
    ]  # fmt: skip
    assert not only.is_cut
    first = await bench.jobs.timeline(job.job_id, limit=3)
    assert (len(first.transitions), first.is_cut) == (3, True)
    assert told(first.transitions) == told((await bench.jobs.timeline(job.job_id)).transitions)[:3]


async def test_another_run_is_told_behind_the_first(bench: Bench) -> None:
    calls = register(bench)
    await bench.working()
    async with bench.orchestrating():
        job = await bench.start({"break": {}})
        assert (await bench.jobs.wait(job.job_id, 30)).state is JobState.FAILED
        calls["mended"] = 1
        while (await bench.jobs.get(job.job_id)).look_at is not None:
            await bench.jobs.wait(job.job_id, 30)
        await bench.jobs.retry(job.job_id)
        assert (await bench.jobs.wait(job.job_id, 30)).state is JobState.COMPLETED
    found = (await bench.jobs.timeline(job.job_id)).transitions
    words = [(one.run, one.what) for one in found if one.task is None]
    assert words == [(1, "created"), (1, "failing"), (1, "failed"), (2, "retried"), (2, "completed")]
    assert [(one.run, one.what) for one in found if one.task and one.attempt] == [
        (1, "started"), (1, "failed"), (2, "started"), (2, "completed"),
    ]  # fmt: skip


async def test_what_cannot_be_told_is_refused(bench: Bench) -> None:
    register(bench)
    with pytest.raises(JobNotFoundError):
        await bench.jobs.timeline(new_ulid())
    job = await bench.start({"fetch": {"params": {"count": 1}}})
    with pytest.raises(InvalidJobError, match="no task 'nobody' in this job; there are fetch"):
        await bench.jobs.timeline(job.job_id, task="nobody")
    with pytest.raises(InvalidJobError, match="expected 1 to"):
        await bench.jobs.timeline(job.job_id, limit=MOST + 1)
