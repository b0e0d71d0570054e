"""Schedulers as processes under kill -9: every due time is fired once, and none is left out."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.deployments import ENGINES, Deployment
from tests.engines import die_with_parent, free_port
from tests.waiting import eventually

from gbe.schedules.client import ScheduleClient
from gbe.schedules.names import ScheduleNames
from gbe.starters import TargetStarter
from gbe.tasks.client import TaskClient
from gbe.tasks.registry import TypeRegistry

pytestmark = pytest.mark.fault

ROOT = Path(__file__).parents[2]
SECONDS = 8
FILE = """
tasks:
  work: {command: [/bin/cat]}
schedules:
  tick: {task: work, cron: "* * * * * *", catch_up: all}
scheduler: {term: 1s, interval: 200ms}
"""


@pytest.fixture
async def deployments(tmp_path: Path) -> AsyncIterator[list[Deployment]]:
    """Engines of the test's own."""
    async with AsyncExitStack() as stack:
        found: list[Deployment] = []
        for name in ("nats", "redis"):
            folder = tmp_path / name
            folder.mkdir()
            found.append(Deployment(stack.enter_context(ENGINES[name](folder / "engine")), "f", folder))
            stack.push_async_callback(found[-1].close)
        yield found


class Server:
    """One ``gbe serve`` that starts what is due."""

    def __init__(self, deployment: Deployment) -> None:
        folder = deployment.folder
        (folder / "gbe.yaml").write_text(FILE)
        environment = {
            "PATH": os.environ["PATH"],
            "GBE_TRANSPORT": deployment.engine.url,
            "GBE_NAMESPACE": deployment.namespace,
            "GBE_STATE_BUCKET": deployment.namespace,
            "GBE_DATA_DIR": str(folder),
            "GBE_ROLES": "scheduler",
            "GBE_LISTEN": f"127.0.0.1:{free_port()}",
        }
        with (folder / "log").open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gbe.cli.main", "serve"],
                cwd=folder,
                env=environment,
                stdout=out,
                stderr=out,
                preexec_fn=die_with_parent,  # noqa: PLW1509  one system call, no lock is taken
            )

    def kill(self) -> None:
        """SIGKILL, as a crash does it."""
        self._process.kill()
        self._process.wait()


async def test_two_servers_of_which_one_is_killed_again_and_again(deployments: list[Deployment]) -> None:
    """Each second of the time has one task, and no second has two; on both engines in the same seconds."""
    await asyncio.gather(*(_kill_again_and_again(deployment) for deployment in deployments))


async def _kill_again_and_again(deployment: Deployment) -> None:
    backend = await deployment.backend()
    tasks = TaskClient(backend, TypeRegistry(backend.state, backend.names, {"work": {"command": ["/bin/cat"]}}, {}))
    schedules = ScheduleClient(backend.state, ScheduleNames(deployment.namespace), TargetStarter(tasks))
    chance = random.Random(5)
    servers = [Server(deployment), Server(deployment)]
    try:
        await eventually(lambda: _fires(schedules), "something was started", interval=0.1)
        ends, kills = time.monotonic() + SECONDS, 0
        while time.monotonic() < ends:
            await asyncio.sleep(chance.uniform(0.4, 1.6))  # a process lives for so long
            number = chance.randrange(2)
            await asyncio.to_thread(servers[number].kill)
            servers[number] = Server(deployment)
            kills += 1
        record = await schedules.get("tick")
        until = record.cursor + 3000
        await eventually(lambda: _has_come_to(schedules, until), "it goes on after the last kill", interval=0.1)
    finally:
        for server in servers:
            server.kill()
    keys = [each.idempotency_key or "" async for each in tasks.store.scan("work")]
    due = sorted(int(key.rpartition(":")[2]) for key in keys)
    assert kills >= 4
    assert len(due) == len(set(due))
    assert due == list(range(due[0], due[-1] + 1000, 1000))
    await tasks.close()


async def _fires(schedules: ScheduleClient) -> bool:
    page = await schedules.list()
    return any(record.fires for record in page.schedules)


async def _has_come_to(schedules: ScheduleClient, moment: int) -> bool:
    return (await schedules.get("tick")).cursor >= moment
