"""An orchestrator may die at any moment: another one goes on, and nothing runs twice."""

import itertools

import pytest
from tests.jobs.conftest import QUICK, Bench
from tests.waiting import eventually

from gbe.graph.record import JobState
from gbe.jobs.advance import Advancer
from gbe.jobs.orchestrator import Orchestrator
from gbe.state.base import Changes, Expected, Ttl
from gbe.state.memory import MemoryStateStore
from gbe.state.nats.store import NatsStateStore
from gbe.state.redis.store import RedisStateStore
from gbe.tasks.backend import Backend

TASKS = {
    "one": {"task": "work", "params": {"name": "one"}},
    "many": {"task": "work", "depends_on": "one", "for_each": ["a", "b", "c"], "input_from": {"name": "item"}},
    "last": {"task": "work", "depends_on": "many", "params": {"name": "last"}},
}


class Died(BaseException):
    """As kill -9 would: nothing after this moment happens."""


class Mortal:
    """Lets an orchestrator make so many writes; the last one is stored, and nothing that follows it happens."""

    def __init__(self, writes: int) -> None:
        self.left = writes

    def check(self) -> None:
        """Raise if it is dead."""
        if self.left <= 0:
            raise Died

    def write(self) -> None:
        """One write is stored."""
        self.left -= 1
        self.check()


def mortal(backend: Backend, life: Mortal, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """The same deployment, for somebody who dies."""
    store = backend.state
    assert isinstance(store, MemoryStateStore | NatsStateStore | RedisStateStore)
    write = store.update_if

    async def update_if(key: str, expected: Expected, changes: Changes, *, ttl: Ttl = None) -> bool:
        life.check()
        done = await write(key, expected, changes, ttl=ttl)
        life.write()
        return done

    monkeypatch.setattr(store, "update_if", update_if)
    return backend


async def ended(bench: Bench, orchestrator: Orchestrator, job_id: str) -> bool:
    """Look at everything once more."""
    await orchestrator.advance(job_id, look=True)
    job = await bench.jobs.get(job_id)
    return job.state.is_terminal and job.look_at is None


async def test_an_orchestrator_that_dies_after_any_write_is_replaced(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it had written: the job completes, every task has run once, and the fan-in saw all items done."""
    calls: list[str] = []

    @bench.app.task("work")
    async def work(name: str) -> str:
        calls.append(name)
        return name

    await bench.working()
    deaths = 0
    for writes in itertools.count(1):
        calls.clear()
        life = Mortal(writes)
        with monkeypatch.context() as patch:
            backend = mortal(await bench.deployment.backend(), life, patch)
            job = await bench.start(TASKS)
            first = Advancer(backend, {}, QUICK)
            try:

                async def worked(first: Advancer = first, job_id: str = job.job_id) -> bool:
                    await first.step(job_id, look=True)
                    return (await bench.jobs.get(job_id)).look_at is None

                await eventually(worked, "done, or dead")
            except Died:
                deaths += 1
        second = await bench.orchestrator()
        await eventually(lambda job=job, second=second: ended(bench, second, job.job_id), "the successor ends it")  # type: ignore[misc]
        assert (await bench.jobs.get(job.job_id)).state is JobState.COMPLETED
        assert sorted(calls) == ["a", "b", "c", "last", "one"], f"dead after write {writes}"
        assert (calls[0], calls[-1]) == ("one", "last")
        if life.left > 0:
            break
    assert deaths >= 10


async def test_two_that_step_at_once_do_nothing_twice(bench: Bench) -> None:
    """No lease is needed: what one of them has written, the other finds."""
    calls: list[str] = []

    @bench.app.task("work")
    async def work(name: str) -> str:
        calls.append(name)
        return name

    await bench.working()
    async with bench.orchestrating(), bench.orchestrating(), bench.orchestrating():
        jobs = [await bench.start(TASKS) for _ in range(5)]
        done = [await bench.jobs.wait(job.job_id, 30) for job in jobs]
    assert {job.state for job in done} == {JobState.COMPLETED}
    assert sorted(calls) == sorted(5 * ["a", "b", "c", "last", "one"])
