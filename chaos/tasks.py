"""Tasks under fire: workers, sweepers and the engine are killed and stopped at random while many tasks run.

``python -m chaos.tasks [--engine nats|redis] [--tasks 10000] [--workers 4] [--seed N]`` submits tasks at a steady
pace, and meanwhile kills workers (SIGKILL), stops some beyond their lease and wakes them (SIGSTOP, SIGCONT), kills one
of two sweepers, and kills the engine and starts it again on what it stored. Counted like Jepsen's total queue:

- lost: submitted with confirmation, and never completed,
- wrong: completed with another result than its own, or failed,
- duplicated: said to be completed more than once (an execution may repeat, its completion may not),

and it fails (exit 1) if any of them is not zero. A submit without an answer may or may not be stored: it counts as
neither. It also says how long the tasks of a killed worker took to be running elsewhere.
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
from gbe.lifecycle.transitions import TaskState
from gbe.tasks.client import TaskClient

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.told import end_of_task, ends_told

_NAMESPACE: Final = "chaos"
_PATIENCE: Final = 180.0
_FAULTS: Final = ("kill", "kill", "kill", "stop", "sweeper", "engine")
_WORKER: Final = ("worker", "tests.tasks.program:app", "--concurrency")


@dataclass
class Count:
    """What happened."""

    submitted: dict[str, int] = field(default_factory=dict)
    unknown: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    healed: list[float] = field(default_factory=list)


async def _submit(app: App, tasks: int, seconds: float, count: Count) -> None:
    pace = tasks / seconds
    began = time.monotonic()
    for number in range(tasks):
        await asyncio.sleep(max(0.0, began + number / pace - time.monotonic()))
        try:
            task = await app.submit("work", number=number, seconds=0.02)
            count.submitted[task.id] = number
        except GbeError:
            count.unknown += 1


async def _torment(scene: Scene, seconds: float, count: Count) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        await asyncio.sleep(scene.chance.uniform(1.0, 4.0))
        fault = scene.chance.choice(_FAULTS)
        count.faults[fault] += 1
        match fault:
            case "kill":
                await asyncio.to_thread(scene.kill, "worker")
            case "stop":
                await scene.stop("worker", 11)  # longer than its lease
            case "sweeper":
                await asyncio.to_thread(scene.kill, "sweeper")
            case "engine":
                await asyncio.to_thread(scene.crash_engine)


async def _drain(client: TaskClient, count: Count) -> dict[str, Any]:
    """Every task that was confirmed, once nothing is pending any more or patience is over."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        records: dict[str, Any] = {}
        async for record in client.store.scan("work"):
            records[record.task_id] = record
        left = [task_id for task_id in count.submitted if not _has_ended(records.get(task_id))]
        if not left or time.monotonic() > deadline:
            return records
        await asyncio.sleep(1.0)


def _has_ended(record: Any) -> bool:
    return record is not None and record.state.is_terminal


async def _completions(client: TaskClient) -> Counter[str]:
    terminal = client.backend.names.terminal("work")
    return Counter(task_id for task_id, _ in await ends_told(client.backend.transport, [terminal], end_of_task))


async def _heal(scene: Scene, app: App, stuck: int) -> float:
    """Kill a worker with tasks that run, on an otherwise idle queue: seconds until all of them run elsewhere."""
    for process in scene.processes["worker"]:
        process.kill()
    doomed = scene.start(*_WORKER, str(stuck))
    scene.processes["worker"] = [doomed]
    tasks = [await app.submit("work", number=number, seconds=600) for number in range(stuck)]

    async def attempts(least: int) -> bool:
        records = await asyncio.gather(*(task.refresh() for task in tasks))
        return all(record.state is TaskState.RUNNING and record.attempt >= least for record in records)

    while not await attempts(1):  # noqa: ASYNC110  other processes bring it about
        await asyncio.sleep(0.2)
    scene.processes["worker"].append(scene.start(*_WORKER, str(stuck)))
    await asyncio.sleep(3)
    doomed.kill()
    killed = time.monotonic()
    while not await attempts(2):  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    took = time.monotonic() - killed
    for task in tasks:
        await task.cancel()
    return took


async def run(engine: Any, folder: Path, arguments: argparse.Namespace) -> int:
    """One run; the exit code."""
    count, chance = Count(), random.Random(arguments.seed)
    flags = {"transport": engine.url, "namespace": _NAMESPACE, "state.bucket": _NAMESPACE, "data_dir": str(folder)}
    async with App(settings=load(None, environment={}, flags=flags)) as app:
        from tests.tasks.program import app as program

        app.functions.update(program.functions)
        client = await app.client()
        roles = {"worker": (arguments.workers, (*_WORKER, "20")), "sweeper": (2, ("sweeper",))}
        scene = Scene(engine, _NAMESPACE, folder, roles, chance)
        try:
            started = time.monotonic()
            async with asyncio.TaskGroup() as group:
                group.create_task(_submit(app, arguments.tasks, arguments.seconds, count))
                group.create_task(_torment(scene, arguments.seconds, count))
            records = await _drain(client, count)
            took = time.monotonic() - started
            said = await _completions(client)
            for stuck in (1, arguments.stuck):
                count.healed.append(await _heal(scene, app, stuck))
        finally:
            scene.end()
    return _verdict(count, records, said, took, arguments)


def _verdict(
    count: Count, records: dict[str, Any], said: Counter[str], took: float, arguments: argparse.Namespace
) -> int:
    lost = [task_id for task_id in count.submitted if not _has_ended(records.get(task_id))]
    wrong = [
        task_id
        for task_id, number in count.submitted.items()
        if _has_ended(records.get(task_id))
        and (records[task_id].state is not TaskState.COMPLETED or records[task_id].result != b"%d" % number)
    ]
    duplicated = [task_id for task_id, times in said.items() if times > 1]
    attempts = Counter(record.attempt for record in records.values())
    say(f"{len(count.submitted)} tasks confirmed, {count.unknown} submits without an answer, in {took:.0f} s")
    say(f"faults: {dict(count.faults)}; attempts needed: {dict(sorted(attempts.items()))}")
    say(f"healed after kill -9: 1 task in {count.healed[0]:.1f} s, {arguments.stuck} in {count.healed[1]:.1f} s")
    say(f"lost {len(lost)}, wrong {len(wrong)}, duplicated completions {len(duplicated)}")
    for task_id in (*lost[:5], *wrong[:5], *duplicated[:5]):
        say(f"  {records.get(task_id)}")
    return 1 if lost or wrong or duplicated else 0


def main() -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m chaos.tasks", description=__doc__)
    parser.add_argument("--engine", choices=("nats", "redis"), default="nats")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=100.0, help="over which they are submitted")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--stuck", type=int, default=1000, help="tasks of the worker that is killed at the end")
    parser.add_argument("--seed", type=int, default=17)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gbe-chaos-") as name:
        folder = Path(name)
        with (
            engine_of(arguments.engine, folder) as engine,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            return runner.run(run(engine, folder, arguments))


if __name__ == "__main__":
    sys.exit(main())
