"""Outcomes on every back end: whoever ends a task may die before it says so, and it is said all the same."""

import asyncio

from tests.deployments import Deployment
from tests.waiting import eventually, first

from gbe import App, TaskContext
from gbe.lifecycle import moves
from gbe.lifecycle.letters import letter_of
from gbe.lifecycle.names import Priority
from gbe.lifecycle.transitions import TaskState
from gbe.schemas import deadletter
from gbe.schemas.tasks import TaskOutcome, decode_outcome
from gbe.tasks.handle import Task
from gbe.transport.base import EARLIEST, ConsumeOptions

OPTIONS = ConsumeOptions(ack_timeout=2.0, max_deliver=1000, start=EARLIEST)


async def outcomes(deployment: Deployment, task: Task) -> list[TaskOutcome]:
    """What was published of a task's end, as often as it was."""
    transport = (await deployment.backend()).transport
    stored = await transport.read(deployment.names.terminal(task.type))
    found = [decode_outcome(message.envelope.payload) for message in stored]
    return [outcome for outcome in found if outcome.task_id == task.id]


async def told(deployment: Deployment, task: Task) -> TaskOutcome:
    """The outcome, once it is there; every copy has the same id."""
    found: list[TaskOutcome] = []

    async def is_there() -> bool:
        found[:] = await outcomes(deployment, task)
        return bool(found)

    await eventually(is_there, "the outcome is published", within=30, interval=0.1)
    assert len({outcome.id for outcome in found}) == 1
    return found[0]


async def is_settled(task: Task) -> bool:
    """Nobody needs to look at it any more."""
    return (await task.refresh()).timeout_at is None


async def submit(app: App) -> Task:
    @app.task("report", max_retries=0)
    async def report(ctx: TaskContext) -> int:
        return ctx.attempt

    return await app.submit("report")


async def claim(deployment: Deployment, task: Task) -> str:
    store, key = (await deployment.backend()).store(), deployment.names.task(task.type, task.id)
    assert await store.apply(key, moves.claim(0, worker=b"w", now=store.clock.now_ms(), timeout_at=10**13 - 1))
    return key


async def test_a_signal_that_comes_back_after_the_end_brings_the_outcome(deployment: Deployment, app: App) -> None:
    """A worker writes the end, and dies holding the signal: the next one that gets it tells."""
    task = await submit(app)
    dying = await deployment.backend()
    queue, group = deployment.names.queue("report", Priority.NORMAL), deployment.names.group("report")
    async with dying.transport.consume(queue, group, OPTIONS) as deliveries:
        await first(aiter(deliveries))
        key = await claim(deployment, task)
        done = moves.complete(1, now=dying.clock.now_ms(), result={"result": b"1"}, retention=60)
        assert await dying.store().apply(key, done)
    assert await outcomes(deployment, task) == []
    async with deployment.working(app):
        outcome = await told(deployment, task)
    assert (outcome.state, outcome.attempt, outcome.worker) == ("completed", 1, "w")
    assert (await task.refresh()).attempt == 1


async def test_the_sweeper_tells_of_the_end_of_a_long_task(deployment: Deployment, app: App) -> None:
    """Its signal was acknowledged long ago; its worker died after it had written that the task has failed."""
    task = await submit(app)
    key, store = await claim(deployment, task), (await deployment.backend()).store()
    now = store.clock.now_ms()
    failed = moves.fail(1, now=now, retry_count=0, error="E: no", retention=60, announce_at=now)
    assert await store.apply(key, failed)
    sweeper = await deployment.sweeper()
    await sweeper.sweep()
    outcome = await told(deployment, task)
    assert (outcome.state, outcome.error) == ("failed", "E: no")
    transport = (await deployment.backend()).transport
    letters = [deadletter.decode(m.envelope.payload) for m in await transport.read(deployment.names.dead_letters)]
    assert [letter.id for letter in letters] == [letter_of(deployment.names, outcome).id]
    await sweeper.sweep()
    assert len(await outcomes(deployment, task)) == 1
    record = await task.refresh()
    assert (record.state, record.timeout_at) == (TaskState.FAILED, None)


async def test_a_task_that_runs_for_long_needs_its_signal_no_more(deployment: Deployment, app: App) -> None:
    """From its first renewal; what it leaves for the sweeper is cleared once its outcome is published."""
    go_on = asyncio.Event()

    @app.task("long")
    async def long() -> None:
        await go_on.wait()

    async with deployment.working(app):
        task = await app.submit("long")
        transport = (await deployment.backend()).transport
        queue, group = deployment.names.queue("long", Priority.NORMAL), deployment.names.group("long")

        async def is_let_go() -> bool:
            lag = await transport.lag(queue, group)
            is_running = (await task.refresh()).state is TaskState.RUNNING
            return is_running and not lag.pending and not lag.unacknowledged

        await eventually(is_let_go, "the signal is acknowledged", within=30)
        go_on.set()
        await task.result(timeout=30)
        await told(deployment, task)
        await eventually(lambda: is_settled(task), "nobody needs to look", within=30)
    await (await deployment.sweeper()).sweep()
    assert len(await outcomes(deployment, task)) == 1


async def test_who_cancels_tells_and_clears(deployment: Deployment, app: App) -> None:
    """One that dies between the two leaves a deadline, which a list does not show."""
    task = await submit(app)
    await task.cancel()
    assert await is_settled(task)
    assert [outcome.state for outcome in await outcomes(deployment, task)] == ["cancelled"]
    other = await app.submit("report")
    client = await app.client()
    now = client.backend.clock.now_ms()
    move = moves.cancel(other.record, now=now - moves.ANNOUNCE_PATIENCE_MS, reason="no", retention=60)
    assert await client.store.apply(deployment.names.task(other.type, other.id), move)
    await (await deployment.sweeper()).sweep()
    assert [outcome.state for outcome in await outcomes(deployment, other)] == ["cancelled"]
    assert await is_settled(other)
