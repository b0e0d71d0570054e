"""What starts jobs: programs and schedules."""

from pathlib import Path

import pytest
from tests.jobs.conftest import Bench
from tests.waiting import PATIENCE

from gbe.config import load
from gbe.errors import ConfigError, UnknownJobTypeError
from gbe.graph.record import JobState
from gbe.schedules.client import ScheduleClient
from gbe.schedules.names import ScheduleNames
from gbe.starters import TargetStarter


async def test_a_program_starts_a_job_that_it_has_defined(bench: Bench) -> None:
    """Once for each key; and a job that nobody has defined is refused."""

    @bench.app.task("greet")
    async def greet(name: str) -> str:
        return f"hello {name}"

    bench.app.job("greeting", {"greet": {"input_from": {"name": "params.name"}}}, params={"name": "nobody"})
    await bench.working()
    async with bench.orchestrating():
        first = await bench.app.start_job("greeting", name="you", idempotency_key="k")
        again = await bench.app.start_job("greeting", name="you", idempotency_key="k")
        done = await (await bench.app.jobs()).wait(first.job_id, PATIENCE)
    assert (again.job_id, done.state) == (first.job_id, JobState.COMPLETED)
    with pytest.raises(UnknownJobTypeError):
        await bench.app.start_job("other")


async def test_a_schedule_starts_a_job(bench: Bench) -> None:
    """A run of it gives the job's id; a second one with the same key, the same job."""

    @bench.app.task("tick")
    async def tick() -> None:
        return None

    bench.app.job("ticking", {"tick": {}})
    await bench.working()
    client = await bench.app.client()
    jobs = await bench.app.jobs()
    starter = TargetStarter(client, jobs)
    schedules = ScheduleClient(client.backend.state, ScheduleNames(bench.deployment.namespace), starter)
    async with bench.orchestrating():
        await schedules.create("nightly", {"job": "ticking"})
        started = await schedules.run("nightly", {}, idempotency_key="once")
        assert (await schedules.run("nightly", {}, idempotency_key="once")).id == started.id
        assert (await jobs.wait(started.id, PATIENCE)).state is JobState.COMPLETED
    assert await starter.key_of("job", "ticking", started.id) == (await jobs.get(started.id)).idempotency_key


def test_the_jobs_of_a_file_are_checked_when_it_is_read(tmp_path: Path) -> None:
    """The error names the file and the key."""
    file = tmp_path / "gbe.yaml"
    file.write_text("jobs: {load: {tasks: {one: {}, two: {depends_on: one}}}}")
    assert load(file).jobs == {"load": {"tasks": {"one": {}, "two": {"depends_on": "one"}}}}
    file.write_text("jobs: {load: {tasks: {one: {}, two: {depends_on: oen}}}}")
    with pytest.raises(ConfigError, match=r"gbe\.yaml: job load: tasks\.two\.depends_on: .*did you mean one"):
        load(file)
