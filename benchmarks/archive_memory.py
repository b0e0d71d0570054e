"""How much memory an archiver takes: ``python -m benchmarks.archive_memory [--messages N] [--plot FILE]``.

On NATS and on Redis so many messages are stored; then ``gbe archiver`` is started on them, and its resident memory is
looked at until all of them are archived into a local folder.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import psutil
import uvloop
from tests.archive.processes import ArchiverProcess
from tests.deployments import ENGINES, Deployment

from benchmarks import plot
from benchmarks.bench_consume import fill
from benchmarks.harness import say
from gbe.archive.progress import Progress
from gbe.objects.config import ObjectsConfig

NAMESPACE: Final = "memory"
SUBJECTS: Final = tuple(f"{NAMESPACE}.events.audit.{name}" for name in ("change", "access", "login"))
_PAYLOAD: Final = b'{"v":1,"ts":1790000000000,"id":"01JZ","actor":"user-17","action":"update","resource":"orders/4711"}'
_EVERY: Final = 0.25
_PATIENCE: Final = 1200.0
_MEGABYTE: Final = 1024 * 1024

Points = list[tuple[float, float]]


async def measure(engine: str, messages: int, folder: Path) -> tuple[Points, Points]:
    """Resident MiB, and thousands of messages archived, by seconds."""
    with ENGINES[engine](folder / "engine") as server:
        deployment = Deployment(server, NAMESPACE, folder)
        backend = await deployment.backend()
        say(f"archive memory: storing {messages:,} messages on {engine}")
        await fill(backend.transport, list(SUBJECTS), messages, _PAYLOAD)
        say("archive memory: archiving")
        place = ObjectsConfig(url=str(folder / "archive"))
        process = ArchiverProcess(deployment, place, "", folder / "log", batch_size=1000)
        try:
            return await _follow(psutil.Process(process.pid), Progress(backend.state, NAMESPACE, "archiver"), messages)
        finally:
            process.kill()
            await deployment.close()


async def _follow(process: psutil.Process, progress: Progress, messages: int) -> tuple[Points, Points]:
    memory: Points = []
    archived: Points = []
    started = time.monotonic()
    while (now := time.monotonic() - started) < _PATIENCE:
        done = sum([(await progress.load(subject)).messages for subject in SUBJECTS])
        memory.append((now, process.memory_info().rss / _MEGABYTE))
        archived.append((now, done / 1000))
        if done >= messages:
            return memory, archived
        await asyncio.sleep(_EVERY)
    raise TimeoutError(f"only {archived[-1][1]:,.0f} thousand messages after {_PATIENCE:.0f} s")


def main() -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.archive_memory", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it there, as SVG")
    arguments = parser.parse_args()
    panels: list[plot.Panel] = []
    for engine, color in (("nats", plot.OURS), ("redis", plot.WORSE)):
        with (
            tempfile.TemporaryDirectory(prefix="gbe-memory-", dir="/var/tmp") as name,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            memory, archived = runner.run(measure(engine, arguments.messages, Path(name)))
        grown = _middle(memory, 0.9) - _middle(memory, 0.3)
        say(
            f"{engine}: {arguments.messages:,} messages in {memory[-1][0]:.0f} s, at most "
            f"{max(value for _, value in memory):.0f} MiB, between three and nine tenths of the way {grown:+.1f} MiB"
        )
        panels += [
            plot.Panel(f"{engine}: memory of the archiver, MiB", memory, color),
            plot.Panel(f"{engine}: thousands of messages archived", archived, plot.THEIRS),
        ]
    if arguments.plot is not None:
        subtitle = f"gbe archiver from each engine into a local folder, {arguments.messages:,} messages stored before"
        plot.curves(arguments.plot, "Memory of the archiver", subtitle, panels)
    return 0


def _middle(points: Points, part: float) -> float:
    return points[min(len(points) - 1, int(len(points) * part))][1]


if __name__ == "__main__":
    sys.exit(main())
