"""How soon a worker is back at its full rate after its engine was killed and has come back.

``python -m chaos.recovery [--engine nats|redis] [--tasks 40000] [--runs 3] [--down 0.5]`` fills the queue, lets one
worker with default settings work on it, kills the engine (SIGKILL) in the middle, starts it again on what it stored,
and says for each run, counted from the moment at which the engine answers again:

- first: until the first task is completed,
- full: until the tasks that end within a window of 300 ms come at 80 % or more of the rate before.

The worker itself is asked (``gbe worker --metrics``), every 25 ms, so that the engine has nothing else to do.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import httpx
import uvloop
from benchmarks.harness import say

from gbe.app import App
from gbe.config import load

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.engines import NatsProcess, free_port
from tests.redis_engines import RedisProcess
from tests.tasks.processes import GbeProcess

_NAMESPACE: Final = "recovery"
_WINDOW: Final = 0.3
_FULL: Final = 0.8
_WARM: Final = 2.5  # seconds of work before the engine is killed
_PATIENCE: Final = 30.0
_AT_ONCE: Final = 256


class Meter:
    """How many tasks a worker has completed, by time."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"
        self.samples: list[tuple[float, float]] = []

    async def run(self) -> None:
        """Look until cancelled."""
        async with httpx.AsyncClient(timeout=5) as client:
            while True:
                try:
                    text = (await client.get(self._url)).text
                except httpx.HTTPError:
                    text = ""
                ends = [line for line in text.splitlines() if line.startswith("gbe_task_ends_total{")]
                done = sum(float(line.rsplit(" ", 1)[1]) for line in ends if 'outcome="completed"' in line)
                self.samples.append((time.monotonic(), done))
                await asyncio.sleep(0.025)

    async def above(self, count: float) -> float:
        """When so many were completed."""
        deadline = time.monotonic() + _PATIENCE
        while not self.samples or self.samples[-1][1] < count:
            if time.monotonic() > deadline:
                raise TimeoutError("the worker does not go on")
            await asyncio.sleep(0.01)
        return next(moment for moment, done in self.samples if done >= count)

    def rate(self, start: float, end: float) -> float:
        """Tasks per second between two moments."""
        inside = [sample for sample in self.samples if start <= sample[0] <= end]
        if len(inside) < 2:
            return 0.0
        (first, before), (last, after) = inside[0], inside[-1]
        return (after - before) / max(last - first, 0.001)

    async def full(self, since: float, rate: float) -> float:
        """When the first window after ``since`` had begun in which the rate was reached."""
        deadline = time.monotonic() + _PATIENCE
        start = since
        while time.monotonic() < deadline:
            if self.samples[-1][0] < start + _WINDOW:
                await asyncio.sleep(0.01)
            elif self.rate(start, start + _WINDOW) >= rate:
                return start
            else:
                start += 0.025
        raise TimeoutError("the worker does not reach its rate again")


async def _fill(app: App, tasks: int) -> None:
    for start in range(0, tasks, _AT_ONCE):
        some = range(start, min(start + _AT_ONCE, tasks))
        await asyncio.gather(*(app.submit("work", number=number, seconds=0.0) for number in some))


async def run(engine: Any, folder: Path, tasks: int, down: float) -> tuple[float, float, float]:
    """Rate before, seconds to the first task after, seconds to the full rate."""
    flags = {"transport": engine.url, "namespace": _NAMESPACE, "state.bucket": _NAMESPACE, "data_dir": str(folder)}
    async with App(settings=load(None, environment={}, flags=flags)) as app:
        from tests.tasks.program import app as program

        app.functions.update(program.functions)
        await _fill(app, tasks)
    port = free_port()
    words = ["worker", "tests.tasks.program:app", "--metrics", f"127.0.0.1:{port}"]
    with GbeProcess(words, engine.url, _NAMESPACE, folder / "log", quick=False):
        meter = Meter(port)
        looking = asyncio.create_task(meter.run())
        try:
            began = await meter.above(1)
            await asyncio.sleep(_WARM)
            rate = meter.rate(began + 0.5, time.monotonic())
            await asyncio.to_thread(engine.kill)
            await asyncio.sleep(down)
            done = meter.samples[-1][1]
            await asyncio.to_thread(engine.start)
            answers = time.monotonic()
            first = await meter.above(done + 1)
            full = await meter.full(answers, _FULL * rate)
        except TimeoutError:
            say("\n".join((folder / "log").read_text().splitlines()[-20:]))
            raise
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
    return rate, max(0.0, first - answers), full - answers


def main() -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m chaos.recovery", description=__doc__)
    parser.add_argument("--engine", choices=("nats", "redis"), default="nats")
    parser.add_argument("--tasks", type=int, default=40_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--down", type=float, default=0.5, help="seconds for which the engine is away, at least 0.5")
    arguments = parser.parse_args()
    for _ in range(arguments.runs):
        with tempfile.TemporaryDirectory(prefix="gbe-recovery-") as name:
            folder = Path(name)
            engine: Any = NatsProcess(folder / "nats") if arguments.engine == "nats" else RedisProcess(folder / "redis")
            with engine, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                rate, first, full = runner.run(run(engine, folder, arguments.tasks, arguments.down))
        after = f"first task after {first:.2f} s, full rate after {full:.2f} s"
        say(f"{arguments.engine}: {rate:,.0f} tasks/s before; {after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
