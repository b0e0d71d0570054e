"""Schedules that go by events: each event starts something once, and no loop goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from tests.deployments import Deployment
from tests.schedules.conftest import CONFIGURED
from tests.waiting import eventually, first

from gbe.lifecycle.record import TaskRecord
from gbe.schedules.client import ScheduleClient
from gbe.schedules.config import SchedulerConfig
from gbe.schedules.names import ScheduleNames
from gbe.schedules.scheduler import Scheduler
from gbe.schedules.triggers import MOST_HOPS
from gbe.schemas.deadletter import decode
from gbe.starters import TargetStarter
from gbe.tasks.client import TaskClient
from gbe.tasks.registry import TypeRegistry
from gbe.transport.base import EARLIEST


class Live:
    """Schedules by the machine's own clock."""

    def __init__(self, deployment: Deployment, tasks: TaskClient) -> None:
        self.deployment, self.tasks = deployment, tasks
        self.backend = tasks.backend
        self.names = ScheduleNames(deployment.namespace)
        self.client = ScheduleClient(self.backend.state, self.names, TargetStarter(tasks))

    @asynccontextmanager
    async def scheduling(self) -> AsyncIterator[Scheduler]:
        """A scheduler at work."""
        backend = self.backend
        config = SchedulerConfig(interval=0.1, term=0.5)
        scheduler = Scheduler(backend.transport, backend.state, self.names, TargetStarter(self.tasks), config=config)
        running = asyncio.create_task(scheduler.run())
        try:
            yield scheduler
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def publish(self, subject: str, payload: object) -> str:
        body = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        return await self.backend.transport.publish(f"{self.names.namespace}.{subject}", body)

    async def started(self) -> list[TaskRecord]:
        """What schedules have started."""
        found = [record async for record in self.tasks.store.scan(None)]
        return [record for record in found if (record.idempotency_key or "").startswith("schedule:")]

    async def params(self, record: TaskRecord) -> object:
        return msgspec.json.decode(await self.tasks.params_of(record))


@pytest.fixture
async def live(deployment: Deployment) -> AsyncIterator[Live]:
    backend = await deployment.backend()
    tasks = TaskClient(backend, TypeRegistry(backend.state, backend.names, CONFIGURED, {}))
    yield Live(deployment, tasks)
    await tasks.close()


async def test_an_event_starts_a_task_with_what_it_says(live: Live) -> None:
    """Also one that was published before a scheduler was at work; twice the same event is one."""
    places = {"host": "payload.host.name", "where": "subject", "gone": "payload.nothing", "all": "payload"}
    await live.client.create(
        "deploy", {"task": "work", "params": {"n": 1}, "event": "events.system.*", "event_params": places}
    )
    event = {"v": 1, "id": "e1", "host": {"name": "h"}}
    await live.publish("events.system.deploy", event)
    async with live.scheduling():
        await eventually(live.started, "the event has started a task")
        await live.publish("events.system.deploy", event)
        await live.publish("events.system.deploy", {**event, "id": "e2"})
        tasks = await eventually(lambda: _at_least(live, 2), "the second event has started a task")
    assert len(tasks) == 2
    subject = f"{live.names.namespace}.events.system.deploy"
    assert {"n": 1, "host": "h", "where": subject, "all": event} in [await live.params(task) for task in tasks]
    record = await live.client.get("deploy")
    assert record.last_id in {task.task_id for task in tasks}


async def _at_least(live: Live, count: int) -> list[TaskRecord]:
    found = await live.started()
    return found if len(found) >= count else []


async def test_events_while_it_is_paused_are_left(live: Live) -> None:
    """And a change of its pattern is followed while everything runs."""
    await live.client.create("t", {"task": "work", "event": "events.system.a", "event_params": {"n": "payload.n"}})
    async with live.scheduling() as scheduler:
        await eventually(lambda: "t" in scheduler.triggers.listening, "it listens")
        await live.client.pause("t", paused=True)
        await eventually(lambda: "t" not in scheduler.triggers.listening, "it listens no more")
        await live.publish("events.system.a", {"n": 1})
        await asyncio.sleep(0.01)
        await live.client.pause("t", paused=False)
        await live.publish("events.system.a", {"n": 2})
        await eventually(lambda: _at_least(live, 1), "what came after the pause has started a task")
        await live.client.change("t", {"event": f"{live.names.namespace}.events.system.b"})
        await live.publish("events.system.b", {"n": 3})
        tasks = await eventually(lambda: _at_least(live, 2), "the new pattern counts")
    assert sorted([(await live.params(task))["n"] for task in tasks]) == [2, 3]  # type: ignore[index]


async def test_an_event_that_cannot_be_used_goes_to_the_dead_letters(live: Live) -> None:
    """With the reason, and the schedule says so."""
    schema = b'{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}'
    await live.backend.state.set_fields(live.backend.names.type("typed"), {"schema": schema})
    await live.client.create("t", {"task": "typed", "event": "events.system.a", "event_params": {"n": "payload.n"}})
    async with live.scheduling():
        await live.publish("events.system.a", {"n": "many"})
        await live.publish("events.system.a", b"\xff\xfe")
        await live.publish("events.system.a", {"n": 5})
        await eventually(lambda: _at_least(live, 1), "the good one has started a task")
        pattern = f"{live.names.namespace}._deadletter.events"
        async with live.backend.transport.tail([pattern], EARLIEST) as letters:
            source = aiter(letters)
            reasons = {decode((await first(source)).envelope.payload).reason for _ in range(2)}
        await eventually(lambda: _refused(live), "it is noted")
    assert any("payload is neither" in reason for reason in reasons)
    assert any("n" in reason and "typed" in reason for reason in reasons)


async def _refused(live: Live) -> bool:
    return (await live.client.get("t")).refusals == 2


async def test_a_trigger_is_not_started_by_what_it_has_started(live: Live) -> None:
    """The end of its own task is an event too; that of somebody else's task counts."""
    await live.client.create("t", {"task": "work", "event": "tasks.*.terminal"})
    async with live.scheduling():
        record = await live.tasks.submit("other", b"{}")
        await live.tasks.cancel(record.task_id, "other")
        (own,) = await eventually(lambda: _at_least(live, 1), "the end of another task has started one")
        await live.tasks.cancel(own.task_id, "work")
        more = await live.tasks.submit("other", b"{}")
        await live.tasks.cancel(more.task_id, "other")
        tasks = await eventually(lambda: _at_least(live, 2), "it still listens")
    assert len(tasks) == 2


async def test_triggers_that_start_one_another_end(live: Live) -> None:
    """A chain of triggers has a longest length."""
    for name in ("a", "b"):
        await live.client.create(name, {"task": "work", "event": "tasks.work.terminal"})
    ended: set[str] = set()

    async def end_all() -> int:
        """Let every task end that a trigger has started; how many there were so far."""
        for task in await live.started():
            if task.task_id not in ended:
                ended.add(task.task_id)
                await live.tasks.cancel(task.task_id, "work")
        return len(ended)

    async def begin() -> None:
        record = await live.tasks.submit("work", b"{}")
        await live.tasks.cancel(record.task_id, "work")

    async def has_ended(count: int) -> bool:
        return await end_all() >= count

    async with live.scheduling():
        await begin()
        # each is passed over for what it has started itself: two chains
        await eventually(lambda: has_ended(2 * MOST_HOPS), "both chains have come to their end")
        await begin()  # what comes behind it shows that the chains have not gone on
        await eventually(lambda: has_ended(4 * MOST_HOPS), "two more chains have come to their end")
    assert len(await live.started()) == 4 * MOST_HOPS
    depths = [int((task.idempotency_key or "").split(":")[2]) for task in await live.started()]
    assert max(depths) == MOST_HOPS
