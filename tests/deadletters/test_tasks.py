"""Tasks that have failed for good: in the same list, and run again as new tasks."""

import asyncio

import pytest
from tests.deadletters.conftest import Desk, OpenDesk
from tests.waiting import eventually

from gbe.app import App
from gbe.deadletters.query import LetterFilter
from gbe.deadletters.record import Status
from gbe.tasks.config import WorkerConfig


@pytest.fixture
async def desk(open_desk: OpenDesk) -> Desk:
    """An operator who can run tasks again."""
    apps: list[App] = []

    async def retry(task_type: str, task_id: str, key: str) -> str:
        client = await apps[0].client()
        return (await client.retry(task_id, task_type, idempotency_key=key)).task_id

    desk = await open_desk(retry_task=retry)
    apps.append(App(backend=desk.backend()))
    return desk


async def test_a_failed_task_is_a_letter_and_its_redrive_a_new_task(desk: Desk) -> None:
    """The task keeps its record; the new one has its parameters."""
    app = App(backend=desk.backend())
    broken = True

    @app.task("pay", max_retries=0)
    async def pay(invoice: int) -> int:
        if broken:
            raise LookupError(f"no invoice {invoice}")
        return invoice

    stop = asyncio.Event()
    worker = await app.worker(WorkerConfig(grace=5.0))
    running = asyncio.create_task(worker.run(stop))
    try:
        task = await app.submit("pay", invoice=17)

        async def is_there() -> bool:
            return bool((await desk.letters.page(LetterFilter(domain="tasks"))).letters)

        await eventually(is_there, "the letter", interval=0.05)
        (letter,) = (await desk.letters.page()).letters
        assert (letter.task_type, letter.task_id, letter.group) == ("pay", task.id, "pay-workers")
        assert (letter.error_type, letter.status) == ("LookupError", Status.OPEN)
        assert "no invoice 17" in letter.reason

        (refused,) = await desk.redrive([letter.id], to=f"{desk.ns}.events.system.repair")
        assert refused.result == "failed"

        broken = False
        (outcome,) = await desk.redrive(LetterFilter(domain="tasks"))
        assert outcome.result == "redriven"
        again = await app.get(str(outcome.sent_as), "pay")
        assert await again.result(30.0) == 17
        assert again.id != task.id
    finally:
        stop.set()
        await running
        await app.close()
    assert [change.action for change in await desk.audited()] == ["redrive"]
