"""The archive under fire: archivers are killed while what they write to misbehaves and retention trims behind them.

``python -m chaos.archive [--engine nats|redis] [--place objects|postgres] [--events 200000] [--kills 20] [--seed N]``
publishes events to three audit subjects, and meanwhile kills the archiver (SIGKILL) so many times. It has the S3 server
(SeaweedFS) stop, answer 500 and 503, cut uploads half-way and answer late; or PostgreSQL stop, crash, and lose its
connections. The streams keep messages for two seconds only, and the sweeper's retention removes what is older as soon
as it is confirmed as archived. At the end: the archived set must be the published set, no message or object twice, and
``verify`` finds nothing; otherwise it fails (exit 1).
"""

import argparse
import asyncio
import contextlib
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

from gbe.config import default_streams
from gbe.notify.config import NotifyConfig
from gbe.schemas.archive import ArchiveRule
from gbe.sweeper.retention import Retention
from gbe.sweeper.streams import Streams
from gbe.tasks.backend import Backend

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.archive.processes import ArchiverProcess
from tests.deployments import ENGINES, Deployment

from chaos.archive_places import ObjectsPlace, Place, PostgresPlace

_NAMESPACE: Final = "chaos"
_SUBJECTS: Final = tuple(f"{_NAMESPACE}.events.audit.{name}" for name in ("change", "access", "login"))
_AT_ONCE: Final = 200
_PATIENCE: Final = 400.0
_KEPT: Final = 2.0  # seconds


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


async def _retain(backend: Backend, trimmed: Counter[str]) -> None:
    """Retention as the sweeper applies it, to a stream that keeps next to nothing."""
    rule = ArchiveRule("archiver", (f"{_NAMESPACE}.events.audit.*",))
    configs = default_streams(_NAMESPACE, NotifyConfig())
    streams = Streams(backend.transport, backend.state, _NAMESPACE, configs, rule)
    await streams.ensure()
    await streams.change(streams.find("events-audit"), {"max_age": _KEPT})

    def count(stream: str, messages: int) -> None:
        trimmed[stream] += messages

    retention = Retention(streams, on_removed=count)
    while True:
        await retention.sweep()
        await asyncio.sleep(1.0)


async def _torment(
    place: Place, running: list[ArchiverProcess], kills: int, make: Callable[[], ArchiverProcess], seed: int
) -> None:
    chance, suffered = random.Random(seed), Counter[str]()
    for _ in range(kills):
        if chance.random() < 0.6:
            suffered[await place.trouble(chance)] += 1
        await asyncio.sleep(chance.uniform(0.5, 3.0))
        if chance.random() < 0.7:
            await place.heal()
        await asyncio.sleep(chance.uniform(0.5, 3.0))
        await asyncio.to_thread(running[0].kill)
        running[0] = make()
    await place.heal()
    say(f"{kills} kills, and {', '.join(f'{times} x {fault}' for fault, times in suffered.items())}")


async def run(deployment: Deployment, place: Place, folder: Path, arguments: argparse.Namespace) -> int:
    """One run; the exit code."""
    backend, trimmed = await deployment.backend(), Counter[str]()
    started = time.monotonic()

    def make() -> ArchiverProcess:
        return ArchiverProcess(deployment, place.target, place.endpoint, folder / "log", batch_size=1000)

    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(place)
        processes = [make()]
        stack.callback(lambda: processes[0].kill())  # noqa: PLW0108  the one that runs by then
        retaining = asyncio.create_task(_retain(backend, trimmed))
        try:
            async with asyncio.TaskGroup() as group:
                publishing = group.create_task(_publish(backend, arguments.events, arguments.seconds))
                group.create_task(_torment(place, processes, arguments.kills, make, arguments.seed))
            published = publishing.result()
            say(f"{len(published)} events published; waiting for the archive")
            deadline = time.monotonic() + _PATIENCE
            while len(await place.ids()) < len(published) and time.monotonic() < deadline:  # noqa: ASYNC110
                await asyncio.sleep(2.0)
        finally:
            retaining.cancel()
            (ended,) = await asyncio.gather(retaining, return_exceptions=True)
        wrong = await place.verdict(deployment, published)
    if not isinstance(ended, asyncio.CancelledError):
        wrong.append(f"retention ended: {ended!r}")
    if not trimmed:
        wrong.append("nothing was trimmed meanwhile")
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
    parser.add_argument("--place", choices=("objects", "postgres"), default="objects")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=100.0, help="over which they are published")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=17)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gbe-chaos-") as name:
        folder = Path(name)
        with ENGINES[arguments.engine](folder / "engine") as engine:
            place = ObjectsPlace(folder) if arguments.place == "objects" else PostgresPlace()
            deployment = Deployment(engine, _NAMESPACE, folder)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(run(deployment, place, folder, arguments))


if __name__ == "__main__":
    sys.exit(main())
