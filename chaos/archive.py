"""The archive under fire: archivers are killed while their S3 server misbehaves and retention trims behind them.

``python -m chaos.archive [--engine nats|redis] [--events 200000] [--kills 20] [--seed N]`` publishes events to three
audit subjects, and meanwhile kills the archiver (SIGKILL) so many times, and has the S3 server (SeaweedFS) stop, answer
500 and 503, cut uploads half-way and answer late. What is confirmed as archived is trimmed from the streams all the
time. At the end: the archived set must be the published set, no message or object twice, and ``verify`` finds nothing;
otherwise it fails (exit 1).
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvloop
from benchmarks.harness import say

from gbe.errors import GbeError
from gbe.objects.config import ObjectsConfig
from gbe.schemas.archive import confirmed_position, progress_key
from gbe.tasks.backend import Backend
from gbe.transport.base import AfterPosition, Position

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.archive.processes import ArchiverProcess, ids, verdict
from tests.archive.s3_faults import FaultyS3, Mode
from tests.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Process
from tests.tasks.conftest import ENGINES, Deployment

_NAMESPACE: Final = "chaos"
_SUBJECTS: Final = tuple(f"{_NAMESPACE}.events.audit.{name}" for name in ("change", "access", "login"))
_FAULTS: Final[tuple[Mode, ...]] = ("500", "503", "cut", "late", "gone")
_AT_ONCE: Final = 200
_PATIENCE: Final = 300.0


async def _publish(backend: Backend, events: int, seconds: float) -> list[str]:
    """Publish at a steady pace; the ids."""
    sent: list[str] = []
    began = time.monotonic()
    while len(sent) < events:
        number = len(sent)
        await asyncio.sleep(max(0.0, began + seconds * number / events - time.monotonic()))
        some = (
            backend.transport.publish(_SUBJECTS[n % 3], b'{"v":1,"n":%d,"what":"a record was changed"}' % n)
            for n in range(number, min(number + _AT_ONCE, events))
        )
        sent += await asyncio.gather(*some)
    return sent


async def _trim(backend: Backend, trimmed: Counter[str]) -> None:
    """Remove what is confirmed as archived, and nothing else; as retention does it."""
    while True:
        await asyncio.sleep(1.0)
        for subject in _SUBJECTS:
            try:
                position = confirmed_position(await backend.state.get(progress_key(_NAMESPACE, "archiver", subject)))
                if position is None:
                    continue
                start = AfterPosition(Position.parse(position))
                following = await backend.transport.read(subject, start=start, limit=1)
                if following:
                    trimmed[subject] += await backend.transport.trim(subject, following[0].envelope.timestamp)
            except GbeError as exc:
                say(f"not trimmed: {exc}")


async def _torment(
    proxy: FaultyS3, running: list[ArchiverProcess], kills: int, make: Callable[[], ArchiverProcess], seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(kills):
        proxy.mode = chance.choice(_FAULTS) if chance.random() < 0.5 else "well"
        await asyncio.sleep(chance.uniform(0.5, 3.0))
        if chance.random() < 0.7:
            proxy.mode = "well"
        await asyncio.sleep(chance.uniform(0.5, 3.0))
        await asyncio.to_thread(running[0].kill)
        running[0] = make()
    proxy.mode = "well"


async def run(deployment: Deployment, s3: S3Process, folder: Path, arguments: argparse.Namespace) -> int:
    """One run; the exit code."""
    backend, trimmed = await deployment.backend(), Counter[str]()
    place = ObjectsConfig(
        url=f"s3://{BUCKET}/chaos", endpoint=s3.endpoint, access_key_id=ACCESS_KEY, secret_access_key=SECRET_KEY
    )
    started = time.monotonic()
    async with FaultyS3(int(s3.endpoint.rpartition(":")[2])) as proxy:

        def make() -> ArchiverProcess:
            return ArchiverProcess(deployment, place, proxy.url, folder / "log", batch_size=1000)

        processes = [make()]
        trimming = asyncio.create_task(_trim(backend, trimmed))
        try:
            async with asyncio.TaskGroup() as group:
                publishing = group.create_task(_publish(backend, arguments.events, arguments.seconds))
                group.create_task(_torment(proxy, processes, arguments.kills, make, arguments.seed))
            published = publishing.result()
            say(f"{len(published)} events published, {arguments.kills} kills; waiting for the archive")
            deadline = time.monotonic() + _PATIENCE
            while len(await ids(place)) < len(published) and time.monotonic() < deadline:  # noqa: ASYNC110
                await asyncio.sleep(2.0)
        finally:
            trimming.cancel()
            await asyncio.gather(trimming, return_exceptions=True)
            processes[0].kill()
    wrong = await verdict(deployment, place, published)
    took = time.monotonic() - started
    say(f"{len(published)} events in {took:.0f} s, {sum(trimmed.values())} trimmed meanwhile, {len(wrong)} findings")
    for line in wrong[:10]:
        say(f"  {line}")
    await deployment.close()
    return 1 if wrong else 0


def main() -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m chaos.archive", description=__doc__)
    parser.add_argument("--engine", choices=("nats", "redis"), default="nats")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=80.0, help="over which they are published")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=17)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gbe-chaos-") as name:
        folder = Path(name)
        with ENGINES[arguments.engine](folder / "engine") as engine, S3Process(folder / "s3") as s3:
            deployment = Deployment(engine, _NAMESPACE, folder)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(run(deployment, s3, folder, arguments))


if __name__ == "__main__":
    sys.exit(main())
