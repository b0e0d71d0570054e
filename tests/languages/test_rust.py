"""Rust beside Python, live: the examples of the crate on the engines that they are for."""

import asyncio
import itertools
import json
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.deployments import ClusterBoth, Deployment, Engine, NatsBoth, RedisBoth
from tests.jobs.conftest import Bench
from tests.languages.rust import Example, built, has_toolchain
from tests.naming import unique
from tests.story.gbe import Gbe
from tests.waiting import eventually, first

from gbe.app import App
from gbe.errors import TaskFailedError
from gbe.graph.record import JobState
from gbe.lifecycle import history
from gbe.lifecycle.moves import outcome_of
from gbe.lifecycle.names import Priority
from gbe.lifecycle.record import TaskRecord
from gbe.lifecycle.transitions import TaskState
from gbe.schemas import notify
from gbe.schemas.deadletter import decode as decode_letter
from gbe.schemas.tasks import decode_outcome
from gbe.transport.base import EARLIEST, ConsumeOptions

pytestmark = [
    pytest.mark.skipif(not has_toolchain(), reason="there is no Rust toolchain (https://rustup.rs)"),
    pytest.mark.timeout(600),  # the first one builds
]

ENGINES: dict[str, Callable[[Path], Engine]] = {"nats": NatsBoth, "redis": RedisBoth, "cluster": ClusterBoth}
TYPE = "count-words"
_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=list(ENGINES))
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that the tests of this file share."""
    with ENGINES[request.param](tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(scope="module")
def examples() -> Path:
    """The programs."""
    return built()


@pytest.fixture
async def deployment(engine: Engine, tmp_path: Path) -> AsyncIterator[Deployment]:
    """A namespace that no other test has."""
    deployment = Deployment(engine, unique("r"), tmp_path)
    yield deployment
    await deployment.close()


@pytest.fixture
async def app(deployment: Deployment) -> App:
    """A Python program that knows the task, too; it works only where a test says so."""
    app = await deployment.app()

    @app.task(TYPE, max_retries=1, backoff="none")
    async def count(text: str, seconds: float = 0.0) -> dict[str, Any]:
        return {"words": len(text.split()), "by": "python"}

    return app


def words(deployment: Deployment) -> list[str]:
    """What the examples are told of a deployment."""
    name = "nats" if isinstance(deployment.engine, NatsBoth) else "redis"
    return ["--engine", name, "--url", deployment.engine.url, "--namespace", deployment.namespace]


def worker(examples: Path, deployment: Deployment, lease: float) -> Example:
    """The worker in Rust."""
    more = ["--bucket", deployment.namespace, "--type", TYPE, "--lease", str(lease)]
    return Example(examples / "worker", [*words(deployment), *more], deployment.folder / f"worker-{next(_numbers)}")


async def record_of(deployment: Deployment, app: App, task_id: str) -> TaskRecord:
    """A task as it is stored now."""
    return await (await app.client()).store.get(TYPE, task_id)


async def is_told(deployment: Deployment, app: App, task_id: str) -> bool:
    """Whether nobody needs to look at a task any more."""
    return (await record_of(deployment, app, task_id)).timeout_at is None


async def test_rust_completes_what_python_submits_and_its_heartbeats_keep_the_task(
    deployment: Deployment, app: App, examples: Path
) -> None:
    """A task that takes longer than the lease has one attempt, while a sweeper looks; its end is told, and noted so."""
    transport = (await deployment.backend()).transport
    options = ConsumeOptions(start=EARLIEST)
    async with (
        deployment.sweeping(),
        transport.consume(deployment.names.terminal(TYPE), "monitors", options) as outcomes,
    ):
        with worker(examples, deployment, lease=5) as rust:
            task = await app.submit(TYPE, priority="high", text="a b c", seconds=7)
            await eventually(lambda: rust.says(f"{task.id} runs, attempt 1"), "the worker has it")
            assert await task.result(timeout=60) == {"words": 3, "by": "rust"}
            told = await first(outcomes)
            await told.ack()
            await eventually(lambda: is_told(deployment, app, task.id), "it is noted that the end is told")
        outcome = decode_outcome(told.envelope.payload)
        assert (outcome.task_id, outcome.state, outcome.attempt) == (task.id, "completed", 1)
        ended = await record_of(deployment, app, task.id)
        assert (ended.state, ended.attempt, ended.retry_count) == (TaskState.COMPLETED, 1, 0)
        assert outcome == outcome_of(ended)
        assert ended.started_at is not None
        assert ended.finished_at is not None
        assert ended.finished_at > ended.started_at + 5_000


async def test_a_worker_that_was_stopped_past_its_lease_does_not_overwrite_its_successor(
    deployment: Deployment, app: App, examples: Path
) -> None:
    """Python has taken over and completed the task when Rust goes on, which is done with it then."""
    async with deployment.sweeping():
        with worker(examples, deployment, lease=2) as rust:
            task = await app.submit(TYPE, text="a b", seconds=6)
            await eventually(lambda: rust.says(f"{task.id} runs, attempt 1"), "the worker has it")
            rust.freeze()
            over = time.monotonic() + 7
            async with deployment.working(app):
                assert await task.result(timeout=60) == {"words": 2, "by": "python"}
            await eventually(lambda: is_told(deployment, app, task.id), "the sweeper and Python are done with it")
            before = await record_of(deployment, app, task.id)
            await eventually(lambda: time.monotonic() > over, "the work in Rust is done, too", interval=0.1)
            rust.thaw()
            await eventually(lambda: rust.says("no longer ours"), "Rust learns that it has lost the task")
        assert await record_of(deployment, app, task.id) == before
        assert before.attempt == 2


async def test_rust_retries_fails_and_hands_back(deployment: Deployment, app: App, examples: Path) -> None:
    """What fails is tried again, then fails for good; what runs when it is told to stop goes on elsewhere."""
    async with deployment.sweeping():
        with worker(examples, deployment, lease=8) as rust:
            broken = await app.submit(TYPE, text="", max_retries=1)
            with pytest.raises(TaskFailedError, match="there are no words"):
                await broken.result(timeout=60)
            await eventually(lambda: is_told(deployment, app, broken.id), "the sweeper tells of the end")
            failed = await record_of(deployment, app, broken.id)
            assert (failed.state, failed.attempt, failed.retry_count) == (TaskState.FAILED, 2, 1)

            long = await app.submit(TYPE, text="a", seconds=60)
            await eventually(lambda: rust.says(f"{long.id} runs, attempt 1"), "the worker has it")
            rust.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(rust.process.wait, 60) == 0
        waiting = await record_of(deployment, app, long.id)
        assert (waiting.state, waiting.attempt, waiting.retry_count, waiting.worker) == (TaskState.PENDING, 1, 0, None)
        async with deployment.working(app):
            assert await long.result(timeout=60) == {"words": 1, "by": "python"}
    transport = (await deployment.backend()).transport
    letters = [
        decode_letter(message.envelope.payload) for message in await transport.read(deployment.names.dead_letters)
    ]
    assert [letter.task_id for letter in letters] == [broken.id]


async def test_a_signal_that_is_none_is_a_dead_letter(deployment: Deployment, app: App, examples: Path) -> None:
    """With the reason, and it does not come back."""
    transport = (await deployment.backend()).transport
    queue = deployment.names.queue(TYPE, Priority.NORMAL)
    id = await transport.publish(queue, b"{}")
    with worker(examples, deployment, lease=8):
        task = await app.submit(TYPE, text="a b")
        assert await task.result(timeout=60) == {"words": 2, "by": "rust"}
    (message,) = await transport.read(deployment.names.dead_letters)
    letter = decode_letter(message.envelope.payload)
    assert (letter.original.id, letter.original.payload, letter.group) == (id, b"{}", f"{TYPE}-workers")
    assert "v: missing" in letter.reason


async def test_rust_does_one_task_of_a_job_and_python_the_other(
    deployment: Deployment, app: App, examples: Path
) -> None:
    """The orchestrator hears of both; what became of the attempts is in the record."""
    python = await deployment.app()

    @app.task("twice")
    @python.task("twice")
    async def twice(counted: dict[str, Any]) -> int:
        return 2 * int(counted["words"])

    nodes = {
        "count": {"task": TYPE, "input_from": {"text": "params.text"}},
        "twice": {"depends_on": "count", "input_from": {"counted": "count"}},
    }
    async with AsyncExitStack() as stack:
        bench = Bench(deployment, app, stack)
        await bench.open()
        await stack.enter_async_context(deployment.working(python))
        await stack.enter_async_context(bench.orchestrating())
        stack.enter_context(worker(examples, deployment, lease=8))
        job = await bench.start(nodes, {"text": "a b c"})

        async def ended() -> bool:
            return (await bench.jobs.get(job.job_id)).state is JobState.COMPLETED

        await eventually(ended, "the job is completed")
        records = [record async for record in (await app.client()).store.scan(None)]
        by_type = {record.task_type: record for record in records}
        assert json.loads(by_type[TYPE].result or b"") == {"words": 3, "by": "rust"}
        assert by_type["twice"].result == b"6"
        backend = await deployment.backend()
        fields = await backend.state.get(deployment.names.task(TYPE, by_type[TYPE].task_id))
        assert fields is not None
        assert [(one.word, one.attempt) for one in history.read(fields)] == [("started", 1), ("completed", 1)]


async def test_notifications_go_both_ways(deployment: Deployment, examples: Path) -> None:
    """A subscriber over HTTP and a consumer in Python read what Rust publishes; Rust reads what came over HTTP."""
    arguments = [*words(deployment), "publish", "alerts", "Disk full \N{PILE OF POO}"]
    environment = {
        "GBE_TRANSPORT": deployment.engine.url,
        "GBE_NAMESPACE": deployment.namespace,
        "GBE_STATE_BUCKET": deployment.namespace,
    }
    with Gbe(deployment.folder, **environment) as gbe:
        await asyncio.to_thread(gbe.ready)
        with Example(examples / "notify", arguments, deployment.folder / "publish") as publisher:
            assert await asyncio.to_thread(publisher.process.wait, 60) == 0, publisher.log.read_text()
        id = publisher.log.read_text().strip()
        async with httpx.AsyncClient(base_url=gbe.url, trust_env=False, timeout=30) as http:
            (line,) = (await http.get("/alerts/json?poll=1")).text.splitlines()
            shown = json.loads(line)
            assert (shown["id"], shown["title"], shown["message"]) == (id, "From Rust", "Disk full \N{PILE OF POO}")
            assert shown["tags"] == ["crab"]
            transport = (await deployment.backend()).transport
            subject = f"{deployment.namespace}.notify.topic.alerts"
            async with transport.consume(subject, "readers", ConsumeOptions(start=EARLIEST)) as deliveries:
                delivery = await first(deliveries)
                assert notify.decode(delivery.envelope.payload).id == id
                await delivery.ack()
            answer = await http.put("/alerts", content="from Python")
            assert answer.status_code == 200
        arguments = [*words(deployment), "consume", "alerts", "2"]
        with Example(examples / "notify", arguments, deployment.folder / "consume") as consumer:
            assert await asyncio.to_thread(consumer.process.wait, 60) == 0, consumer.log.read_text()
        expected = [f"{id}: Disk full \N{PILE OF POO}", f"{answer.json()['id']}: from Python"]
        assert consumer.log.read_text().splitlines() == expected
