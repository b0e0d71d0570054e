"""Crashes of workers, sweepers and engines, counted like Jepsen's total queue: nothing lost, nothing done twice.

Small sizes; ``python -m chaos.tasks`` is the same at full size.
"""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.deployments import CLUSTER, ENGINES, Deployment
from tests.tasks.processes import GbeProcess
from tests.tasks.program import app as program
from tests.told import end_of_task, ends_told
from tests.waiting import eventually

from gbe import App
from gbe.errors import StateUnavailableError
from gbe.lifecycle.names import Priority
from gbe.lifecycle.transitions import TaskState
from gbe.schemas.tasks import decode_signal
from gbe.tasks.handle import Task
from gbe.transport.base import EARLIEST

pytestmark = pytest.mark.fault

Start_ = Callable[..., GbeProcess]


@pytest.fixture(params=["nats", "redis"])
async def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Deployment]:
    """An engine of the test's own: it is killed."""
    with {**ENGINES, **CLUSTER}[request.param](tmp_path / "engine") as engine:
        deployment = Deployment(engine, "f", tmp_path)
        yield deployment
        await deployment.close()


@pytest.fixture
def start(deployment: Deployment, tmp_path: Path) -> "AsyncIterator[Start_]":
    """Starts workers and sweepers; what still runs is killed at the end."""
    with ExitStack() as stack:

        def start_one(*words: str, quick: bool = True) -> GbeProcess:
            command = list(words or ("worker", "tests.tasks.program:app", "--concurrency", "20"))
            process = GbeProcess(command, deployment.engine.url, deployment.namespace, tmp_path / "log", quick=quick)
            return stack.enter_context(process)

        yield start_one


@pytest.fixture
async def client(deployment: Deployment) -> App:
    """A program that only submits."""
    app = await deployment.app()
    app.functions.update(program.functions)
    return app


async def completions(deployment: Deployment, task_type: str) -> Counter[str]:
    """How many completions of each task were told; one that is published again has the same id, and counts once."""
    transport = (await deployment.backend()).transport
    told = await ends_told(transport, [deployment.names.terminal(task_type)], end_of_task)
    return Counter(task_id for task_id, _ in told)


async def all_completed(client: App, tasks: list[Task], within: float = 90.0) -> None:
    """Every task has ended well, with the right result."""
    waiting = dict(enumerate(tasks))

    async def are_done() -> bool:
        for number, task in list(waiting.items()):
            try:
                record = await task.refresh()
            except StateUnavailableError:  # the engine is being killed, or stands still with the machine
                return False
            assert record.state not in (TaskState.FAILED, TaskState.CANCELLED), record
            if record.state is TaskState.COMPLETED:
                assert record.result == b"%d" % number
                del waiting[number]
        return not waiting

    await eventually(are_done, "every task is completed", within=within, interval=0.1)


async def submit(client: App, count: int, seconds: float = 0.01) -> list[Task]:
    return await asyncio.gather(*(client.submit("work", number=n, seconds=seconds) for n in range(count)))


everywhere = pytest.mark.parametrize("deployment", ["nats", "redis", "cluster"], indirect=True)


@everywhere
async def test_messages_are_disposable(deployment: Deployment, client: App, start: Start_) -> None:
    """All streams of tasks are deleted before any worker starts: all tasks complete, by the sweeper."""
    tasks = await submit(client, 1000)
    await deployment.engine.delete_stream(f"{deployment.namespace}.tasks")
    start()
    start("sweeper")
    await all_completed(client, tasks)


@everywhere
async def test_messages_are_disposable_while_workers_run(deployment: Deployment, client: App, start: Start_) -> None:
    """All streams are deleted under the workers that read them: what was queued completes, and what comes later."""
    start()
    start("sweeper")
    tasks = await submit(client, 300, seconds=0.05)

    async def some_are_done() -> bool:
        return (await tasks[10].refresh()).state is TaskState.COMPLETED

    await eventually(some_are_done, "work has begun", within=30)
    await deployment.engine.delete_stream(f"{deployment.namespace}.tasks")
    tasks += await asyncio.gather(*(client.submit("work", number=n) for n in range(300, 400)))
    await all_completed(client, tasks)


@pytest.mark.parametrize("deployment", ["nats"], indirect=True)
async def test_a_deleted_stream_is_made_anew_by_who_publishes(deployment: Deployment, client: App) -> None:
    """Nobody reads, and nobody starts: the signal that finds no stream is late, those that follow are stored."""
    await deployment.engine.delete_stream(f"{deployment.namespace}.tasks")
    await client.submit("work", number=1)
    later = await client.submit("work", number=2)
    queue = deployment.names.queue("work", Priority.NORMAL)
    messages = await (await deployment.backend()).transport.read(queue, start=EARLIEST)
    assert decode_signal(messages[-1].envelope.payload).task_id == later.id


async def test_workers_are_killed_at_random(deployment: Deployment, client: App, start: Start_) -> None:
    """Whichever workers die, every task completes, and is said to be completed at most once."""
    chance = random.Random(17)
    workers = [start() for _ in range(3)]
    start("sweeper")
    tasks = await submit(client, 400, seconds=0.05)
    finished = asyncio.create_task(all_completed(client, tasks))
    for _ in range(6):
        await asyncio.wait({finished}, timeout=chance.uniform(0.3, 0.8))
        victim = chance.randrange(len(workers))
        await asyncio.to_thread(workers[victim].kill)
        workers[victim] = start()
    await finished
    assert not [task for task, times in (await completions(deployment, "work")).items() if times > 1]


@everywhere
async def test_a_worker_dies_between_the_end_and_its_publication(
    deployment: Deployment, client: App, start: Start_
) -> None:
    """kill -9, with the state written and nothing said: the next worker tells, once."""
    dying = start("worker", "tests.tasks.dying:app", "--concurrency", "5")
    tasks = await submit(client, 5, seconds=0.0)
    await eventually(lambda: _has_died(dying), "the worker has killed itself", within=60)
    ended = {task.id for task in tasks if (await task.refresh()).state is TaskState.COMPLETED}
    assert ended
    assert not await completions(deployment, "work")
    start("sweeper")
    start()
    await all_completed(client, tasks)

    async def are_told() -> bool:
        found = await completions(deployment, "work")
        return all(found[task.id] == 1 for task in tasks)

    await eventually(are_told, "every end is told of, once", within=60, interval=0.2)


async def _has_died(process: GbeProcess) -> bool:
    return not process.is_alive


async def test_the_engine_is_killed_and_comes_back(deployment: Deployment, client: App, start: Start_) -> None:
    """Workers outlive it, what they did meanwhile is not lost, and nothing is recorded as failed."""
    workers = [start() for _ in range(2)]
    start("sweeper")
    tasks = await submit(client, 300, seconds=0.05)

    async def some_are_done() -> bool:
        return (await tasks[20].refresh()).state is TaskState.COMPLETED

    await eventually(some_are_done, "work has begun")
    await asyncio.to_thread(deployment.engine.crash)
    await all_completed(client, tasks)
    assert all(worker._process.poll() is None for worker in workers)
    later = await client.submit("work", number=1)
    assert await later.result(timeout=30) == 1


async def test_a_stopped_worker_wakes_too_late(deployment: Deployment, client: App, start: Start_) -> None:
    """Its task ran elsewhere meanwhile; its late write is refused, and it goes on working."""
    sleeper = start()
    start("sweeper")
    task = await client.submit("where", seconds=2.0)
    # not only claimed: a worker that is stopped before it hears that the task is its own has nothing to write later
    await eventually(lambda: f"where runs in {sleeper.pid}" in sleeper.log.read_text(), "the task runs")
    sleeper.send(signal.SIGSTOP)
    other = start()
    assert await task.result(timeout=60) == other.pid
    sleeper.send(signal.SIGCONT)
    await eventually(lambda: "no longer ours" in sleeper.log.read_text(), "the late write is refused")
    assert await task.result(timeout=30) == other.pid
    await asyncio.to_thread(other.kill)
    assert await (await client.submit("where")).result(timeout=60) == sleeper.pid


async def test_a_worker_dies_and_the_queue_is_idle(deployment: Deployment, client: App, start: Start_) -> None:
    """Its task is healed without any new traffic, and a worker that starts takes nothing from one that is well."""
    first, healthy = start(), await client.submit("where", seconds=4.0)

    async def is_running() -> bool:
        return (await healthy.refresh()).state is TaskState.RUNNING

    await eventually(is_running, "the healthy task runs")
    second = start()
    start("sweeper")
    assert await healthy.result(timeout=60) == first.pid
    assert (await healthy.refresh()).attempt == 1
    await asyncio.to_thread(second.kill)
    doomed = await client.submit("where", seconds=2.0)
    await eventually(lambda: _runs(doomed), "the task runs")
    await asyncio.to_thread(first.kill)
    third = start()
    assert await doomed.result(timeout=60) == third.pid


async def _runs(task: Task) -> bool:
    return (await task.refresh()).state is TaskState.RUNNING


async def test_one_of_two_sweepers_is_killed(deployment: Deployment, client: App, start: Start_) -> None:
    """The other one takes over; nothing is done twice."""
    sweepers = [start("sweeper"), start("sweeper")]
    victim = start()
    tasks = await submit(client, 50, seconds=0.4)
    await eventually(lambda: _runs(tasks[0]), "work has begun")
    await asyncio.to_thread(victim.kill)
    await asyncio.to_thread(sweepers[0].kill)
    start()
    await all_completed(client, tasks)
    assert max((await completions(deployment, "work")).values()) == 1


async def test_a_worker_that_is_told_to_stop_ends_well(deployment: Deployment, client: App, start: Start_) -> None:
    """SIGTERM: what runs is finished, and the exit code is 0."""
    worker = start()
    task = await client.submit("where", seconds=0.5)
    await eventually(lambda: _runs(task), "the task runs")
    assert await asyncio.to_thread(worker.stop) == 0
    assert await task.result(timeout=30) == worker.pid
