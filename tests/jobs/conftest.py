"""Jobs on every back end; each orchestrator is as another process would have it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from tests.deployment_fixtures import any_engine, deployment
from tests.deployments import Deployment

from gbe.app import App
from gbe.cli.runtime import in_background
from gbe.graph.definition import parse_definition
from gbe.graph.record import JobRecord
from gbe.jobs.client import JobClient
from gbe.jobs.config import OrchestratorConfig
from gbe.jobs.orchestrator import Orchestrator

__all__ = ["any_engine", "deployment"]

QUICK = OrchestratorConfig(interval=0.05, patience=0.5)


class Bench:
    """A program with a worker, a client of jobs, and as many orchestrators as a test wants."""

    def __init__(self, deployment: Deployment, app: App, stack: AsyncExitStack) -> None:
        self.deployment, self.app, self._stack = deployment, app, stack
        self.jobs: JobClient

    async def open(self) -> None:
        client = await self.app.client()
        self.jobs = JobClient(client.backend, client.types, {})

    async def working(self) -> None:
        """Run the tasks that are registered by now."""
        await self._stack.enter_async_context(self.deployment.working(self.app))

    async def orchestrator(self) -> Orchestrator:
        """One more."""
        return Orchestrator(await self.deployment.backend(), {}, QUICK)

    @asynccontextmanager
    async def orchestrating(self) -> AsyncIterator[Orchestrator]:
        """One at work."""
        orchestrator = await self.orchestrator()
        async with in_background(orchestrator.run(), "orchestrator"):
            yield orchestrator

    async def start(self, tasks: Mapping[str, Any], params: Mapping[str, Any] | None = None, **job: Any) -> JobRecord:
        """Define a job type and start a job of it."""
        await self.jobs.define(parse_definition("job", {"tasks": tasks, **job}))
        return await self.jobs.start("job", params or {})

    async def words(self, job_id: str) -> dict[str, str]:
        """Where each task of a job is."""
        job, plan = await self.jobs.get(job_id), await self.jobs.store.plan(job_id)
        return {node.name: job.code(number).word for number, node in enumerate(plan.definition.nodes)}


@pytest.fixture
async def bench(deployment: Deployment) -> AsyncIterator[Bench]:
    """A program without task types yet."""
    async with AsyncExitStack() as stack:
        bench = Bench(deployment, await deployment.app(), stack)
        await bench.open()
        yield bench
