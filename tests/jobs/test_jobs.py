"""Jobs of many tasks, from their start to their end, on every back end."""

from collections import Counter

import pytest
from tests.jobs.conftest import QUICK, Bench
from tests.waiting import PATIENCE, eventually

from gbe.errors import IllegalJobTransitionError
from gbe.graph import progress
from gbe.graph.record import JobState
from gbe.jobs import views
from gbe.jobs.advance import Advancer, Step
from gbe.schemas.jobs import decode_event

DIAMOND = {
    "fetch": {"task": "fetch", "input_from": {"count": "params.count"}},
    "double": {"for_each": "fetch", "input_from": {"number": "item", "index": "index"}, "max_retries": 3},
    "audit": {"depends_on": "fetch", "when": "len(fetch) > 1000"},
    "total": {"input_from": {"numbers": "double"}, "when": "completed(double)"},
}


def register(bench: Bench) -> Counter[str]:
    """The tasks of the jobs here; what is returned counts their calls."""
    calls: Counter[str] = Counter()

    @bench.app.task("fetch")
    async def fetch(count: int) -> list[int]:
        calls["fetch"] += 1
        return list(range(count))

    @bench.app.task("double", backoff_base="10ms")
    async def double(number: int, index: int) -> int:
        calls[f"double {index}"] += 1
        if index == 3 and calls["double 3"] < 3:
            raise RuntimeError("not yet")
        return 2 * number

    @bench.app.task("audit")
    async def audit() -> None:
        calls["audit"] += 1

    @bench.app.task("total")
    async def total(numbers: list[int]) -> int:
        calls["total"] += 1
        return sum(numbers)

    @bench.app.task("break", max_retries=0)
    async def break_() -> None:
        calls["break"] += 1
        if not calls["mended"]:
            raise RuntimeError("broken")

    @bench.app.task("undo")
    async def undo(job: str, task: str, result: object) -> None:
        calls[f"undo {task} {result}"] += 1

    @bench.app.task("wait", step_timeout="60s")
    async def wait() -> None:
        calls["wait"] += 1
        await eventually(lambda: calls["go"], "told to go on", within=60)

    return calls


async def test_a_diamond_with_a_fan_out_runs_every_task_once(bench: Bench) -> None:
    """One item fails twice before it succeeds; the fan-in sees every result; what a condition leaves out is skipped."""
    calls = register(bench)
    await bench.working()
    async with bench.orchestrating(), bench.orchestrating():
        job = await bench.start(DIAMOND, {"count": 20})
        done = await bench.jobs.wait(job.job_id, PATIENCE)
    assert done.state is JobState.COMPLETED
    assert await bench.words(job.job_id) == {
        "fetch": "completed", "double": "completed", "audit": "skipped", "total": "completed",
    }  # fmt: skip
    expected = {"fetch": 1, "total": 1, **{f"double {index}": 3 if index == 3 else 1 for index in range(20)}}
    assert calls == expected
    records = [record async for record in (await bench.app.client()).store.scan("total")]
    assert [(record.job_id, record.result) for record in records] == [(job.job_id, b"380")]
    names = bench.jobs.store.names

    async def ended() -> list[str]:
        transport = (await bench.app.client()).backend.transport
        found = [await transport.read(names.event("job", word)) for word in ("created", "completed")]
        return [decode_event(message.envelope.payload).state for page in found for message in page]

    assert await eventually(ended, "told of its life") == ["created", "completed"]


async def test_a_job_fails_and_its_retry_keeps_what_succeeded(bench: Bench) -> None:
    """What was done is undone, the last first; another run repeats what was undone and what failed, and no more."""
    calls = register(bench)
    await bench.working()
    tasks = {
        "fetch": {"params": {"count": 2}},
        "double": {"for_each": "fetch", "input_from": {"number": "item", "index": "index"}, "compensate": "undo"},
        "late": {"task": "break", "depends_on": "double"},
        "total": {"depends_on": "late", "input_from": {"numbers": "double"}},
    }
    async with bench.orchestrating():
        job = await bench.start(tasks)
        failed = await bench.jobs.wait(job.job_id, PATIENCE)
        assert failed.state is JobState.FAILED
        assert failed.error is not None
        assert "task late: " in failed.error
        assert calls["undo double [0, 2]"] == 1
        assert (await bench.words(job.job_id))["total"] == "cancelled"
        plan = await bench.jobs.store.plan(job.job_id)
        shown = {task["name"]: task.get("undo") for task in views.document(failed, plan.definition)["tasks"]}
        assert shown == {"fetch": None, "double": "completed", "late": None, "total": None}
        assert views.states(failed, plan.definition)["double"] == "completed, 2 items, undone"
        calls["mended"] = 1
        await eventually(lambda: _retried(bench, job.job_id), "retried")
        done = await bench.jobs.wait(job.job_id, PATIENCE)
    assert (done.state, done.run) == (JobState.COMPLETED, 2)
    assert (calls["fetch"], calls["double 0"], calls["break"], calls["total"]) == (1, 2, 2, 1)


async def test_a_retry_repeats_the_items_that_failed(bench: Bench) -> None:
    """And no others; those that had failed do not fail the job once more."""
    calls: Counter[int] = Counter()

    @bench.app.task("once", max_retries=0)
    async def once(number: int) -> int:
        calls[number] += 1
        if number == 1 and calls[number] == 1:
            raise RuntimeError("not yet")
        return number

    @bench.app.task("total")
    async def total(numbers: list[int]) -> int:
        return sum(numbers)

    await bench.working()
    async with bench.orchestrating():
        items = {"task": "once", "for_each": [1, 2, 3], "input_from": {"number": "item"}}
        first = {"task": "once", "params": {"number": 0}}
        total = {"input_from": {"numbers": "items"}}
        job = await bench.start({"first": first, "items": {**items, "depends_on": "first"}, "total": total})
        assert (await bench.jobs.wait(job.job_id, PATIENCE)).state is JobState.FAILED
        await eventually(lambda: _retried(bench, job.job_id), "retried")
        done = await bench.jobs.wait(job.job_id, PATIENCE)
    assert (done.state, done.run, done.error) == (JobState.COMPLETED, 2, None)
    assert (calls[0], calls[1]) == (1, 2)
    assert max(calls[2], calls[3]) <= 2  # one that was stopped before it had ended is repeated too


async def _retried(bench: Bench, job_id: str) -> bool:
    try:
        await bench.jobs.retry(job_id)
    except IllegalJobTransitionError:  # its end is not wound up yet
        return False
    return True


async def test_a_failure_may_be_passed_over(bench: Bench) -> None:
    """With ``continue`` the others go on, and a condition can ask."""
    calls = register(bench)
    await bench.working()
    tasks = {
        "break": {"on_failure": "continue"},
        "audit": {"when": "failed(break)"},
        "items": {"task": "total", "for_each": [[1], ["x"], [2]], "input_from": {"numbers": "item"},
                  "on_failure": "continue", "max_retries": 0},
        "fetch": {"depends_on": "items", "params": {"count": 1}},
    }  # fmt: skip
    async with bench.orchestrating():
        job = await bench.start(tasks)
        assert (await bench.jobs.wait(job.job_id, PATIENCE)).state is JobState.COMPLETED
    words = await bench.words(job.job_id)
    assert words == {"break": "failed", "audit": "completed", "items": "failed", "fetch": "completed"}
    assert (calls["audit"], calls["fetch"]) == (1, 1)


async def test_cancelling_a_job_stops_its_tasks(bench: Bench) -> None:
    """What runs is cancelled, what waits never starts."""
    calls = register(bench)
    await bench.working()
    async with bench.orchestrating():
        some = {"task": "wait", "for_each": [1, 2, 3]}
        job = await bench.start({"wait": {}, "some": some, "audit": {"depends_on": "wait"}})
        await eventually(lambda: calls["wait"] == 4, "the first tasks run")
        await bench.jobs.cancel(job.job_id, "changed my mind")
        await eventually(lambda: _is_wound_up(bench, job.job_id), "its tasks are stopped")
    assert await bench.words(job.job_id) == {"wait": "cancelled", "some": "cancelled", "audit": "cancelled"}
    records = [record async for record in (await bench.app.client()).store.scan("wait")]
    assert [record.state.value for record in records] == ["cancelled"] * 4
    with pytest.raises(IllegalJobTransitionError):
        await bench.jobs.cancel(job.job_id)


async def test_what_follows_a_task_that_cannot_start_does_not_start(bench: Bench) -> None:
    """Not even one that has nothing to do, and there is nothing of it to be undone."""
    calls = register(bench)
    await bench.working()
    tasks = {
        "total": {"for_each": "params.numbers", "input_from": {"numbers": "item"}},
        "fetch": {"depends_on": "total", "for_each": [], "compensate": "undo"},
    }
    async with bench.orchestrating():
        job = await bench.start(tasks, {"numbers": "none"})
        done = await bench.jobs.wait(job.job_id, PATIENCE)
    assert done.state is JobState.FAILED
    assert await bench.words(job.job_id) == {"total": "failed", "fetch": "cancelled"}
    assert not calls


async def test_what_follows_a_task_that_is_refused_as_it_is_submitted_starts_at_once(bench: Bench) -> None:
    """Nobody has to look at the job for that: no message will come."""
    register(bench)
    job = await bench.start(
        {
            "total": {"input_from": {"numbers": "params.numbers"}, "on_failure": "continue"},
            "fetch": {"depends_on": "total", "params": {"count": 1}},
        }
    )
    advancer = Advancer(await bench.deployment.backend(), {}, QUICK)

    async def is_done() -> bool:
        return await advancer.step(job.job_id) is Step.DONE

    await eventually(is_done, "nothing more to do")
    assert await bench.words(job.job_id) == {"total": "failed", "fetch": "running"}


async def test_cancelling_a_job_that_undoes_stops_that_too(bench: Bench) -> None:
    """A later run must not meet it."""
    calls = register(bench)

    @bench.app.task("slow-undo", step_timeout="60s")
    async def slow_undo(job: str, task: str, result: object) -> None:
        calls["undoes"] += 1
        await eventually(lambda: calls["go"], "told to go on", within=60)

    await bench.working()
    tasks = {"fetch": {"params": {"count": 1}, "compensate": "slow-undo"}, "break": {"depends_on": "fetch"}}
    async with bench.orchestrating():
        job = await bench.start(tasks)
        await eventually(lambda: calls["undoes"], "it undoes")
        await bench.jobs.cancel(job.job_id)
        await eventually(lambda: _is_wound_up(bench, job.job_id), "it is wound up")
    records = [record async for record in (await bench.app.client()).store.scan("slow-undo")]
    assert [record.state.value for record in records] == ["cancelled"]
    assert (await bench.jobs.get(job.job_id)).state is JobState.CANCELLED


async def _is_wound_up(bench: Bench, job_id: str) -> bool:
    return (await bench.jobs.get(job_id)).look_at is None


async def test_fan_outs_that_are_too_large_together_fail_the_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything of the last one is submitted."""
    calls = register(bench)
    await bench.working()
    monkeypatch.setattr(progress, "MAX_JOB_ITEMS", 4)
    item = {"task": "double", "input_from": {"number": "item", "index": "index"}}
    async with bench.orchestrating():
        job = await bench.start(
            {"one": {**item, "for_each": [0, 1, 2]}, "two": {**item, "for_each": [4, 5], "depends_on": "one"}}
        )
        done = await bench.jobs.wait(job.job_id, PATIENCE)
    assert done.error is not None
    assert "task two: for_each: 2 items; the fan-outs of a job have at most" in done.error
    assert calls == {"double 0": 1, "double 1": 1, "double 2": 1}


async def test_what_a_task_cannot_be_given_fails_the_job_with_the_reference(bench: Bench) -> None:
    """Nobody has to guess which."""
    register(bench)
    await bench.working()
    async with bench.orchestrating():
        job = await bench.start({"fetch": {"params": {"count": 1}}, "total": {"input_from": {"numbers": "fetch.7"}}})
        done = await bench.jobs.wait(job.job_id, PATIENCE)
    assert done.state is JobState.FAILED
    assert done.error is not None
    assert "task total: input_from.numbers: fetch.7: fetch is a list of 1" in done.error
