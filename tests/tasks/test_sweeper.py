"""The sweeper on every back end: what was lost is found, what is fine is left alone."""

import asyncio
from dataclasses import replace

import pytest
from tests.deployments import QUICK_SWEEPER, Deployment
from tests.waiting import eventually, first

from gbe import App, TaskContext
from gbe.errors import TaskFailedError
from gbe.lifecycle import moves
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.transitions import TaskState
from gbe.tasks.client import TaskClient
from gbe.tasks.handle import Task


class Hand:
    """A worker by hand: claims, and then does as the test says."""

    def __init__(self, client: TaskClient, task: Task) -> None:
        self.client, self.task = client, task
        self.key = client.backend.names.task(task.type, task.id)
        self.attempt = task.record.attempt

    async def claim(self, *, lease_ms: int = 0, max_retries: int = 3) -> bool:
        now = self.client.backend.clock.now_ms()
        move = moves.claim(self.attempt, worker=b"w", now=now, timeout_at=now + lease_ms, max_retries=max_retries)
        self.attempt += 1
        return await self.client.store.apply(self.key, move)

    async def complete(self, result: bytes = b'"late"') -> bool:
        now = self.client.backend.clock.now_ms()
        move = moves.complete(self.attempt, now=now, result={"result": result}, retention=60)
        return await self.client.store.apply(self.key, move)

    async def make_due(self) -> None:
        """Its deadline is now, as if nobody had looked for long."""
        now = self.client.backend.clock.now_ms()
        await self.client.backend.state.set_fields(self.key, {"timeout_at": b"%d" % now})

    async def record(self) -> TaskRecord:
        return await self.task.refresh()


@pytest.fixture
async def hand(app: App) -> Hand:
    """A submitted task."""

    @app.task("email")
    async def email(ctx: TaskContext) -> int:
        return ctx.attempt

    return Hand(await app.client(), await app.submit("email"))


async def test_a_lost_lease_returns_the_task_to_its_queue(deployment: Deployment, app: App, hand: Hand) -> None:
    """When a worker dies silently, the sweeper hands its task to the next one."""
    assert await hand.claim()
    report = await (await deployment.sweeper()).sweep()
    assert (report.retried, report.failed) == (1, 0)
    record = await hand.record()
    assert (record.state, record.retry_count, record.attempt) == (TaskState.PENDING, 1, 1)
    async with deployment.working(app):
        assert await hand.task.result(timeout=30) == 2


async def test_a_held_task_is_left_alone(deployment: Deployment, hand: Hand) -> None:
    """As long as its lease is renewed nobody else gets it."""
    assert await hand.claim(lease_ms=60_000)
    report = await (await deployment.sweeper()).sweep()
    assert (report.retried, report.signalled, report.waiting) == (0, 0, 0)
    assert await hand.complete()


async def test_a_late_write_is_refused(deployment: Deployment, app: App, hand: Hand) -> None:
    """A worker that was presumed dead cannot overwrite its successor, before or after that has ended."""
    assert await hand.claim()
    await (await deployment.sweeper()).sweep()
    assert not await hand.complete()
    async with deployment.working(app):
        assert await hand.task.result(timeout=30) == 2
    assert not await hand.complete()
    assert await hand.task.result(timeout=30) == 2


async def test_a_spent_budget_fails_the_task(deployment: Deployment, hand: Hand) -> None:
    """With no retry left it has failed, monitors hear of it, and so do operators."""
    transport = hand.client.backend.transport
    assert await hand.claim(max_retries=0)
    async with transport.tail([deployment.names.errors, deployment.names.terminal("email")]) as messages:
        report = await (await deployment.sweeper()).sweep()
        assert report.failed == 1
        subjects = {(await first(aiter(messages))).envelope.subject for _ in range(2)}
    assert subjects == {deployment.names.errors, deployment.names.terminal("email")}
    with pytest.raises(TaskFailedError, match="no sign of life"):
        await hand.task.result(timeout=30)


async def test_a_lost_signal_is_published_again(deployment: Deployment, app: App, hand: Hand) -> None:
    """A task whose signal is gone is signalled, and runs."""
    queue = deployment.names.queue("email", hand.task.record.priority)
    transport = hand.client.backend.transport
    async with transport.consume(queue, deployment.names.group("email")) as deliveries:
        # somebody took the signal and claimed nothing
        if (await transport.lag(queue, deployment.names.group("email"))).pending:
            await (await first(aiter(deliveries))).ack()
    await hand.make_due()
    report = await (await deployment.sweeper()).sweep()
    assert report.signalled == 1
    async with deployment.working(app):
        assert await hand.task.result(timeout=30) == 1


async def test_a_signal_that_waits_is_not_published_again(deployment: Deployment, app: App, hand: Hand) -> None:
    """A long queue is no lost one: its tasks are only looked at again later."""
    async with deployment.working(app):
        await hand.task.result(timeout=30)  # the group exists from now on
    task = Hand(hand.client, await app.submit("email"))
    await task.make_due()
    report = await (await deployment.sweeper()).sweep()
    assert (report.signalled, report.waiting) == (0, 1)
    assert (await task.record()).timeout_at > task.client.backend.clock.now_ms()  # type: ignore[operator]


async def test_a_paused_type_is_not_signalled(deployment: Deployment, hand: Hand) -> None:
    """Its tasks wait, whatever has become of their signals."""
    await hand.client.types.pause("email", paused=True)
    await hand.make_due()
    report = await (await deployment.sweeper()).sweep()
    assert (report.signalled, report.waiting) == (0, 1)


async def test_a_task_that_never_started_in_its_time_fails(deployment: Deployment, app: App, hand: Hand) -> None:
    """The whole-task timeout counts while it waits too."""
    task = await app.submit("email", timeout="10ms")
    late = Hand(hand.client, task)
    await late.make_due()
    await eventually(lambda: hand.client.backend.clock.now_ms() > (task.record.deadline or 0), "its time is over")
    await (await deployment.sweeper()).sweep()
    with pytest.raises(TaskFailedError, match="not started within its whole time"):
        await task.result(timeout=30)


async def test_many_lost_tasks_are_found_in_one_sweep(deployment: Deployment, app: App, hand: Hand) -> None:
    """Not one by one."""
    tasks = await asyncio.gather(*(app.submit("email") for _ in range(300)))
    hands = [hand, *(Hand(hand.client, task) for task in tasks)]
    assert all(await asyncio.gather(*(one.claim() for one in hands)))
    report = await (await deployment.sweeper()).sweep()
    assert report.retried == 301


async def test_one_sweeper_sweeps_and_another_takes_over(deployment: Deployment, app: App, hand: Hand) -> None:
    """The second waits while the first is alive, and sweeps once that is gone without a word."""
    first_one, second = await deployment.sweeper(), await deployment.sweeper()
    running = asyncio.create_task(first_one.run())
    await eventually(lambda: first_one.is_active, "the first sweeper sweeps")
    waiting = asyncio.create_task(second.run())
    await hand.claim()
    await eventually(lambda: _is(hand, TaskState.PENDING), "the first sweeper has found the task")
    assert not second.is_active
    first_one._lease.release = _say_nothing  # type: ignore[method-assign]  # as a killed process would not
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await eventually(lambda: second.is_active, "the second sweeper sweeps")
    await hand.claim()
    await eventually(lambda: _is(hand, TaskState.PENDING), "the second sweeper has found the task")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def _is(hand: Hand, state: TaskState) -> bool:
    return (await hand.record()).state is state


async def _say_nothing() -> None:
    return None


async def test_what_is_no_task_is_left_alone(deployment: Deployment, hand: Hand) -> None:
    """A record that somebody else put among the tasks stops no sweep."""
    await hand.client.backend.state.put(deployment.names.task("email", "0" * 26), {"timeout_at": b"1", "x": b"\xff"})
    await hand.claim()
    assert (await (await deployment.sweeper()).sweep()).retried == 1


async def test_large_parameters_go_with_their_task(deployment: Deployment, app: App) -> None:
    """What a record that is gone referred to is removed; what another one refers to stays."""

    @app.task("email")
    async def email(ctx: TaskContext, text: str) -> int:
        return len(text)

    client = await app.client()
    kept, gone = await app.submit("email", text="k" * 10_000), await app.submit("email", text="g" * 10_000)
    await client.backend.state.delete(client.backend.names.task("email", gone.id))

    def stored() -> int:
        return sum(path.is_file() for path in (deployment.folder / "objects").rglob("*"))

    assert stored() == 2
    async with deployment.sweeping(replace(QUICK_SWEEPER, prune_every=0.1, prune_age=0.001)):
        await eventually(lambda: stored() == 1, "the orphan's end")
    assert await client.params_of(await kept.refresh()) == b'{"text":"%b"}' % (b"k" * 10_000)
