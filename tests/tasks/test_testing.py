"""``gbe.testing``: tasks in memory, with time that moves when told."""

import gbe
from gbe.lifecycle.transitions import TaskState
from gbe.testing import task_bench


def make_app(runs: list[int]) -> gbe.App:
    app = gbe.App()

    @app.task("count", max_retries=2, backoff="fixed", backoff_base="1h")
    async def count(ctx: gbe.TaskContext, fail: int = 0) -> int:
        runs.append(ctx.attempt)
        if ctx.attempt <= fail:
            raise OSError("not yet")
        return ctx.attempt

    return app


async def test_tasks_run_until_nothing_is_left_to_do() -> None:
    """Submitted, run, done: without an engine and without waiting."""
    app = make_app([])
    async with task_bench(app) as bench:
        tasks = [await app.submit("count") for _ in range(20)]
        await bench.run_until_idle()
        assert [await task.result(timeout=1) for task in tasks] == [1] * 20


async def test_a_delayed_task_runs_when_the_clock_says_so() -> None:
    """Not before."""
    runs: list[int] = []
    app = make_app(runs)
    async with task_bench(app) as bench:
        task = await app.submit("count", delay="10m")
        await bench.advance(599)
        assert runs == []
        await bench.advance(1)
        assert runs == [1]
        assert (await task.refresh()).state is TaskState.COMPLETED


async def test_retries_wait_for_their_backoff() -> None:
    """An hour passes in no time."""
    runs: list[int] = []
    app = make_app(runs)
    async with task_bench(app) as bench:
        task = await app.submit("count", fail=1)
        await bench.run_until_idle()
        assert (await task.refresh()).state is TaskState.PENDING
        await bench.advance(3600)
        assert runs == [1, 2]
        assert await task.result(timeout=1) == 2


async def test_jobs_run_on_the_same_bench() -> None:
    """A fan-out and what follows it, one item failing once; an hour of backoff passes in no time."""
    runs: list[int] = []
    app = make_app(runs)
    tasks = {"each": {"task": "count", "for_each": [0, 1, 0], "input_from": {"fail": "item"}}}
    app.job("fan", {**tasks, "last": {"task": "count", "depends_on": "each"}})
    async with task_bench(app) as bench:
        job = await app.start_job("fan")
        await bench.run_until_idle()
        assert (await (await app.jobs()).get(job.job_id)).state.value == "running"
        await bench.advance(3600)
        assert (await (await app.jobs()).get(job.job_id)).state.value == "completed"
        assert sorted(runs) == [1, 1, 1, 1, 2]
