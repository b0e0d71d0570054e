"""Jobs under fire: orchestrators, workers, sweepers and the engine are killed at random while diamonds run.

``python -m chaos.jobs [--engine nats|redis] [--jobs 500] [--seed N]`` starts diamond jobs at a steady pace: a task, a
fan-out of 10 items and a branch beside it, and a fan-in; one item of each fails twice before it succeeds, and one job
in eight has a task that fails for good, so that the job fails and undoes. Meanwhile orchestrators, workers and sweepers
are killed (SIGKILL), orchestrators are stopped and wake again (SIGSTOP, SIGCONT), and the engine is killed and started
again on what it stored. Then the books must say, or it fails (exit 1):

- every job that was started has ended as it should, and its end is told under one id,
- every task of a job exists once, with the right end and result, and its end is told under one id,
- no task was submitted before all that it waits for had ended: the fan-in neither early nor twice.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvloop
from benchmarks.harness import say

from chaos.scene import Scene, engine_of
from gbe.app import App
from gbe.config import load
from gbe.errors import GbeError

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.jobs.books import Books, audit, has_ended
from tests.jobs.program import DOOMED, SOUND
from tests.jobs.program import app as program

_NAMESPACE: Final = "chaos"
_FAULTS: Final = ("orchestrator", "orchestrator", "worker", "worker", "stop", "sweeper", "engine")
_ROLES: Final = {
    "orchestrator": (2, ("orchestrator",)),
    "worker": (2, ("worker", "tests.jobs.program:app", "--concurrency", "20")),
    "sweeper": (1, ("sweeper",)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of it.

    Attributes:
        jobs: so many, started over so many ``seconds``.
        pause: seconds between two faults, from and to.
        patience: seconds for which a job may go on after the last fault.
        quick: short leases.
    """

    jobs: int = 500
    seconds: float = 120.0
    pause: tuple[float, float] = (0.3, 2.0)
    patience: float = 240.0
    seed: int = 17
    quick: bool = False


@dataclass
class Report:
    """What happened."""

    books: Books
    started: dict[str, str]
    repeated: int
    faults: Counter[str]
    seconds: float

    def print(self) -> None:
        """For people."""
        kinds = Counter(self.started.values())
        say(f"{len(self.started)} jobs ({dict(kinds)}) in {self.seconds:.0f} s, {self.repeated} starts repeated")
        say(f"faults: {dict(self.faults)}; attempts of tasks: {dict(sorted(self.books.attempts.items()))}")
        took = sorted(self.books.seconds)
        if took:
            say(f"a job took {took[len(took) // 2]:.1f} s (median), {took[-1]:.1f} s at most")
        found = self.books.faults()
        say(f"wrong: { {kind: len(each) for kind, each in found.items()} or 'nothing' }")
        for kind, each in found.items():
            for line in each[:3]:
                say(f"  {kind}: {line[:2000]}")


@dataclass
class _Run:
    app: App
    scene: Scene
    plan: Plan
    started: dict[str, str] = field(default_factory=dict)
    repeated: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    async def start_jobs(self) -> None:
        """At a steady pace; a start without an answer is repeated under its key, so that every job is known."""
        began = time.monotonic()
        for number in range(self.plan.jobs):
            due = began + number * self.plan.seconds / self.plan.jobs
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            job_type = DOOMED if number % 8 == 7 else SOUND
            while True:
                try:
                    job = await self.app.start_job(job_type, idempotency_key=f"job-{number}")
                    break
                except GbeError:
                    self.repeated += 1
                    await asyncio.sleep(0.2)
            self.started[job.job_id] = job_type

    async def torment(self) -> None:
        """Fault after fault while jobs are started; each kind comes before one comes again, and once at least."""
        ends = time.monotonic() + self.plan.seconds
        left: list[str] = []
        while time.monotonic() < ends or self.faults.total() < len(_FAULTS):
            await asyncio.sleep(self.scene.chance.uniform(*self.plan.pause))
            if not left:
                left = self.scene.chance.sample(_FAULTS, len(_FAULTS))
            fault = left.pop()
            self.faults[fault] += 1
            if fault == "stop":
                await self.scene.stop("orchestrator", 2.0)
            elif fault == "engine":
                await asyncio.to_thread(self.scene.crash_engine)
            else:
                await asyncio.to_thread(self.scene.kill, fault)

    async def drain(self) -> None:
        """Wait until all jobs have ended, or patience is over."""
        jobs, deadline = await self.app.jobs(), time.monotonic() + self.plan.patience
        waiting = set(self.started)
        while waiting and time.monotonic() < deadline:
            for job_id in list(waiting):
                if not has_ended(await jobs.store.find(job_id)):
                    break
                waiting.discard(job_id)
            else:
                return
            await asyncio.sleep(0.1)


async def run(engine: Any, folder: Path, plan: Plan) -> Report:
    """One run on an engine that is there."""
    flags = {"transport": engine.url, "namespace": _NAMESPACE, "state.bucket": _NAMESPACE, "data_dir": str(folder)}
    async with App(settings=load(None, environment={}, flags=flags)) as app:
        app.functions.update(program.functions)
        app.job_types.update(program.job_types)
        client = await app.client()
        scene = Scene(engine, _NAMESPACE, folder, _ROLES, random.Random(plan.seed), quick=plan.quick)
        run = _Run(app, scene, plan)
        began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(run.start_jobs())
                group.create_task(run.torment())
            await run.drain()
            took = time.monotonic() - began
            books = await audit(await app.jobs(), client, run.started)
        finally:
            scene.end()
    return Report(books, run.started, run.repeated, run.faults, took)


def main() -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m chaos.jobs", description=__doc__)
    parser.add_argument("--engine", choices=("nats", "redis"), default="nats")
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=120.0, help="over which they are started")
    parser.add_argument("--seed", type=int, default=17)
    arguments = parser.parse_args()
    plan = Plan(jobs=arguments.jobs, seconds=arguments.seconds, seed=arguments.seed)
    with tempfile.TemporaryDirectory(prefix="gbe-chaos-") as name:
        folder = Path(name)
        with engine_of(arguments.engine, folder) as engine:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                report = runner.run(run(engine, folder, plan))
            report.print()
    return 1 if report.books.faults() else 0


if __name__ == "__main__":
    sys.exit(main())
