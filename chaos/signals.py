"""Messages are disposable: ``python -m chaos.signals [--engine nats|redis] [--tasks 1000]``.

Submits tasks while no worker runs, deletes every stream of tasks from the engine, then starts a worker and a sweeper.
All tasks complete, each with its own result, or it fails (exit 1): states lie in the state store, and the sweeper
signals what is pending.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import uvloop
from benchmarks.harness import say

from gbe.app import App
from gbe.config import load
from gbe.tasks.handle import Task

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.deployments import NatsBoth, RedisBoth
from tests.tasks.processes import GbeProcess
from tests.tasks.program import app as program

_NAMESPACE: Final = "chaos"
_AT_A_TIME: Final = 256
_PATIENCE: Final = 120.0


async def _submit(app: App, tasks: int) -> list[Task]:
    submitted: list[Task] = []
    while len(submitted) < tasks:
        numbers = range(len(submitted), min(tasks, len(submitted) + _AT_A_TIME))
        submitted += await asyncio.gather(*(app.submit("work", number=number) for number in numbers))
    return submitted


async def _completed(tasks: list[Task]) -> int:
    """How many have their own result within our patience."""
    deadline = time.monotonic() + _PATIENCE
    results = await asyncio.gather(
        *(task.result(timeout=max(0.1, deadline - time.monotonic())) for task in tasks), return_exceptions=True
    )
    return sum(result == number for number, result in enumerate(results))


async def run(engine: NatsBoth | RedisBoth, folder: Path, count: int) -> int:
    """One run; the exit code."""
    flags = {"transport": engine.url, "namespace": _NAMESPACE, "state.bucket": _NAMESPACE, "data_dir": str(folder)}
    async with App(settings=load(None, environment={}, flags=flags)) as app:
        app.functions.update(program.functions)
        tasks = await _submit(app, count)
        await engine.delete_stream(f"{_NAMESPACE}.tasks")
        say(f"{len(tasks)} tasks submitted, all streams of tasks deleted")
        began = time.monotonic()
        words = ["worker", "tests.tasks.program:app"], ["sweeper"]
        processes = [GbeProcess(one, engine.url, _NAMESPACE, folder / "log", quick=False) for one in words]
        try:
            completed = await _completed(tasks)
        finally:
            for process in processes:
                process.kill()
    say(f"{completed} of {count} completed with their own result, {time.monotonic() - began:.1f} s after the start")
    return 0 if completed == count else 1


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m chaos.signals", description=__doc__)
    parser.add_argument("--engine", choices=["nats", "redis"], default="nats")
    parser.add_argument("--tasks", type=int, default=1000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        engine = NatsBoth(path) if arguments.engine == "nats" else RedisBoth(path)
        with engine:
            sys.exit(uvloop.run(run(engine, path, arguments.tasks)))


if __name__ == "__main__":
    main()
