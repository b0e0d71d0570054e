"""Archivers under kill -9 before an S3 server that stops, cuts and is late: what was published is archived, once.

Small sizes; ``python -m chaos.archive`` is the same at full size.
"""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from tests.archive.own_engine import deployment
from tests.archive.processes import ArchiverProcess, archived, verdict
from tests.archive.s3_faults import FaultyS3, Mode
from tests.deployments import Deployment
from tests.s3 import S3Process
from tests.waiting import eventually

__all__ = ["deployment"]

pytestmark = pytest.mark.fault

MESSAGES = 1000
MODES: Final[Sequence[Mode]] = ("well", "503", "cut", "late", "500")


async def test_archivers_are_killed_while_the_sink_misbehaves(
    deployment: Deployment, s3: S3Process, tmp_path: Path
) -> None:
    """kill -9 at random moments, cut and stalled connections, an engine that crashes: nothing lost, nothing twice."""
    chance = random.Random(17)
    transport = (await deployment.backend()).transport
    subjects = [f"f.events.audit.{name}" for name in ("change", "access", "login")]
    async with FaultyS3(int(s3.endpoint.rpartition(":")[2])) as proxy:
        place = s3.place(tmp_path.name)

        def start() -> ArchiverProcess:
            return ArchiverProcess(deployment, place, proxy.url, tmp_path / "log")

        async def publish() -> list[str]:
            sent: list[str] = []
            for number in range(MESSAGES // 50):
                some = (transport.publish(subjects[(number + n) % 3], b'{"n":%d}' % n) for n in range(50))
                sent += await asyncio.gather(*some)
                await asyncio.sleep(0.02)
            return sent

        publishing = asyncio.create_task(publish())
        process = start()
        try:
            for number in range(len(MODES)):
                await asyncio.sleep(chance.uniform(0.3, 1.5))
                proxy.mode = MODES[number]
                if number == 3:
                    await asyncio.to_thread(deployment.engine.crash)
                await asyncio.to_thread(process.kill)
                process = start()
            proxy.mode = "well"
            published = await publishing
            published += await publish()  # for the last archiver alone
            await eventually(lambda: archived(place, published), "all is archived", within=90, interval=0.5)
            assert await asyncio.to_thread(process.stop) == 0
        finally:
            process.kill()
    assert await verdict(deployment, place, published) == []
