"""What is said to be a job's and does not validate."""

from tests.jobs.conftest import Bench
from tests.waiting import eventually

from gbe.schemas import deadletter
from gbe.schemas.deadletter import DeadLetter


async def test_what_does_not_validate_is_a_dead_letter_that_names_the_field(bench: Bench) -> None:
    """At once, and the orchestrator goes on with the rest."""

    @bench.app.task("tick")
    async def tick() -> None:
        return None

    bench.app.job("ticking", {"tick": {}})
    await bench.working()
    transport, namespace = (await bench.app.client()).backend.transport, bench.deployment.namespace

    async def letters() -> list[DeadLetter]:
        stored = await transport.read(f"{namespace}._deadletter.jobs")
        return [deadletter.decode(message.envelope.payload) for message in stored]

    async with bench.orchestrating():
        await transport.publish(f"{namespace}.jobs.ticking.created", b'{"v":1,"ts":1,"id":"a","job_type":"ticking"}')
        (letter,) = await eventually(letters, "a letter")
        job = await bench.app.start_job("ticking")
        await (await bench.app.jobs()).wait(job.job_id, 30)
    assert letter.reason == "not a job event: job_id: missing"
    assert letter.deliveries == 1
